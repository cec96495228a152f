"""The identity of a snapshot: a hash over its specification and over normalised SQL.

SQL is normalised word by word with BigQuery's tokenizer. A parsed and rendered statement would be shorter, but a parser
drops what it does not understand, and templates contain Jinja, which does not parse. See decision 19.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from sqlglot.dialects.bigquery import BigQuery
from sqlglot.tokenizer_core import TokenType

from rawless.datasets.rendering import TEMPLATES
from rawless.datasets.spec import DatasetSpec
from rawless.warehouse.tables import FOLDER

_PLAIN_WORD = re.compile(r"[A-Za-z_\s]+")
NOT_PART_OF_IDENTITY = {"folder", "require", "expect", "budget"}
"""Fields of a dataset file that change no row."""
_OF_EVENTS = ("delivery_hash", "embedding_event", "first_delivery", "known", "streams")
"""The templates of embedding events that ids are computed from. Others are of readers that build no snapshot."""
_OF_ADAPTED = {"adapted_events.sql", "adapted_rows.sql"}
"""Templates of datasets with adapted rows only."""
_IF_ADAPTED = re.compile(
    r"\s*\{%- if adapted %\}.*?(?:\s*\{%- else %\}(?P<otherwise>.*?))?\s*\{%- endif %\}", re.DOTALL
)
"""A branch of a template for datasets with adapted rows; there is no branch within one."""


def normalise_sql(text: str) -> str:
    """Return SQL without comments, its words separated by single spaces and its keywords in upper case.

    `text` may be a template. Beside a Jinja tag white space is kept or left out as in the text, since there it may
    separate two words. Raises sqlglot's TokenError for an open quote.
    """
    normalised, previous, end = "", "", 0
    for token in BigQuery().tokenize(text):
        word = text[token.start : token.end + 1]
        if _PLAIN_WORD.fullmatch(word) and token.token_type is not TokenType.VAR:
            word = " ".join(word.upper().split())
        beside_tag = previous.endswith("}") or word.startswith("{")
        separator = "" if not previous or (beside_tag and token.start == end) else " "
        normalised += separator + word
        previous, end = word, token.end + 1
    return normalised


@cache
def sql_digest(*, adapted: bool = False) -> str:
    """Return the SHA-256, in hexadecimal, over the normalised templates that build snapshots, with adapted rows or not.

    For a dataset without them it is as if the templates had no branch for them.
    """
    templates = sorted(path for path in TEMPLATES.glob("*.sql") if adapted or path.name not in _OF_ADAPTED)
    files = [*templates, *(FOLDER / "embedding_event_v1" / f"{name}.sql" for name in _OF_EVENTS)]
    texts = {path.name: path.read_text(encoding="utf-8") for path in files}
    if not adapted:
        texts = {name: _IF_ADAPTED.sub(lambda branch: branch["otherwise"] or "", text) for name, text in texts.items()}
    normalised = [[name, normalise_sql(text)] for name, text in texts.items()]
    return hashlib.sha256(_canonical_json(normalised).encode()).hexdigest()


def snapshot_id(spec: DatasetSpec, queries: Iterable[Mapping[str, Any]]) -> str:
    """Return the id, of 24 hexadecimal characters, of the snapshot that a specification and its queries build.

    `queries` describes label and rules, in order: all that determines their result, with normalised SQL.
    """
    fields = spec.model_dump(mode="json", exclude=NOT_PART_OF_IDENTITY)
    templates = sql_digest(adapted=spec.adapted is not None)
    identity = {"spec": fields, "queries": list(queries), "templates": templates}
    return hashlib.sha256(_canonical_json(identity).encode()).hexdigest()[:24]


def _canonical_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
