"""The specification of a dataset, as its YAML file declares it."""

import math
import re
from datetime import UTC, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    StrictBool,
    model_validator,
)

from rawless.config import Duration, FrozenModel, read_yaml

_CONSTANT = re.compile(r"[A-Za-z0-9_.:%/+-]{0,32}")
_MANY_DIGITS = re.compile(r"[0-9]{5}")
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def _bytes(value: Any) -> Any:
    """Convert a size such as '50GB' to bytes."""
    if isinstance(value, int):
        return value
    if not (match := re.fullmatch(r"(\d{1,6})\s?([KMGT]?B)", str(value), re.ASCII)):
        raise ValueError("a number of bytes is a whole number and a unit, as in 500MB, 50GB or 2TB")
    return int(match[1]) * _UNITS[match[2]]


def _rule(value: Any) -> Any:
    """Convert `name` or `name: {parameter: value}` to the fields of a rule."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and len(value) == 1:
        (name, arguments), *_ = value.items()
        if isinstance(arguments, dict) and "cut" in arguments:
            parameters = {key: each for key, each in arguments.items() if key != "cut"}
            return {"name": name, "parameters": parameters, "cut": arguments["cut"]}
        return {"name": name, "parameters": arguments or {}}
    return value


def check_constant(text: str) -> str:
    """Return a text that may be stored with a snapshot. Raises ValueError for another."""
    if not _CONSTANT.fullmatch(text):
        raise ValueError("it must have at most 32 characters, all of A-Za-z0-9_.:%/+-")
    if _MANY_DIGITS.search(text):
        raise ValueError("it must not have five digits in a row, so that it is no customer's number")
    return text


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Column = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
TableName = Annotated[str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]{0,127}\.)?[a-z_][a-z0-9_]{0,62}$")]
LabelClass = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Constant = Annotated[str, AfterValidator(check_constant)]
"""A text that may be stored with a snapshot: too short and too plain for a message or a customer's number."""
EncoderRef = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}@\d+\.\d+\.\d+$")]
Salt = Annotated[Constant, Field(pattern=r"^[a-z0-9_-]{1,16}$")]
Text = Annotated[str, Field(max_length=200)]
Time = Annotated[AwareDatetime, AfterValidator(lambda time: time.astimezone(UTC))]
"""In UTC, so that equal times are written the same way."""
MAX_LABEL_VALUES = 2**16
"""How many values a label or feature can have: more would carry parts of a text."""
Value = StrictBool | int | float | Time | Text | tuple[Text, ...]
"""A value of a parameter; the query that declares the parameter restricts it further."""
Bytes = Annotated[int, BeforeValidator(_bytes), Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Cut = Literal["as_of", "event"]
"""Until when a rule sees the rows of a source: those known at the as-of, or those known when the event occurred."""
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


_NAMES_IN_TEMPLATES = frozenset(
    [
        *("event", "kept", "label", "person", "given_label", "ranked", "latest", "checked_label"),
        *("withdrawable", "placed", "ranked_of_event"),
    ]
)
"""What a source cannot be called: the templates around a label or rule name their own parts so."""


class Source(FrozenModel):
    """A table of business facts that label and rules may read."""

    table: TableName
    """TABLE of the events dataset, or DATASET.TABLE; SQL refers to it as TABLE."""
    known_at: Column | None = None
    """The column with the time at which a row became known; rows after the as-of are left out."""
    cut: Cut = "as_of"
    """What rules see of it, unless a rule has a cut of its own; labels see all that was known at the as-of."""
    customer: Column | None = None
    """The column of plain customer ids, which `subject_map_v1` maps to persons; SQL never sees it."""
    mutable: Literal["copy"] | None = None
    """For a table without a known time: its rows are copied and kept for rebuilding the snapshot."""
    values: dict[Column, Annotated[tuple[Constant, ...], Field(min_length=1, max_length=1000)]] = Field(
        default_factory=dict
    )
    """For a table that is copied: all values of each column with texts that label or rules read."""

    @property
    def name(self) -> str:
        """Return the name by which SQL refers to it."""
        return self.table.rpartition(".")[2]

    @model_validator(mode="after")
    def _known_time_or_copy(self) -> Self:
        if (self.known_at is None) == (self.mutable is None):
            raise ValueError(
                f"{self.table} has either known_at, the column with the time at which a row became known, or, if it "
                "has none, mutable: copy, which keeps its rows for rebuilding the snapshot"
            )
        if self.mutable and self.cut == "event":
            raise ValueError(
                f"{self.table} has cut: event, which needs known_at: a copy is as the table was at the build"
            )
        if self.values and not self.mutable:
            raise ValueError("values belongs to a source with mutable: copy, and to no other")
        return self


class ClosedValues(FrozenModel):
    """The values that a label or feature can have: a closed list of classes, or the steps of a range."""

    called: ClassVar[str]
    """What messages call it."""

    classes: tuple[LabelClass, ...] = Field(default=(), max_length=MAX_LABEL_VALUES)
    type: Literal["class", "number"] = "class"
    range: tuple[float, float] | None = None
    step: float | None = Field(default=None, gt=0)
    """The resolution of a number: it is rounded to the nearest step, counted from the lowest value."""

    @property
    def bits(self) -> float:
        """Return how many bits a row can carry by it: it has one of the values, or none."""
        (lowest, highest), step = self.range or (0.0, 0.0), self.step or 1.0
        values = len(self.classes) or 1 + round((highest - lowest) / step)
        return math.log2(values + 1)

    @model_validator(mode="after")
    def _classes_or_range(self) -> Self:
        if self.type == "class" and (len(self.classes) < 2 or self.range or self.step):
            raise ValueError(
                f"a {self.called} has at least two classes; a number has type: number, range: [lowest, highest] and "
                "step"
            )
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"the classes of a {self.called} must be all different")
        if self.type == "number":
            self._check_steps()
        return self

    def _check_steps(self) -> None:
        if self.classes or not self.range or self.range[0] >= self.range[1]:
            raise ValueError(f"a {self.called} of type number has range: [lowest, highest] and step, and no classes")
        if not self.step:
            raise ValueError(f"a {self.called} of type number has a step, as in step: 0.5, to which it is rounded")
        steps = (self.range[1] - self.range[0]) / self.step
        if steps >= MAX_LABEL_VALUES:
            raise ValueError(
                f"a {self.called} of type number has at most {MAX_LABEL_VALUES:,} values: choose a larger step"
            )
        if not math.isclose(steps, round(steps), rel_tol=1e-9) or not round(steps):
            raise ValueError(f"the range of a {self.called} must be a whole number of steps: change step or range")


