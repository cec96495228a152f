"""Objects in Cloud Storage: list those that a pattern names, and read one, or a part of it.

Names of objects are content: errors say what the caller calls the objects (`where`), such as the pattern that the user
wrote. An object is read in the generation that was listed, so a part never belongs to another content than the rest.
"""

import io
import os
import re
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import certifi
from google.api_core.exceptions import (
    BadRequest,
    Forbidden,
    GoogleAPIError,
    NotFound,
    PreconditionFailed,
    RequestRangeNotSatisfiable,
    RetryError,
    from_http_status,
)
from google.api_core.retry import Retry
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.auth.transport.requests import Request as AuthRequest
from google.cloud.storage import Client
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.utils import select_proxy

from rawless.errors import Unavailable, UserError
from rawless.events.find_files import has_wildcard, matches
from rawless.events.object_requests import Answer, Connections, TransferFailed
from rawless.events.objects import UnreadableObject
from rawless.loopback import check_storage_address
from rawless.privacy.logs import withheld

# Otherwise the client requests the bucket in a thread of its own, whose log lines no guard withholds.
os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")

SCHEME = "gs://"
CONNECTIONS = 64
"""Connections that a process keeps open; further ones are opened as needed and closed after their request."""
RETRY_SECONDS = 120.0
"""For how long a request is repeated while the store does not answer."""
REQUEST_SECONDS = 60.0
"""How long a request waits for a connection, and for the next bytes of an answer."""
CHUNK = 8 << 20
"""The most bytes that a file object requests at once."""
_FIRST_CHUNK = 1 << 18
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_FIELDS = "items(name,generation,size),nextPageToken"
_BLOCKED = "vpcServiceControlsUniqueIdentifier"
"""What the answer contains if a service perimeter blocks a call that the bucket's roles allow."""
_FAILURES = (GoogleAPIError, GoogleAuthError, TransferFailed, OSError)  # those of requests are OSErrors
_MOST_OF_AN_ERROR = 1 << 16
_GZIP = 31
"""zlib's number of the format."""
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


class ObjectNotFound(Unavailable):
    """There is no such object, or no longer in the generation that was asked for."""


@dataclass(frozen=True, slots=True)
class CloudObject:
    """One generation of an object, as it was listed."""

    bucket: str
    name: str
    generation: int
    size: int
    """In bytes, as it is stored."""


@dataclass(frozen=True, slots=True)
class ObjectPattern:
    """The objects of a bucket whose names match a shell pattern, as `find_files` matches paths.

    A name that equals the pattern matches too, whatever characters it contains.
    """

    bucket: str
    name: str

    @property
    def prefix(self) -> str:
        """The folders before the first wildcard, with a slash at the end; or the name, if there is no wildcard."""
        if not has_wildcard(self.name):
            return self.name
        parts = self.name.split("/")
        plain = next(i for i, part in enumerate(parts) if has_wildcard(part))
        return "".join(f"{part}/" for part in parts[:plain])

    @property
    def folder(self) -> str:
        """The folders before the first wildcard or before the name, with a slash at the end."""
        return self.prefix[: self.prefix.rfind("/") + 1]

    def matches(self, name: str) -> bool:
        """Return whether an object with this name is one of them. Placeholders of folders are not."""
        return name == self.name or (not name.endswith("/") and matches(name.split("/"), self.name.split("/")))

    @property
    def _is_flat(self) -> bool:
        """Whether objects in folders below the prefix cannot match."""
        return "/" not in self.name.removeprefix(self.prefix) and not self.name.endswith("**")


def parse_pattern(text: str, option: str) -> ObjectPattern:
    """Return the objects that an option names by `gs://BUCKET/PATTERN`. Raises UserError, which names the option."""
    bucket, _, name = text.removeprefix(SCHEME).partition("/")
    if not _BUCKET.fullmatch(bucket) or not name or name.endswith("/") or not name.isprintable():
        raise UserError(
            f"{option} names {text!r}, but must name objects as gs://BUCKET/NAME, where the name may have wildcards, "
            "as in gs://uploads/2026/*.jsonl.gz."
        )
    return ObjectPattern(bucket, name)


