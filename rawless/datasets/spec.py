"""A dataset: what a snapshot is made of, as its YAML file declares it."""

import re
from datetime import UTC, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    StrictBool,
    model_validator,
)

from rawless.config import Duration, FrozenModel, read_yaml

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def _bytes(value: Any) -> Any:
    """'50GB' as a number of bytes."""
    if isinstance(value, int):
        return value
    if not (match := re.fullmatch(r"(\d{1,6})\s?([KMGT]?B)", str(value), re.ASCII)):
        raise ValueError("a number of bytes is a whole number and a unit: 500MB, 50GB or 2TB")
    return int(match[1]) * _UNITS[match[2]]


def _rule(value: Any) -> Any:
    """`name`, or `name: {parameter: value}`, as a rule."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and len(value) == 1:
        (name, parameters), *_ = value.items()
        return {"name": name, "parameters": parameters or {}}
    return value


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Column = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
LabelClass = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Text = Annotated[str, Field(max_length=200)]
Time = Annotated[AwareDatetime, AfterValidator(lambda time: time.astimezone(UTC))]
"""In UTC, so that one time is written in one way."""
Value = StrictBool | int | float | Time | Text | tuple[Text, ...]
"""Of a parameter. What it must be is said by the query that takes it."""
Bytes = Annotated[int, BeforeValidator(_bytes), Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Source(FrozenModel):
    """A table of business facts that label and rules may read."""

    table: str = Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]{0,127}\.)?[a-z_][a-z0-9_]{0,62}$")
    """TABLE of the events dataset, or DATASET.TABLE; SQL names it by TABLE."""
    known_at: Column | None = None
    """The column that tells when a row became known: rows after the as-of are not there."""
    customer: Column | None = None
    """The column of plain customer ids, which `subject_map_v1` turns into persons; SQL never sees it."""
    mutable: Literal["copy"] | None = None
    """Of a table without a known time: its rows are kept beside the snapshot."""

    @property
    def name(self) -> str:
        """As SQL names it."""
        return self.table.rpartition(".")[2]

    @model_validator(mode="after")
    def _timed(self) -> "Source":
        if (self.known_at is None) == (self.mutable is None):
            raise ValueError(
                f"{self.table} has either known_at, the column that tells when a row became known, or, where there is "
                "none, mutable: copy, which keeps its rows beside the snapshot"
            )
        return self


class Label(FrozenModel):
    """What is learned: a query, and the closed list or the range that its answers lie in."""

    query: Name
    parameters: dict[str, Value] = Field(default_factory=dict)
    kind: Literal["event", "pair", "subject"] = "event"
    classes: tuple[LabelClass, ...] = ()
    type: Literal["class", "number"] = "class"
    range: tuple[float, float] | None = None
    maturity: Duration | None = None
    """Events younger than this at the as-of are left out, since their label may still change."""
    window: Duration | None = None
    """For a subject: how long before its label the person's event may lie."""

    @model_validator(mode="after")
    def _closed(self) -> "Label":
        if self.type == "class" and (len(self.classes) < 2 or self.range):
            raise ValueError("a label has at least two classes; a number has type: number and range: [lowest, highest]")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("the classes of a label are all different")
        if self.type == "number" and (self.classes or not self.range or self.range[0] >= self.range[1]):
            raise ValueError("a label of type number has range: [lowest, highest], and no classes")
        if (self.kind == "subject") != (self.window is not None):
            raise ValueError("window, as in 30d, belongs to a label of kind subject, and to no other")
        return self


class Rule(FrozenModel):
    """A rule of the spec, with its parameters."""

    name: Name
    parameters: dict[str, Value] = Field(default_factory=dict)


class NearDuplicates(FrozenModel):
    """Rows whose near neighbour is in another split are dropped."""

    cosine: float = Field(ge=0.5, lt=1)


class ByPerson(FrozenModel):
    """All rows of a person in one split, by a salted hash: unmoved when data grows."""

    by: Literal["person"]
    without_subject: Literal["by_event", "drop"] = "by_event"
    train: Share
    validation: Share
    test: Share
    salt: Text
    near_duplicates: NearDuplicates | None = None

    @model_validator(mode="after")
    def _whole(self) -> "ByPerson":
        whole = self.train + self.validation + self.test
        if abs(whole - 1) > 1e-9:
            raise ValueError(f"train, validation and test add up to 1, not to {whole:.6g}")
        if min(self.train, self.test) <= 0:
            raise ValueError("train and test are more than 0")
        return self


class ByTime(FrozenModel):
    """Train before validation before test, with a gap before each boundary whose rows are dropped."""

    by: Literal["time"]
    validation_from: Time
    test_from: Time
    gap: Duration | None = None
    near_duplicates: NearDuplicates | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "ByTime":
        if self.validation_from + (self.gap or timedelta(0)) > self.test_from:
            raise ValueError("validation_from lies before test_from, by more than the gap")
        return self


class Require(FrozenModel):
    """What a snapshot must have to be of use."""

    min_rows: int = Field(default=1, ge=1)
    min_per_label: int = Field(default=0, ge=0)
    """Of every class."""


class Budget(FrozenModel):
    """What a build may cost."""

    max_bytes_billed: Bytes


class DatasetSpec(FrozenModel):
    """A labelled dataset: stream, encoder, sources, label, rules, split, and the time at which all of it was known."""

    dataset: Name
    stream: Name
    encoder: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}@\d+\.\d+\.\d+$")
    folder: str = Field(default=".", pattern=r"^[^\x00-\x1f\x7f]{1,200}$")
    """Where own labels and rules lie, as labels/NAME.sql and rules/NAME.sql, from the spec's own folder."""
    sources: tuple[Source, ...] = ()
    label: Label
    rules: tuple[Annotated[Rule, BeforeValidator(_rule)], ...] = ()
    split: Annotated[ByPerson | ByTime, Field(discriminator="by")]
    as_of: Time
    require: Require = Require()
    budget: Budget | None = None

    @model_validator(mode="after")
    def _singles(self) -> "DatasetSpec":
        if self.label.kind == "pair" and self.split.near_duplicates:
            raise ValueError("near_duplicates compares rows of one vector each: leave it out where the label is a pair")
        return self

    @model_validator(mode="after")
    def _named_once(self) -> "DatasetSpec":
        names = [source.name.lower() for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError(f"two sources are named alike: {', '.join(names)}")
        if taken := {"event", "kept", "label", "person"} & set(names):
            raise ValueError(f"a source cannot be named {min(taken)}, which is a name of Rawless in queries")
        return self


def load_dataset(path: Path) -> DatasetSpec:
    """Read a dataset file. Raises UserError naming field, value and rule."""
    return read_yaml(path, DatasetSpec, what="dataset file")
