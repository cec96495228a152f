"""`Decisions`: the fields of a spec that is being made, each with the file, the option or the default it came from."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

DEFAULT = "default"


class Decision(NamedTuple):
    """A field of a spec by its path, its value, and where that came from."""

    field: str
    value: Any
    origin: str


class Unmet(NamedTuple):
    """Something that a file of the model asks for and its spec does not have, or that a person has to decide."""

    what: str
    file: str


@dataclass
class Decisions:
    """What was decided about a model, in the order of the decisions, and what was not met."""

    made: dict[str, Decision] = field(default_factory=dict)
    unmet: list[Unmet] = field(default_factory=list)

    def decide(self, field: str, value: Any, origin: str) -> None:
        """Decide a field; a path such as `preprocessing.max_tokens` names a field of a part."""
        self.made[field] = Decision(field, value, origin)

    def miss(self, what: str, file: str) -> None:
        """Report something that a file asks for and that is not met."""
        self.unmet.append(Unmet(what, file))

    def origin(self, field: str) -> str | None:
        """Return where a field came from; None for a field that nothing was decided about."""
        return self.made[field].origin if field in self.made else None

    def data(self) -> dict[str, Any]:
        """Return the fields as the mapping that a spec is parsed from."""
        data: dict[str, Any] = {}
        for decision in self.made.values():
            *parts, name = decision.field.split(".")
            target = data
            for part in parts:
                target = target.setdefault(part, {})
            target[name] = decision.value
        return data
