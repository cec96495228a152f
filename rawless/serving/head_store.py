"""The live heads of a service: loaded as they are deployed, checked, and replaced while requests are answered."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from encoders.spec import EncoderSpec, Vector
from rawless.errors import UserError
from rawless.heads.artefact import MANIFEST, HeadManifest
from rawless.heads.deployment import layout_difference, live_by_space, live_encoders
from rawless.heads.session import HeadSession, open_head
from rawless.heads.signature import FEATURES
from rawless.serving.config import ServedHead, split_ref
from rawless.serving.errors import ErrorCode, RequestError


class HeadRequirement(NamedTuple):
    """What a deployed head must be to answer for a served head."""

    encoder: EncoderSpec
    is_of_pairs: bool
    """Whether it scores queries against an index, instead of answering for one item."""
    served_head: str
    needs_classes: bool
    """Whether its answers must reach a minimum confidence."""
    needs_domain: bool = False
    """Whether it must recognise input that is out of domain."""
    others: frozenset[str] = frozenset()
    """The fingerprints of other encoders of the same space whose vectors it takes."""

    @property
    def fingerprints(self) -> frozenset[str]:
        """The fingerprints of all encoders whose vectors it takes."""
        return self.others | {self.encoder.fingerprint}


def head_requirements(served: Mapping[str, ServedHead], specs: Mapping[str, EncoderSpec]) -> dict[str, HeadRequirement]:
    """Return the requirement of each head that is called. Raises UserError when two served heads differ in it."""
    requirements: dict[str, HeadRequirement] = {}
    for head in served.values():
        encoder, is_of_pairs = specs[head.encoder], head.index is not None
        needs_classes = head.rules.minimum_confidence is not None
        needs_domain = head.rules.out_of_domain == "abstain"
        for model in head.models:
            other = requirements.get(model, HeadRequirement(encoder, is_of_pairs, head.name, needs_classes=False))
            if (other.encoder.space, other.is_of_pairs) != (encoder.space, is_of_pairs):
                raise UserError(
                    f"heads.{other.served_head} and heads.{head.name} both name the head {model}, but differ in "
                    "encoder or index: name different heads."
                )
            requirements[model] = HeadRequirement(
                encoder,
                is_of_pairs,
                head.name,
                needs_classes or other.needs_classes,
                needs_domain or other.needs_domain,
                other.fingerprints,
            )
    return requirements


class _RejectedVersion(NamedTuple):
    """A deployed version that does not fit. It is tried again when its manifest is rewritten."""

    version: int
    written_at: int | None


class HeadStore:
    """The required heads, each in its live version or in the one that the service's file names.

    Safe for concurrent use, also during a refresh.
    """

    def __init__(
        self, folder: Path, requirements: Mapping[str, HeadRequirement], on_checked: Callable[[str, bool], None]
    ) -> None:
        """Load the heads from the folder of deployed heads.

        `on_checked` takes a head's name and whether its deployed version is the live one, at each refresh. Raises
        UserError for a head that is not deployed, or does not meet its requirement.
        """
        self._folder, self._requirements, self._on_checked = folder, requirements, on_checked
        self._fingerprints = {ref: requirement.fingerprints for ref, requirement in requirements.items()}
        self._sessions = {ref: self._load(ref, self._version(ref)) for ref in requirements}
        self._rejected: dict[str, _RejectedVersion] = {}

    @property
    def names(self) -> list[str]:
        """The heads as the service's file names them, sorted."""
        return sorted(self._sessions)

    @property
    def manifests(self) -> dict[str, HeadManifest]:
        """The manifests of the versions that answer, by the name that the service's file has for the head."""
        return {name: self._sessions[name].manifest for name in self.names}

    def get(self, name: str, fingerprint: str, vector: Vector) -> HeadSession:
        """Return the live head that answers for a vector of shape (dimension,) of the encoder with a fingerprint.

        Raises RequestError for an unknown head, another encoder or another shape.
        """
        session = self._sessions.get(name)
        if session is None:
            raise RequestError(ErrorCode.NOT_FOUND)
        if fingerprint not in self._fingerprints[name]:
            raise RequestError(ErrorCode.HEAD_MISMATCH)
        if vector.shape != (self._requirements[name].encoder.dimension,):
            raise RequestError(ErrorCode.BAD_REQUEST)
        return session

    def refresh(self) -> list[str]:
        """Load versions that were deployed since the last call.

        Returns a message for each head that was replaced, or whose new version was rejected.
        """
        return [message for name in self._sessions if (message := self._refresh_head(name))]

    def _refresh_head(self, name: str) -> str | None:
        live, candidate = self._sessions[name].manifest, _RejectedVersion(0, None)
        try:
            version = self._version(name)
            if version == live.version:
                self._accept(name)
                return None
            candidate = _RejectedVersion(version, _manifest_time(self._folder / name / str(version)))
            if candidate == self._rejected.get(name):
                return None
            session = self._load(name, version)
            if difference := layout_difference(live, session.manifest):
                raise UserError(f"its layout differs: {difference}. Restart the service to load it.")
        except UserError as error:
            return self._reject(name, candidate, error)
        self._sessions[name] = session
        self._accept(name)
        return f"{name}@{version} replaced {name}@{live.version}."

    def _accept(self, name: str) -> None:
        self._rejected.pop(name, None)
        self._on_checked(name, True)

    def _reject(self, name: str, candidate: _RejectedVersion, error: UserError) -> str | None:
        if self._rejected.get(name) == candidate:  # reported already
            return None
        self._rejected[name] = candidate
        self._on_checked(name, False)
        rejected = f"{name}@{candidate.version}" if candidate.version else f"The deployment of {name}"
        return f"{rejected} was rejected, {name}@{self._sessions[name].manifest.version} stays live: {error}"

    def _version(self, ref: str) -> int:
        name, version = split_ref(ref)
        if version is None:
            version = live_by_space(self._folder, name).get(self._requirements[ref].encoder.space)
        elif _manifest_time(self._folder / name / str(version)) is None:
            raise UserError(
                f"heads.{self._requirements[ref].served_head} names {ref}, but {self._folder} has no version {version} "
                f"of {name}: name another version, or bring this one there with `rawless head deploy {ref}`."
            )
        if version is None and (live := live_encoders(self._folder, name)):
            raise UserError(
                f"The head {name} of heads.{self._requirements[ref].served_head} is deployed for vectors of "
                f"{', '.join(live.values())} only, not of {self._requirements[ref].encoder.ref}: deploy a version for "
                "those."
            )
        if version is None:
            raise UserError(
                f"The head {name} of heads.{self._requirements[ref].served_head} is not deployed in {self._folder}: "
                f"run `rawless head deploy {name}`."
            )
        return version

    def _load(self, model: str, version: int) -> HeadSession:
        name, _ = split_ref(model)
        session = open_head(self._folder / name / str(version))
        requirement, manifest = self._requirements[model], session.manifest
        ref = f"{name}@{version}"
        if (manifest.head, manifest.version) != (name, version):
            raise UserError(f"The folder of {ref} contains {manifest.head}@{manifest.version}: deploy {ref} again.")
        session.check(requirement.encoder.fingerprint, requirement.encoder.space)
        if manifest.interface.is_of_pairs != requirement.is_of_pairs:
            raise UserError(
                f"{ref} takes {', '.join(manifest.interface.value)}, but heads.{requirement.served_head} "
                f"{'scores queries against an index' if requirement.is_of_pairs else 'answers for single items'}: name "
                "another head, or add or remove its index."
            )
        if requirement.needs_classes and not manifest.classes:
            raise UserError(
                f"{ref} returns a number, so heads.{requirement.served_head}.rules.minimum_confidence cannot apply: "
                "remove it, or name another head."
            )
        if requirement.needs_domain and not manifest.domain:
            raise UserError(
                f"{ref} has no domain, so heads.{requirement.served_head}.rules.out_of_domain cannot apply: train it "
                "again, or remove the rule."
            )
        _check_answer(session, requirement.encoder.dimension, ref)
        return session


