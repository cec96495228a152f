"""Head files: the snapshot that a head is trained on, its kind, and how it is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetPydanticSchema, TypeAdapter, ValidationError, model_validator
from pydantic_core import core_schema

from rawless.config import FrozenModel, check, read_mapping
from rawless.datasets.spec import LabelClass, Name
from rawless.heads import kinds

NAME, CLASS = TypeAdapter(Name), TypeAdapter(LabelClass)
"""The rules for names of heads and of classes, see `fits`."""


def one_of(*names: str) -> GetPydanticSchema:
    """Return the annotation of a string field that takes these values only."""
    return GetPydanticSchema(lambda _source, _handler: core_schema.literal_schema(list(names)))


Widths = tuple[Annotated[int, Field(ge=1, le=4096)], ...]
"""Of hidden layers."""


class DomainSpec(FrozenModel):
    """How a classifier recognises rows that are unlike those that it was trained on."""

    quantile: float = Field(default=0.95, ge=0.5, le=0.999)
    """The share of rows like those of validation that count as in domain."""
    out_of_scope: str | None = Field(default=None, min_length=1, max_length=64)
    """A snapshot of rows that the head should abstain from, on which this is evaluated."""


OptionalDomain = Annotated[DomainSpec | None, BeforeValidator(lambda value: None if value == "none" else value)]
"""A domain, or `none` in a head file to leave it out."""


class HeadSpec(FrozenModel):
    """A head to train, with the options that every kind has. Each kind's `spec_type` adds its own."""

    head: Name
    snapshot: str = Field(min_length=1, max_length=64)
    """A snapshot's id, or a dataset's name for the snapshot that was built last."""
    kind: Annotated[str, one_of(*kinds.NAMES)]
    features: Literal["all"] | tuple[Name, ...] = "all"
    """The features of the snapshot that it takes beside the vector. All by default, since a dataset names each of its
    features and what is in the snapshot was known at the event; an empty list is none."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    epochs: int = Field(default=200, ge=1, le=10_000)
    """The maximum; training stops early."""
    patience: int = Field(default=10, ge=1)
    """Epochs without a lower validation loss, after which training stops."""
    batch_size: int = Field(default=256, ge=1, le=65_536)
    learning_rate: float = Field(default=0.005, gt=0, le=1)
    weight_decay: float = Field(default=0.0001, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _check_options(cls, data: Any) -> Any:
        """Leave out empty options of kinds, which count as not given, and refuse the options of other kinds."""
        if not isinstance(data, dict) or data.get("kind") not in kinds.NAMES:
            return data
        given = {}
        for field, value in data.items():
            owners = [] if field in HeadSpec.model_fields else _owners(field)
            if owners and value in (None, [], ()):
                continue
            if owners and data["kind"] not in owners:
                plural = "s" if len(owners) > 1 else ""
                raise ValueError(f"{field} belongs to kind{plural} {' and '.join(owners)}, not to {data['kind']}")
            given[field] = value
        return given


def _owners(option: object) -> list[str]:
    """Return the names of the kinds that have this option."""
    return [name for name in kinds.NAMES if option in kinds.find(name).spec_type.model_fields]


def spec_type(kind: Any) -> type[HeadSpec]:
    """Return the class of the specs of a kind; `HeadSpec`, which refuses it, when there is no such kind."""
    return kinds.find(kind).spec_type if kind in kinds.NAMES else HeadSpec


def head_spec(fields: Mapping[str, Any]) -> HeadSpec:
    """Return the spec with these fields, of the class that their kind has. Raises pydantic's ValidationError."""
    return spec_type(fields.get("kind")).model_validate(dict(fields))


def load_head_spec(path: Path) -> HeadSpec:
    """Read a head file. Raises UserError that names field, value and rule."""
    fields = read_mapping(path, what="head file")
    return check(fields, spec_type(fields.get("kind")), where=f"The head file {path}")


def fits(text: str, rule: TypeAdapter[str]) -> bool:
    """Return whether a text follows a rule: `NAME` or `CLASS`."""
    try:
        rule.validate_python(text)
    except ValidationError:
        return False
    return True
