"""The heads that are live here: loaded as they were deployed, checked, and exchanged while requests go on."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from encoders.spec import EncoderSpec, Vector
from rawless.errors import UserError
from rawless.heads.artefact import MANIFEST, HeadManifest
from rawless.heads.deployment import layout_difference, live_version
from rawless.heads.session import HeadSession, open_head
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.responses import Answer, Model

PREDICTS, SCORES = (("embedding",),), (("left", "right"), ("query",), ("query", "tenant"))
"""The inputs of heads that answer of one item, and of those that score a query."""


class HeadRequirement(NamedTuple):
    """What a head must be to go where the file names it."""

    encoder: EncoderSpec
    inputs: Sequence[tuple[str, ...]]
    at: str
    """The name that asks it."""
    confident: bool
    """Whether its answers are held to a minimum of confidence."""


class _RejectedVersion(NamedTuple):
    """A version that was refused; it is tried again when its folder was written since."""

    version: int
    written: int | None


class HeadStore:
    """The live version of each head that a service names. Safe to ask from several threads, also while it refreshes."""

    def __init__(self, folder: Path, wanted: Mapping[str, HeadRequirement], told: Callable[[str, bool], None]) -> None:
        """Load them. `told` learns of each head whether what is deployed now is what answers.

        Raises UserError for one that is not deployed, or does not fit.
        """
        self._folder, self._wanted, self._told = folder, wanted, told
        self._sessions = {name: self._load(name, self._deployed(name)) for name in wanted}
        self._refused: dict[str, _RejectedVersion] = {}

    def __getitem__(self, name: str) -> HeadSession:
        """The head that is live now."""
        return self._sessions[name]

    @property
    def names(self) -> list[str]:
        """Of all heads."""
        return sorted(self._sessions)

    @property
    def manifests(self) -> list[HeadManifest]:
        """Of all heads, by name."""
        return [self._sessions[name].manifest for name in self.names]

    def answer(self, name: str, fingerprint: str, vector: Vector) -> Answer:
        """What a head says of a vector of shape (dimension,). Raises RequestError for one of another encoder."""
        session = self.of(name, fingerprint, vector)
        manifest = session.manifest
        ((output, answered),) = session.answer(embedding=np.asarray(vector, np.float32)[None]).items()
        if not np.isfinite(answered).all():
            raise RequestError(ErrorCode.HEAD_FAILED)
        model = Model.of(manifest)
        if output == "probabilities":
            return Answer(model=model, probabilities=dict(zip(manifest.classes, answered[0].tolist(), strict=True)))
        return Answer(model=model, value=float(answered[0]))

    def of(self, name: str, fingerprint: str, vector: Vector) -> HeadSession:
        """The head that is live now, for a vector of that encoder. Raises RequestError for another."""
        session = self._sessions.get(name)
        if session is None:
            raise RequestError(ErrorCode.NOT_FOUND)
        if session.manifest.fingerprint != fingerprint:
            raise RequestError(ErrorCode.HEAD_MISMATCH)
        if vector.shape != (self._wanted[name].encoder.dimension,):
            raise RequestError(ErrorCode.BAD_REQUEST)
        return session

    def refresh(self) -> list[str]:
        """Take up what was deployed since; a sentence for each head that changed, or does not fit and so did not."""
        return [told for name in self._sessions if (told := self._refresh(name))]

    def _refresh(self, name: str) -> str | None:
        live, seen = self._sessions[name].manifest, _RejectedVersion(0, None)
        try:
            version = self._deployed(name)
            if version == live.version:
                self._settled(name)
                return None
            seen = _RejectedVersion(version, _written(self._folder / name / str(version)))
            if seen == self._refused.get(name):
                return None
            session = self._load(name, version)
            if fault := layout_difference(live, session.manifest):
                raise UserError(f"it has another layout: {fault}. Start the service anew to take it.")
        except UserError as error:
            return self._kept(name, seen, error)
        self._sessions[name] = session
        self._settled(name)
        return f"{name}@{version} answers from now on, instead of {name}@{live.version}."

    def _settled(self, name: str) -> None:
        self._refused.pop(name, None)
        self._told(name, True)

    def _kept(self, name: str, seen: "_RejectedVersion", error: UserError) -> str | None:
        if self._refused.get(name) == seen:
            return None
        self._refused[name] = seen
        self._told(name, False)
        what = f"{name}@{seen.version}" if seen.version else f"What is deployed of {name}"
        return f"{what} is not taken up, {name}@{self._sessions[name].manifest.version} stays: {error}"

    def _deployed(self, name: str) -> int:
        version = live_version(self._folder, name)
        if version is None:
            raise UserError(
                f"The head {name}, which {self._wanted[name].at} asks, is not deployed in {self._folder}: run "
                f"`rawless head deploy {name}`."
            )
        return version

    def _load(self, name: str, version: int) -> HeadSession:
        session = open_head(self._folder / name / str(version))
        wanted, manifest = self._wanted[name], session.manifest
        told = f"{name}@{version}"
        if (manifest.head, manifest.version) != (name, version):
            raise UserError(f"The folder of {told} holds {manifest.head}@{manifest.version}: deploy it again.")
        session.check(wanted.encoder.fingerprint)
        inputs = tuple(each.name for each in manifest.inputs)
        if inputs not in wanted.inputs:
            raise UserError(
                f"{told} takes {', '.join(inputs)}, but heads.{wanted.at} "
                f"{'scores queries against an index' if wanted.inputs == SCORES else 'answers of one item'}: name "
                "another head, or give or take away its index."
            )
        if wanted.confident and not manifest.classes:
            raise UserError(f"{told} answers a number, so heads.{wanted.at}.rules.minimum_confidence cannot hold it.")
        _try(session, wanted.encoder.dimension, told)
        return session


def _written(folder: Path) -> int | None:
    """When a head's manifest was, which comes last of its files; None while it is not there."""
    try:
        return (folder / MANIFEST).stat().st_mtime_ns
    except OSError:
        return None


def _try(session: HeadSession, dimension: int, told: str) -> None:
    """Ask a head for nothing's vector. Raises UserError when it gives no answer of the shape that it should."""
    manifest = session.manifest
    for each in manifest.inputs:
        if each.type == "float32" and each.shape[1:] != (dimension,):
            raise UserError(f"{told} takes {each}, but its encoder's vectors have {dimension} values.")
    try:
        given = {
            each.name: np.zeros(1, np.int64) if each.type == "int64" else np.zeros((1, dimension), np.float32)
            for each in manifest.inputs
        }
        ((output, answered),) = session.answer(**given).items()
    except Exception as error:  # noqa: BLE001 - the runtime's own exceptions share no base class
        raise UserError(f"{told} does not answer ({type(error).__name__}): import or train it again.") from None
    shapes = {"probabilities": (1, len(manifest.classes)), "value": (1,), "score": (1,), "embedding": (1, dimension)}
    if answered.shape != shapes.get(output) or not np.isfinite(answered).all():
        raise UserError(f"{told} answers {output} {list(answered.shape)}, which is not what a head answers.")