class Label(ClosedValues):
    """The label to be learned: a query, and the closed list of classes or the range of its values."""

    called = "label"

    query: Name
    parameters: dict[str, Value] = Field(default_factory=dict)
    kind: Literal["event", "pair", "subject"] = "event"
    maturity: Duration | None = None
    """Events younger than this at the as-of are left out because their label may still change."""
    window: Duration | None = None
    """For a label of kind subject: how long before it the person's event may have occurred."""

    @model_validator(mode="after")
    def _window_of_subjects(self) -> Self:
        if (self.kind == "subject") != (self.window is not None):
            raise ValueError("window, as in 30d, belongs to a label of kind subject, and to no other")
        return self


class Feature(ClosedValues):
    """A column of a business table that stands beside the vector, as it was known when the event occurred."""

    called = "feature"

    table: TableName
    value: Column
    """The column with the class or number."""
    known_at: Column
    """The column with the time at which a row became known."""
    customer: Column | None = None
    """The column of plain customer ids; see `Source`."""
    by: Literal["person", "event"] = "person"
    """Whose rows they are: those of the event's person, or of the event itself."""
    max_age: Duration | None = None
    """A row that became known longer than this before the event is too old, and the feature is missing."""

    @property
    def source(self) -> Source:
        """Return its table as a source."""
        return Source(table=self.table, known_at=self.known_at, customer=self.customer)


