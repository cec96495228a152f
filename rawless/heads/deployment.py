"""Which version of a head is live: a file beside its versions, which services watch.

HEADS/NAME/1/, HEADS/NAME/2/, …      the versions (`heads.artefact`)
HEADS/NAME/deployed.json             what was deployed and rolled back, the oldest first
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field

from rawless.config import FrozenModel
from rawless.errors import UserError
from rawless.files import write_text
from rawless.heads import artefact
from rawless.heads.artefact import HeadManifest

FILE = "deployed.json"


class Change(FrozenModel):
    """A version that was made live."""

    action: Literal["deploy", "rollback"]
    version: int = Field(ge=1)
    at: AwareDatetime


class Deployment(FrozenModel):
    """Everything that was made live of one head, the oldest first."""

    changes: tuple[Change, ...] = ()

    @property
    def stack(self) -> tuple[int, ...]:
        """The versions that stand: the live one last, before it those that rolling back leads to."""
        found: list[int] = []
        for change in self.changes:
            if change.action == "deploy":
                found.append(change.version)
            else:
                found.pop()
        return tuple(found)

    def with_change(self, action: Literal["deploy", "rollback"], version: int) -> "Deployment":
        """One change more, now."""
        return Deployment(changes=(*self.changes, Change(action=action, version=version, at=datetime.now(UTC))))


def deploy(heads: Path, name: str, version: int, *, new_layout: bool = False) -> HeadManifest:
    """Make a version live, of those below `heads`. Raises UserError for another layout than that of the live one.

    With `new_layout` it is taken all the same; services that run stay with the version they have.
    """
    before, wanted = read(heads, name), artefact.read(heads / name / str(version))[0]
    if before.stack and before.stack[-1] == version:
        return wanted
    if before.stack and not new_layout:
        live = artefact.read(heads / name / str(before.stack[-1]))[0]
        if fault := layout_difference(live, wanted):
            raise UserError(
                f"{name}@{version} has another layout than the live {name}@{live.version}: {fault}. Deploy it under "
                "another name; or, with --new-layout, for services that are started anew."
            )
    _write(heads, name, before.with_change("deploy", version))
    return wanted


def rollback(heads: Path, name: str) -> HeadManifest:
    """Make the version live that was before the live one. Raises UserError when there is none."""
    before = read(heads, name)
    if len(before.stack) < 2:
        raise UserError(f"The head {name} has no version to go back to: nothing was deployed before the live one.")
    version = before.stack[-2]
    wanted, _ = artefact.read(heads / name / str(version))
    _write(heads, name, before.with_change("rollback", version))
    return wanted


def live_version(heads: Path, name: str) -> int | None:
    """The version that is live, None when none is. Raises UserError for a file that cannot be read."""
    stack = read(heads, name).stack
    return stack[-1] if stack else None


def read(heads: Path, name: str) -> Deployment:
    """What was deployed of a head; nothing, when there is no file. Raises UserError when it cannot be read."""
    path = heads / name / FILE
    try:
        found = Deployment.model_validate_json(path.read_bytes())
        _ = found.stack
    except FileNotFoundError:
        return Deployment()
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}): remove it, then deploy again.") from None
    return found


def layout_difference(live: HeadManifest, other: HeadManifest) -> str | None:
    """How two versions differ in what callers see, as a clause: encoder, tensors or classes."""
    if live.fingerprint != other.fingerprint:
        return (
            f"it takes vectors of {other.encoder}@{other.encoder_version}, not of {live.encoder}@{live.encoder_version}"
        )
    for what, mine, theirs in (("takes", live.inputs, other.inputs), ("answers", live.outputs, other.outputs)):
        if mine != theirs:
            return f"it {what} {', '.join(map(str, theirs))}, not {', '.join(map(str, mine))}"
    if live.classes != other.classes:
        return f"its classes are {', '.join(other.classes) or 'none'}, not {', '.join(live.classes) or 'none'}"
    return None


def _write(heads: Path, name: str, deployment: Deployment) -> None:
    path = heads / name / FILE
    try:
        write_text(path, deployment.model_dump_json(indent=2), mode=0o644)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({type(error).__name__}): mend the folder's permissions.") from None