def list_objects(pattern: ObjectPattern, where: str) -> Iterator[CloudObject]:
    """Yield the objects that match, in the order of their names, page by page.

    Raises UserError if the bucket is missing or may not be listed, and Unavailable if it cannot be listed now.
    """
    pages: Any = None
    while True:
        try:
            with withheld():
                if pages is None:
                    pages = _pages(pattern)
                page = next(pages, None)
                found = [_listed(pattern, blob) for blob in page or () if pattern.matches(blob.name)]
        except _FAILURES as error:
            kind, is_refused = type(error).__name__, isinstance(error, NotFound | BadRequest | Forbidden)
            break
        yield from found
        if page is None:
            return
    if is_refused:
        raise UserError(
            f"The objects of {where} cannot be listed ({kind}): check the name of the bucket, and grant the account of "
            "the job the role roles/storage.objectViewer on it."
        )
    raise Unavailable(f"The objects of {where} cannot be listed ({kind}); run again when they can.")


def read_object(found: CloudObject, where: str, start: int = 0, end: int | None = None) -> bytes:
    """Return the bytes of an object from `start` to before `end`, in the generation that was listed.

    Raises ObjectNotFound if it was changed or deleted since, and otherwise as `download` does.
    """
    end = found.size if end is None else min(end, found.size)
    if end <= start:
        return b""
    try:
        content = download(found.bucket, found.name, where, start, end, found.generation)
    except ObjectNotFound:
        content = b""
    if len(content) != end - start:
        raise ObjectNotFound(f"{where}: an object was changed or deleted after it was listed; run again.")
    return content


def download(
    bucket: str, name: str, where: str, start: int = 0, end: int | None = None, generation: int | None = None
) -> bytes:
    """Return the bytes of an object from `start` to before `end`, as they are stored, by one request.

    A store that does not answer is asked again for RETRY_SECONDS. Raises ObjectNotFound if there is no such object or
    name, UnreadableObject if the object may not be read, and Unavailable if the store does not answer.
    """
    refused: str | None = None
    why, remedy = "", "grant access"
    try:
        with withheld():
            return _store().get(bucket, name, start, end, generation)
    except RequestRangeNotSatisfiable:
        return b""
    except (NotFound, BadRequest):  # also an impossible name
        missing, of_object, kind = True, True, ""
    except UserError as error:  # inside the boundary it would reject the event
        missing, of_object, kind, refused = False, False, "", str(error)
    except _FAILURES as error:
        cause = error.cause if isinstance(error, RetryError) else error
        missing, kind = False, type(error).__name__
        if isinstance(cause, TransferFailed):
            kind, remedy = str(cause), "check the connection to the store"
        of_object = isinstance(error, Forbidden | PreconditionFailed)
        if isinstance(error, Forbidden) and _BLOCKED in str(error):
            why = ", because a service perimeter blocks it"
            remedy = "name the bucket's project in claim_check_projects and apply terraform/bootstrap"
    if refused is not None:
        raise Unavailable(refused)
    if missing:
        raise ObjectNotFound(f"{where}: an object does not exist.")
    failure = UnreadableObject if of_object else Unavailable
    raise failure(f"{where}: an object cannot be read ({kind}){why}; {remedy}, then run again.")


def open_object(found: CloudObject, where: str, start: int = 0, expected: int | None = None) -> io.BufferedReader:
    """Open an object as a file, positioned at `start`, which holds one chunk of it in memory.

    The first request asks for `expected` bytes, if that is known. Each other one asks for twice as many as the one
    before, CHUNK at most. Reading raises as `read_object` does.
    """
    raw = _ObjectFile(found, where, expected)
    raw.seek(start)
    return io.BufferedReader(raw, 1 << 16)