class Rule(FrozenModel):
    """A rule with its parameters."""

    name: Name
    parameters: dict[str, Value] = Field(default_factory=dict)
    cut: Cut | None = None
    """The cut of all sources that it reads, in place of their own."""


class NearDuplicates(FrozenModel):
    """Drops rows that have a near neighbour in another split."""

    cosine: float = Field(ge=0.5, lt=1)


class ByPerson(FrozenModel):
    """Assigns all rows of a person to one split, by a salted hash that does not change when data grows."""

    by: Literal["person"]
    without_subject: Literal["by_event", "drop"] = "by_event"
    train: Share
    validation: Share
    test: Share
    salt: Salt
    near_duplicates: NearDuplicates | None = None

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train, validation and test must add up to 1, not to {total:.6g}")
        if min(self.train, self.test) <= 0:
            raise ValueError("train and test must be more than 0")
        return self


class ByTime(FrozenModel):
    """Assigns rows to splits by time: train, validation, test. Rows in the gap before each boundary are dropped."""

    by: Literal["time"]
    validation_from: Time
    test_from: Time
    gap: Duration | None = None
    near_duplicates: NearDuplicates | None = None

    @model_validator(mode="after")
    def _boundaries_in_order(self) -> Self:
        if self.validation_from + (self.gap or timedelta(0)) > self.test_from:
            raise ValueError("validation_from must be before test_from, by at least the gap")
        return self


class Require(FrozenModel):
    """The rows that a snapshot must have; with fewer the build fails."""

    min_rows: int = Field(default=1, ge=1)
    min_per_label: int = Field(default=0, ge=0)
    """For every class."""


def _together(value: Any) -> Any:
    """Convert the name of a column to a list of one."""
    return [value] if isinstance(value, str) else value


class ExpectedSource(FrozenModel):
    """What is expected of the rows of a source that were known at the as-of."""

    not_null: tuple[Column, ...] = ()
    unique: tuple[
        Annotated[tuple[Column, ...], BeforeValidator(_together), Field(min_length=1, max_length=16)], ...
    ] = ()
    """Columns, or lists of columns, of whose values no two rows have the same. Rows that lack one are left out."""
    accepted_values: dict[Column, Annotated[tuple[Constant, ...], Field(min_length=1, max_length=1000)]] = Field(
        default_factory=dict
    )
    """All values of each column, as texts."""
    fresh_within: Duration | None = None
    """How long before the as-of the newest row became known at the latest."""


class ExpectedEvents(FrozenModel):
    """What is expected of the events of the stream."""

    fresh_within: Duration
    """How long before the as-of the newest event occurred at the latest."""


class Bounds(FrozenModel):
    """The least and the most that a share may be."""

    min: float | None = Field(default=None, ge=0)
    max: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> "Bounds":
        if self.min is None and self.max is None:
            raise ValueError("it has min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min must not be more than max")
        return self


class ExpectedShare(Bounds):
    """The share of a label in each of some splits."""

    splits: Annotated[tuple[Split, ...], Field(min_length=1)] = SPLITS


class Expect(FrozenModel):
    """What is expected of sources, events and rows; a build that finds otherwise fails before it commits."""

    sources: dict[str, ExpectedSource] = Field(default_factory=dict)
    events: ExpectedEvents | None = None
    label_shares: dict[LabelClass, ExpectedShare] = Field(default_factory=dict)
    rows_of_previous: Bounds | None = None
    """The number of rows, divided by that of the snapshot that the dataset's name means before the build."""


class Budget(FrozenModel):
    """The most that a build may read."""

    max_bytes_billed: Bytes


