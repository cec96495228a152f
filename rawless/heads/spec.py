"""A head's file: which snapshot it is trained on, what kind of model it is, and how it is trained."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from rawless.config import FrozenModel, read_yaml
from rawless.datasets.spec import LabelClass, Name

Kind = Literal["linear", "mlp", "pair", "query_transform"]
NAME, CLASS = TypeAdapter(Name), TypeAdapter(LabelClass)
"""What a head may be called, and what a class."""
PAIR_HIDDEN = (256, 128, 64)
"""Of two vectors concatenated, before the score."""


class HeadSpec(FrozenModel):
    """A head to train. What is not said is a default, and recorded with the rest."""

    head: Name
    snapshot: str = Field(min_length=1, max_length=64)
    """A snapshot's id, or a dataset's name for its newest."""
    kind: Kind
    hidden: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = ()
    """Widths of the layers between vector and answer, of kind mlp (default 128) and pair (256, 128, 64)."""
    positive: str | None = None
    """Of kinds pair and query_transform: the class that says that two belong together; the last one by default."""
    tenant: Name | None = None
    """Of kind query_transform: the attribute whose values have a transform each, all near a shared one."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    epochs: int = Field(default=200, ge=1, le=10_000)
    """At most: training stops early."""
    patience: int = Field(default=10, ge=1)
    """Epochs without a better loss on validation, after which training stops."""
    batch_size: int = Field(default=256, ge=1, le=65_536)
    learning_rate: float = Field(default=0.005, gt=0, le=1)
    weight_decay: float = Field(default=0.0001, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _hidden(cls, data: Any) -> Any:
        defaults: dict[str, tuple[int, ...]] = {"mlp": (128,), "pair": PAIR_HIDDEN}
        if isinstance(data, dict) and not data.get("hidden") and isinstance(data.get("kind"), str):
            return data | {"hidden": defaults.get(data["kind"], ())}
        return data

    @model_validator(mode="after")
    def _fitting(self) -> "HeadSpec":
        if self.hidden and self.kind not in ("mlp", "pair"):
            raise ValueError(f"hidden belongs to kinds mlp and pair, not to {self.kind}")
        if self.positive is not None and self.kind not in ("pair", "query_transform"):
            raise ValueError(f"positive belongs to kinds pair and query_transform, not to {self.kind}")
        if self.tenant is not None and self.kind != "query_transform":
            raise ValueError(f"tenant belongs to kind query_transform, not to {self.kind}")
        return self

    @property
    def is_of_pairs(self) -> bool:
        """Whether it is trained on pairs of events."""
        return self.kind in ("pair", "query_transform")


def load_head_spec(path: Path) -> HeadSpec:
    """Read a head's file. Raises UserError naming field, value and rule."""
    return read_yaml(path, HeadSpec, what="head file")


def fits(text: str, rule: TypeAdapter[str]) -> bool:
    """Whether a text is what the rule says: NAME or CLASS."""
    try:
        rule.validate_python(text)
    except ValidationError:
        return False
    return True