def _manifest_time(folder: Path) -> int | None:
    """Return when a head's manifest, the last of its files, was written, in nanoseconds; None if it does not exist."""
    try:
        return (folder / MANIFEST).stat().st_mtime_ns
    except OSError:
        return None


def _check_answer(session: HeadSession, dimension: int, ref: str) -> None:
    """Call a head with zeros and missing features. Raises UserError unless it returns what its manifest declares."""
    manifest = session.manifest
    for tensor in manifest.inputs:
        if tensor.type == "float32" and tensor.name != FEATURES and tensor.shape[1:] != (dimension,):
            raise UserError(f"{ref} takes {tensor}, but its encoder's vectors have {dimension} values.")
    try:
        inputs = {
            tensor.name: np.zeros(1, np.int64) if tensor.type == "int64" else np.zeros((1, dimension), np.float32)
            for tensor in manifest.inputs
        }
        if manifest.features:
            inputs[FEATURES] = np.full((1, len(manifest.features)), np.nan, np.float32)
        ((output, values),) = session.answer(**inputs).items()
        distances = session.distances(inputs[manifest.inputs[0].name]) if manifest.domain else np.zeros(1)
    except Exception as error:  # noqa: BLE001 - the runtime's own exceptions share no base class
        raise UserError(f"{ref} does not answer ({type(error).__name__}): import or train it again.") from None
    shapes = {"probabilities": (1, len(manifest.classes)), "value": (1,), "score": (1,), "embedding": (1, dimension)}
    if values.shape != shapes.get(output) or not np.isfinite(values).all():
        raise UserError(f"{ref} returns {output} {list(values.shape)}, which is not what its manifest declares.")
    if distances is None or distances.shape != (1,) or not np.isfinite(distances).all():
        raise UserError(f"{ref} returns no distance from its domain: train it again.")