class _ObjectFile(io.RawIOBase):
    """An object that is read by requests for consecutive ranges."""

    def __init__(self, found: CloudObject, where: str, expected: int | None) -> None:
        self._object = found
        self._where = where
        self._position = 0
        self._expected = expected
        self._next_size = _FIRST_CHUNK
        self._chunk = memoryview(b"")
        self._chunk_start = 0

    def readable(self) -> bool:
        """See `io.RawIOBase.readable`."""
        return True

    def seekable(self) -> bool:
        """See `io.RawIOBase.seekable`."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.RawIOBase.seek`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._object.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """See `io.RawIOBase.tell`."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase.readinto`. Raises Unavailable."""
        offset = self._position - self._chunk_start
        if not 0 <= offset < len(self._chunk):
            self._request(len(buffer))
            offset = 0
        part = self._chunk[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def _request(self, wanted: int) -> None:
        size = min(self._expected or max(self._next_size, wanted), CHUNK)
        if self._expected is None:
            self._next_size = min(2 * size, CHUNK)
        self._expected = None
        self._chunk = memoryview(b"")  # so that two are never in memory
        content = read_object(self._object, self._where, self._position, self._position + size)
        self._chunk, self._chunk_start = memoryview(content), self._position


def _pages(pattern: ObjectPattern) -> Any:
    return (
        _store()
        .client.list_blobs(
            pattern.bucket,
            prefix=pattern.prefix,
            delimiter="/" if pattern._is_flat else None,
            fields=_FIELDS,
            retry=DEFAULT_RETRY.with_timeout(RETRY_SECONDS),
        )
        .pages
    )


def _listed(pattern: ObjectPattern, blob: Any) -> CloudObject:
    return CloudObject(pattern.bucket, blob.name, int(blob.generation), int(blob.size))


class _Store:
    """The clients of this process: Google's for lists, and a smaller one for contents.

    To read an object with Google's client costs many times as much of the processor.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._address = client._connection.API_BASE_URL
        if _is_emulator(self._address):
            client._http.trust_env = False
        self._connections = _connections(client._http, self._address)
        self._credentials = client._credentials
        # Tokens come from other addresses, such as the machine's own server of metadata, which no proxy may answer for.
        self._token_request = AuthRequest()
        self.get: Callable[[str, str, int, int | None, int | None], bytes]
        self.get = _retry.with_timeout(RETRY_SECONDS)(self._get)
        """`_get`, repeated while the store does not answer."""

    def _get(self, bucket: str, name: str, start: int, end: int | None, generation: int | None) -> bytes:
        """Return the bytes of an object from `start` to before `end`. Raises errors of Google's, and TransferFailed."""
        of = "" if generation is None else f"&generation={generation}"
        place = f"b/{quote(bucket, safe='')}/o/{quote(name, safe='')}?alt=media{of}"
        url = f"{self._address}/download/storage/v1/{place}"
        limit = None if end is None else end - start
        # Compressed, because an object that is stored as compressed would be inflated, without a limit.
        headers = {"Accept-Encoding": "gzip", "Range": f"bytes={start}-{'' if end is None else end - 1}"}
        answer = self._answer(url, headers, limit)
        if answer.status == HTTPStatus.UNAUTHORIZED:  # the token has been revoked
            self._credentials.refresh(self._token_request)
            answer = self._answer(url, headers, limit)
        if answer.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise from_http_status(answer.status, _BLOCKED if _BLOCKED.encode() in _inflated(answer.content) else "")
        if start and answer.status == HTTPStatus.OK:
            raise GoogleAPIError("The range was ignored, so the answer begins elsewhere.")
        return answer.content[:limit]

    def _answer(self, url: str, headers: dict[str, str], limit: int | None) -> Answer:
        self._credentials.before_request(self._token_request, "GET", url, headers)
        return self._connections.get(url, headers, None if limit is None else max(limit, _MOST_OF_AN_ERROR))

    def close(self) -> None:
        """Close all connections."""
        self.client.close()
        self._connections.close()


def _inflated(answer: bytes) -> bytes:
    """Return the beginning of the answer to a request that was refused, which may be compressed."""
    try:
        return zlib.decompressobj(wbits=_GZIP).decompress(answer, _MOST_OF_AN_ERROR)
    except zlib.error:
        return answer


def _connections(session: Any, address: str) -> Connections:
    """Return the connections of a process to a store, with proxy and certificates of the environment."""
    settings = session.merge_environment_settings(address, {}, None, None, None)
    return Connections(
        most=CONNECTIONS,
        seconds=REQUEST_SECONDS,
        proxy=None if _is_emulator(address) else select_proxy(address, settings["proxies"]),
        certificates=settings["verify"] if isinstance(settings["verify"], str) else certifi.where(),
    )


def _is_emulator(address: str) -> bool:
    """Return whether an address is on this machine, so that it is never reached through a proxy."""
    return address.startswith("http://")


def _is_transient(error: BaseException) -> bool:
    """Return whether a request may succeed when it is repeated."""
    if isinstance(error, TransferFailed):
        return error.is_transient
    return isinstance(error, TransportError) or getattr(error, "code", 0) in _TRANSIENT


_retry = Retry(predicate=_is_transient)
_lock = threading.Lock()
_stores: list[_Store] = []


def _store() -> _Store:
    """Return the store of this process. Raises UserError for an emulator elsewhere, and without credentials."""
    with _lock:
        if not _stores:
            check_storage_address()
            try:
                client = Client(project=None)
            except DefaultCredentialsError:
                raise UserError(
                    "There are no Google credentials; run `gcloud auth application-default login`."
                ) from None
            _stores.append(_Store(client))
        return _stores[0]


def forget_client() -> None:
    """Close the client of this process; the next request opens another."""
    with _lock:
        while _stores:
            _stores.pop().close()
