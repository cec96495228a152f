"""What a model's card says that a spec may not meet. Its text itself is not shown: anyone may have written it."""

import re
from typing import Any

from encoders.importing.model_folder import ModelFolder
from rawless.config import parse_mapping
from rawless.errors import UserError

CARD = "README.md"
_MAX_BYTES = 1_000_000
_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)\r?\n---\r?\n", re.DOTALL)
_RESULTS = re.compile(r"^model-index:.*?(?=^\w|\Z)", re.DOTALL | re.MULTILINE)
"""Results of benchmarks, often thousands of lines."""
_MATRYOSHKA = re.compile(r"""matryoshka_dim(?:ension)?s"?\s*[:=]\s*\[([\d,\s]{1,400})\]""")
_PROMPTS = (
    "query: ",
    "passage: ",
    "search_query: ",
    "search_document: ",
    "clustering: ",
    "classification: ",
    "Represent this sentence for searching relevant passages:",
    "Instruct: ",
)
"""Prompts that cards of common models tell their readers to write before each text, where no file says so."""
_PLAIN = re.compile(r"[\w./ +-]{1,64}")
_MOST = 8


class ModelCard:
    """The card of a model; without one, it says nothing."""

    def __init__(self, folder: ModelFolder) -> None:
        self._text = ""
        if folder.has(CARD):
            with (folder.path / CARD).open("rb") as file:
                self._text = file.read(_MAX_BYTES).decode(errors="replace")
        self._fields = _front_matter(self._text)

    @property
    def license(self) -> str | None:
        """The licence that it names."""
        return next(iter(self._names("license_name") or self._names("license")), None)

    @property
    def datasets(self) -> list[str]:
        """The data sets that the model was trained on."""
        return self._names("datasets")

    @property
    def matryoshka(self) -> list[int]:
        """The dimensions to which its vectors may be truncated, longest first; empty if it does not list any."""
        found = _MATRYOSHKA.search(self._text)
        numbers = [int(number) for number in re.findall(r"\d+", found[1])[:64]] if found else []
        return sorted(set(numbers), reverse=True)

    @property
    def prompts(self) -> list[str]:
        """The prompts that its text quotes."""
        return [prompt for prompt in _PROMPTS if re.search(rf"[\"'`“]{re.escape(prompt.rstrip())}", self._text)]

    def _names(self, field: str) -> list[str]:
        value = self._fields.get(field)
        names = value if isinstance(value, list) else [value]
        return [name for name in names if isinstance(name, str) and _PLAIN.fullmatch(name)][:_MOST]


def _front_matter(text: str) -> dict[str, Any]:
    """Return the fields at the top of a card; none if they are not YAML."""
    found = _FRONT_MATTER.search(text)
    try:
        return parse_mapping(_RESULTS.sub("", found[1]), where=CARD) if found else {}
    except UserError:
        return {}
