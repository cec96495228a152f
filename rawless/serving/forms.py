"""Bodies of type multipart/form-data, as web forms and `curl -F` send them, parsed in memory.

The form parsers of web frameworks write large files to disk; no content may get there.
"""

from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from rawless.serving.errors import ErrorCode, RequestError

FORM_TYPE = "multipart/form-data"
MAX_HEADERS, MAX_HEADER_BYTES = 8, 4096
"""Of a part."""
_PLAIN_ENCODINGS = (b"", b"7bit", b"8bit", b"binary")


class FormField(NamedTuple):
    """A field of a form. The name of its file is not kept, since it may be content."""

    name: str
    has_file_name: bool
    content_type: str
    content: bytes


def parse_form(content_type: str, body: bytes, max_fields: int) -> list[FormField]:
    """Return the fields of a form in their order. Call it only inside `guarded`, since the parser logs what it reads.

    Raises RequestError for an invalid form, and for one with more than `max_fields`.
    """
    _, options = parse_options_header(content_type)
    collector = _Collector(max_fields)
    try:
        parser = MultipartParser(
            options.get(b"boundary", b""),
            {
                "on_part_begin": collector.start_part,
                "on_header_field": collector.add_to_name,
                "on_header_value": collector.add_to_value,
                "on_header_end": collector.end_header,
                "on_part_data": collector.add_to_content,
                "on_part_end": collector.end_part,
                "on_end": collector.end,
            },
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )
        parser.write(body)
    except (FormParserError, UnicodeError):
        raise RequestError(ErrorCode.MALFORMED_FORM) from None
    if not collector.is_complete or not options.get(b"boundary"):
        raise RequestError(ErrorCode.MALFORMED_FORM)
    return collector.fields


class _Collector:
    """Collects the fields of a form from the callbacks of its parser."""

    def __init__(self, max_fields: int) -> None:
        self.fields: list[FormField] = []
        self.is_complete = False
        self._max_fields = max_fields
        self.start_part()

    def start_part(self) -> None:
        if len(self.fields) == self._max_fields:
            raise RequestError(ErrorCode.TOO_MANY_ITEMS)
        self._headers: dict[bytes, bytes] = {}
        self._content: list[bytes] = []
        self._name = self._value = b""

    def add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end_header(self) -> None:
        name = self._name.lower()
        if name in self._headers:  # a proxy on the way may read the other one
            raise RequestError(ErrorCode.MALFORMED_FORM)
        self._headers[name] = self._value
        self._name = self._value = b""

    def add_to_content(self, data: bytes, start: int, end: int) -> None:
        self._content.append(data[start:end])

    def end_part(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        encoding = self._headers.get(b"content-transfer-encoding", b"").strip().lower()
        if kind != b"form-data" or b"name" not in options or encoding not in _PLAIN_ENCODINGS:
            raise RequestError(ErrorCode.MALFORMED_FORM)
        content_type = self._headers.get(b"content-type", b"").decode("ascii")
        name = options[b"name"].decode()
        self.fields.append(FormField(name, b"filename" in options, content_type, b"".join(self._content)))

    def end(self) -> None:
        self.is_complete = True
