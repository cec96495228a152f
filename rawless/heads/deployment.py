"""Deploying heads: a file beside the versions of a head names the live one, and services watch it.

HEADS/NAME/1/, HEADS/NAME/2/, …      the versions, see `rawless.heads.artefact`
HEADS/NAME/deployed.json             deployments and rollbacks, the oldest first
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
    """A deployment or rollback, and the version that it made live."""

    action: Literal["deploy", "rollback"]
    version: int = Field(ge=1)
    at: AwareDatetime


class Deployment(FrozenModel):
    """The history of deployments of one head, the oldest change first."""

    changes: tuple[Change, ...] = ()

    @property
    def stack(self) -> tuple[int, ...]:
        """The deployed versions that were not rolled back; the last one is live."""
        versions: list[int] = []
        for change in self.changes:
            if change.action == "deploy":
                versions.append(change.version)
            else:
                versions.pop()
        return tuple(versions)

    def with_change(self, action: Literal["deploy", "rollback"], version: int) -> "Deployment":
        """Return the history with one more change, made now."""
        return Deployment(changes=(*self.changes, Change(action=action, version=version, at=datetime.now(UTC))))


def deploy(heads: Path, name: str, version: int, *, new_layout: bool = False) -> HeadManifest:
    """Make a version of a head below `heads` live, and return its manifest.

    Raises UserError when its layout differs from that of the live version, unless `new_layout` is set; then running
    services keep the version that they have.
    """
    deployment, manifest = read(heads, name), artefact.read(heads / name / str(version)).manifest
    if deployment.stack and deployment.stack[-1] == version:
        return manifest
    if deployment.stack and not new_layout:
        live = artefact.read(heads / name / str(deployment.stack[-1])).manifest
        if difference := layout_difference(live, manifest):
            raise UserError(
                f"{name}@{version} has different inputs, outputs or classes from the live {name}@{live.version}: "
                f"{difference}. Deploy it under another name, or use --new-layout and restart the services."
            )
    _write(heads, name, deployment.with_change("deploy", version))
    return manifest


def rollback(heads: Path, name: str) -> HeadManifest:
    """Make the previously live version live again, and return its manifest. Raises UserError when there is none."""
    deployment = read(heads, name)
    if len(deployment.stack) < 2:
        raise UserError(f"The head {name} cannot be rolled back: no other version was deployed before the live one.")
    version = deployment.stack[-2]
    manifest = artefact.read(heads / name / str(version)).manifest
    _write(heads, name, deployment.with_change("rollback", version))
    return manifest


def live_version(heads: Path, name: str) -> int | None:
    """Return the version that is live, or None when none is. Raises UserError for a file that cannot be read."""
    stack = read(heads, name).stack
    return stack[-1] if stack else None


def read(heads: Path, name: str) -> Deployment:
    """Return the deployments of a head, none when there is no file. Raises UserError for a file that cannot be read."""
    path = heads / name / FILE
    try:
        deployment = Deployment.model_validate_json(path.read_bytes())
        _ = deployment.stack  # raises for a rollback without a deployment
    except FileNotFoundError:
        return Deployment()
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}): remove it, then deploy again.") from None
    return deployment


def layout_difference(live: HeadManifest, other: HeadManifest) -> str | None:
    """Return how two versions differ in encoder, tensors, features or classes, as a clause; None if in none of them.

    These are what callers see.
    """
    if live.space != other.space:
        return (
            f"it takes vectors of {other.encoder}@{other.encoder_version}, not of {live.encoder}@{live.encoder_version}"
        )
    for verb, before, after in (("takes", live.inputs, other.inputs), ("returns", live.outputs, other.outputs)):
        if before != after:
            return f"it {verb} {', '.join(map(str, after))}, not {', '.join(map(str, before))}"
    if live.features != other.features:
        return f"its features are {'; '.join(map(str, other.features))}, not {'; '.join(map(str, live.features))}"
    if live.classes != other.classes:
        return f"its classes are {', '.join(other.classes) or 'none'}, not {', '.join(live.classes) or 'none'}"
    return None


def _write(heads: Path, name: str, deployment: Deployment) -> None:
    path = heads / name / FILE
    try:
        # Who may open the folder may read the file: only the owner in the home folder, services elsewhere.
        write_text(path, deployment.model_dump_json(indent=2), mode=path.parent.stat().st_mode & 0o666)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({type(error).__name__}): check the folder's permissions and free space."
        ) from None
