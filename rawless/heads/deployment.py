"""Deploying heads: a file beside the versions of a head names the live one of each space, and services watch it.

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
    """A deployment or rollback, and the version that it made live for the vectors of a space."""

    action: Literal["deploy", "rollback"]
    version: int = Field(ge=1)
    at: AwareDatetime
    space: str = ""
    """See `HeadManifest.space`. A file from before versions were live by space does not name it."""


class Deployment(FrozenModel):
    """The history of deployments of one head, the oldest change first."""

    changes: tuple[Change, ...] = ()

    @property
    def standing(self) -> tuple[Change, ...]:
        """The deployments that were not rolled back, the oldest first; the last one of a space is live."""
        standing: list[Change] = []
        for change in self.changes:
            if change.action == "deploy":
                standing.append(change)
            elif change.space:
                standing.remove(next(each for each in reversed(standing) if each.space == change.space))
            else:  # there was one live version for all spaces
                standing.pop()
        return tuple(standing)

    @property
    def live(self) -> dict[str, int]:
        """The live version by space, in the order in which the spaces were first deployed."""
        return {change.space: change.version for change in self.standing if change.space}

    def stack(self, space: str) -> tuple[int, ...]:
        """The versions for a space that were deployed and not rolled back; the last one is live."""
        return tuple(change.version for change in self.standing if change.space == space)

    def with_change(self, action: Literal["deploy", "rollback"], manifest: HeadManifest) -> "Deployment":
        """Return the history with one more change, made now."""
        change = Change(action=action, version=manifest.version, at=datetime.now(UTC), space=manifest.space)
        return Deployment(changes=(*self.changes, change))


def deploy(heads: Path, name: str, version: int, *, new_layout: bool = False) -> HeadManifest:
    """Make a version of a head below `heads` live for its space, and return its manifest.

    Live versions for other spaces stay live beside it. Raises UserError when its layout differs from that of a live
    version, unless `new_layout` is set; then running services keep the version that they have.
    """
    deployment, manifest = read(heads, name), artefact.read(heads / name / str(version)).manifest
    live = deployment.live
    if live.get(manifest.space) == version:
        return manifest
    if not new_layout:
        for other in live.values():
            _check_layout(artefact.read(heads / name / str(other)).manifest, manifest)
    _write(heads, name, deployment.with_change("deploy", manifest))
    return manifest


def _check_layout(live: HeadManifest, manifest: HeadManifest) -> None:
    compare = layout_difference if live.space == manifest.space else answer_difference
    if difference := compare(live, manifest):
        raise UserError(
            f"{manifest.head}@{manifest.version} has different inputs, outputs or classes from the live "
            f"{live.head}@{live.version}: {difference}. Deploy it under another name, or use --new-layout and restart "
            "the services."
        )


def rollback(heads: Path, name: str, encoder: str | None = None) -> HeadManifest:
    """Make the version live again that was live before, for the same space, and return its manifest.

    `encoder` is that of the live version to roll back, as in `minilm@1.0.0`; it is needed when several are live.
    Raises UserError when there is no version before, or not one live version to roll back.
    """
    deployment, encoders = read(heads, name), live_encoders(heads, name)
    live = {space: version for space, version in deployment.live.items() if encoder in (None, encoders[version])}
    if encoders and len(live) != 1:
        versions = ", ".join(f"{name}@{version} for {each}" for version, each in encoders.items())
        raise UserError(f"Live are {versions}: name the encoder of one of them by --encoder.")
    for space, version in live.items():
        if len(stack := deployment.stack(space)) > 1:
            restored = artefact.read(heads / name / str(stack[-2])).manifest
            _write(heads, name, deployment.with_change("rollback", restored))
            return restored
        raise UserError(f"{name}@{version} cannot be rolled back: no other version was deployed before it.")
    raise UserError(f"The head {name} cannot be rolled back: it is not deployed in {heads}.")


def live_by_space(heads: Path, name: str) -> dict[str, int]:
    """Return the live version of a head for each space that has one. Raises UserError for a file that cannot be read.

    See `HeadManifest.space`; for most encoders the space is the fingerprint.
    """
    return read(heads, name).live


def live_encoders(heads: Path, name: str) -> dict[int, str]:
    """Return the encoder of each live version of a head, as in `minilm@1.0.0`; if one is broken, its space."""
    manifests = {
        space: (version, _manifest_of(heads / name / str(version))) for space, version in read(heads, name).live.items()
    }
    return {
        version: manifest.encoder_ref if manifest else space[:12] for space, (version, manifest) in manifests.items()
    }


def read(heads: Path, name: str) -> Deployment:
    """Return the deployments of a head, none when there is no file. Raises UserError for a file that cannot be read.

    Deployments that do not name their space get that of the version; one whose manifest is gone keeps none.
    """
    path = heads / name / FILE
    try:
        written = Deployment.model_validate_json(path.read_bytes())
        changes = (
            change.model_copy(update={"space": _space_of(path.parent / str(change.version))})
            if change.action == "deploy" and not change.space
            else change
            for change in written.changes
        )
        deployment = Deployment(changes=tuple(changes))
        _ = deployment.standing  # raises for a rollback without a deployment
    except FileNotFoundError:
        return Deployment()
    except (OSError, ValueError, IndexError, StopIteration) as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}): remove it, then deploy again.") from None
    return deployment


def _space_of(version: Path) -> str:
    manifest = _manifest_of(version)
    return manifest.space if manifest else ""


def _manifest_of(version: Path) -> HeadManifest | None:
    """Return a manifest without checking it, None if it cannot be read."""
    try:
        return HeadManifest.model_validate_json((version / artefact.MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None


def layout_difference(live: HeadManifest, other: HeadManifest) -> str | None:
    """Return how two versions differ in space, tensors, features or classes, as a clause; None if in none of them."""
    if live.space != other.space:
        return f"it takes vectors of {other.encoder_ref}, not of {live.encoder_ref}"
    return answer_difference(live, other)


def answer_difference(live: HeadManifest, other: HeadManifest) -> str | None:
    """Return how two versions differ in what callers see, as a clause, or None.

    These are tensors, features and classes; for versions of two spaces not the widths of tensors, since the encoders'
    vectors may have different ones.
    """
    for verb, before, after in (("takes", live.inputs, other.inputs), ("returns", live.outputs, other.outputs)):
        ignores_widths = live.space != other.space and [each.name for each in before] == [each.name for each in after]
        if before != after and not ignores_widths:
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