class DatasetSpec(FrozenModel):
    """A labelled dataset: stream, encoder, sources, label, rules, split, and the time at which all is known."""

    dataset: Name
    stream: Name
    encoder: EncoderRef
    adapted: EncoderRef | None = Field(default=None, exclude_if=lambda ref: ref is None)
    """An encoder with an adapter to `encoder`, whose rows are taken for events that `encoder` did not embed."""
    folder: str = Field(default=".", pattern=r"^[^\x00-\x1f\x7f]{1,200}$")
    """The folder of the user's labels/NAME.sql and rules/NAME.sql, relative to the dataset file."""
    sources: tuple[Source, ...] = ()
    label: Label
    rules: tuple[Annotated[Rule, BeforeValidator(_rule)], ...] = ()
    features: Annotated[dict[Name, Feature], Field(max_length=100)] = Field(default_factory=dict)
    split: Annotated[ByPerson | ByTime, Field(discriminator="by")]
    as_of: Time
    history: Duration | None = None
    """How long before the as-of an event may have occurred; of older ones nothing is read. By default 10 years."""
    require: Require = Require()
    expect: Expect = Expect()
    budget: Budget | None = None

    @property
    def tables(self) -> tuple[Source, ...]:
        """Return the sources, then the tables of features that are no sources, each once."""
        tables = {feature.source.name: feature.source for feature in self.features.values()}
        return (*self.sources, *(tables[name] for name in sorted(tables.keys() - {each.name for each in self.sources})))

    @property
    def feature_bits(self) -> float:
        """Return how many bits about an event its features can carry."""
        return math.fsum(feature.bits for feature in self.features.values())

    @model_validator(mode="after")
    def _adapted_is_another(self) -> Self:
        if self.adapted == self.encoder:
            raise ValueError(
                f"adapted is {self.adapted}, as encoder is: name one with an adapter to it, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _no_features_of_pairs(self) -> Self:
        if self.label.kind == "pair" and self.features:
            raise ValueError("features stand beside rows of one vector each; they do not apply to labels of pairs")
        return self

    @model_validator(mode="after")
    def _no_near_duplicates_of_pairs(self) -> Self:
        if self.label.kind == "pair" and self.split.near_duplicates:
            raise ValueError("near_duplicates compares rows of one vector each; it does not apply to labels of pairs")
        return self

    @model_validator(mode="after")
    def _unique_source_names(self) -> Self:
        names = [source.name.lower() for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError(f"two sources have the same name: {', '.join(names)}")
        if reserved := _NAMES_IN_TEMPLATES & set(names):
            raise ValueError(f"a source cannot be named {min(reserved)}, a name that queries use already")
        return self

    @model_validator(mode="after")
    def _expects_what_there_is(self) -> Self:
        sources = {source.name: source for source in self.sources}
        for name, expected in self.expect.sources.items():
            if name not in sources:
                raise ValueError(f"expect names {name}, but the sources are: {', '.join(sources) or 'none'}")
            if expected.fresh_within and not sources[name].known_at:
                raise ValueError(f"expect.sources.{name}.fresh_within needs known_at, which a copied source lacks")
        if unknown := [name for name in self.expect.label_shares if name not in self.label.classes]:
            raise ValueError(f"expect.label_shares names {unknown[0]}, which is no class of the label")
        return self

    @model_validator(mode="after")
    def _tables_declared_alike(self) -> Self:
        declared: dict[str, Source] = {}
        for source in (*self.sources, *(feature.source for feature in self.features.values())):
            first = declared.setdefault(source.name, source)
            if (first.table, first.known_at, first.customer) != (source.table, source.known_at, source.customer):
                raise ValueError(
                    f"the table {source.name} is declared in two ways: a feature must have the table, known_at and "
                    "customer of the source or of the other features of that table"
                )
        return self


def load_dataset(path: Path) -> DatasetSpec:
    """Read a dataset file. Raises UserError naming field, value and rule."""
    return read_yaml(path, DatasetSpec, what="dataset file")
