"""`ImportOptions`: what the caller of an import says, because no file of the model does, or against what one says."""

from dataclasses import dataclass, fields

from rawless.content import Modality
from rawless.errors import UserError


@dataclass(frozen=True)
class ImportOptions:
    """The options of `rawless encoder import`; None where the caller leaves a field to the files and the defaults."""

    modality: Modality | None = None
    pooling: str | None = None
    layer: int | None = None
    dimension: int | None = None
    max_tokens: int | None = None
    prompt_document: str | None = None
    prompt_query: str | None = None
    training_domain: str | None = None
    precision: str | None = None

    def refuse(self, *names: str, reason: str) -> None:
        """Raise UserError if one of the named options was given; `reason` says why it has no meaning here."""
        for option in fields(self):
            if option.name in names and getattr(self, option.name) is not None:
                raise UserError(f"{option_name(option.name)} was given, but {reason}: leave it out.")


def option_name(field: str) -> str:
    """Return the name of an option on the command line."""
    return f"--{field.replace('_', '-')}"
