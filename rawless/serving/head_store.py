"""The live heads of a service: loaded as they are deployed, checked, and replaced while requests are answered."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from encoders.spec import EncoderSpec, Vector
from rawless.errors import UserError
from rawless.heads.artefact import MANIFEST, HeadManifest
from rawless.heads.deployment import layout_difference, live_by_space, live_encoders
from rawless.heads.session import HeadSession, open_head
from rawless.heads.signature import FEATURES
from rawless.serving.adapted import hint_adapted, space_of_vectors
from rawless.serving.config import ServedHead, split_ref
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.stream_encoders import Wanted


class HeadRequirement(NamedTuple):
    """What the versions of a deployed head must be to answer for a served head."""

    encoders: Mapping[str, EncoderSpec]
    """The encoders whose vectors it takes, by their fingerprints. One version answers for those of one space."""
    is_of_pairs: bool
    """Whether it scores queries against an index, instead of answering for one item."""
    served_head: str
    needs_classes: bool
    """Whether its answers must reach a minimum confidence."""
    needs_domain: bool = False
    """Whether it must recognise input that is out of domain."""
    spaces: Mapping[str, str] = MappingProxyType({})
    """The spaces as whose vectors it takes those of the encoders with an adapter, by their fingerprints."""

    def space_of(self, spec: EncoderSpec) -> str:
        """Return the space as whose vectors it takes those of an encoder."""
        return self.spaces.get(spec.fingerprint, spec.space)


def head_requirements(
    served: Mapping[str, ServedHead], encoders: Callable[[str], Wanted]
) -> dict[str, HeadRequirement]:
    """Return the requirement of each head that is called.

    `encoders` returns those of a served head. Raises UserError when two served heads differ in what they require.
    """
    requirements: dict[str, HeadRequirement] = {}
    for head in served.values():
        wanted, is_of_pairs = {spec.fingerprint: spec for spec in encoders(head.name).all}, head.index is not None
        spaces = {each: space_of_vectors(head, spec) for each, spec in wanted.items() if head.adapted}
        needs_classes = head.rules.minimum_confidence is not None
        needs_domain = head.rules.out_of_domain == "abstain"
        for model in head.models:
            other = requirements.get(model, HeadRequirement({}, is_of_pairs, head.name, needs_classes=False))
            if other.is_of_pairs != is_of_pairs:
                raise UserError(
                    f"heads.{other.served_head} and heads.{head.name} both name the head {model}, but differ in "
                    "index: name different heads."
                )
            if any(other.spaces.get(each) != spaces.get(each) for each in wanted.keys() & other.encoders.keys()):
                raise UserError(
                    f"heads.{other.served_head} and heads.{head.name} both name the head {model}, but differ in "
                    "adapted: name different heads."
                )
            requirements[model] = HeadRequirement(
                {**other.encoders, **wanted},
                is_of_pairs,
                head.name,
                needs_classes or other.needs_classes,
                needs_domain or other.needs_domain,
                {**other.spaces, **spaces},
            )
    return requirements


class _Place(NamedTuple):
    """Where one version of a head answers: for a name of the service's file, and the vectors of a space."""

    name: str
    space: str


class _RejectedVersion(NamedTuple):
    """A deployed version that does not fit. It is tried again when its manifest is rewritten."""

    version: int
    written_at: int | None


class _NotDeployed(UserError):
    """No version is deployed for the vectors of a space."""


class HeadStore:
    """The required heads, for each space in its live version or in the one that the service's file names.

    Safe for concurrent use, also during a refresh, of which there may be one at a time.
    """

    def __init__(
        self, folder: Path, requirements: Mapping[str, HeadRequirement], on_checked: Callable[[str, bool], None]
    ) -> None:
        """Load the heads from the folder of deployed heads; `check` tells of those that do not fit.

        `on_checked` takes a head's name and whether its deployed versions are the live ones, at each refresh.
        """
        self._folder, self._requirements, self._on_checked = folder, requirements, on_checked
        self._sessions: dict[_Place, HeadSession] = {}
        self._asked: dict[tuple[str, str], _Place] = {}
        self._errors: dict[_Place, UserError] = {}
        self._rejected: dict[_Place, _RejectedVersion] = {}
        self._of_other_spaces: dict[_Place, _RejectedVersion] = {}
        for place, spec in self._places().items():
            try:
                self._sessions[place] = self._load(place.name, self._version(place.name, spec), spec)
            except UserError as error:
                self._errors[place] = error

    def require(self, requirements: Mapping[str, HeadRequirement]) -> None:
        """Require other encoders, whose heads the next refresh loads. Those that were required before stay loaded."""
        known = self._requirements
        self._requirements = {
            name: requirement._replace(
                encoders={**known[name].encoders, **requirement.encoders},
                spaces={**known[name].spaces, **requirement.spaces},
            )
            for name, requirement in requirements.items()
        }

    def check(self, name: str, spec: EncoderSpec) -> None:
        """Raise UserError unless a version answers for the vectors of an encoder."""
        place = _Place(name, self._requirements[name].space_of(spec))
        if place not in self._sessions:
            raise self._errors.get(place) or _NotDeployed(f"{name} was not loaded for {spec.ref} yet.")

    @property
    def names(self) -> list[str]:
        """The heads as the service's file names them, sorted."""
        return sorted(self._requirements)

    @property
    def manifests(self) -> dict[str, dict[str, HeadManifest]]:
        """The manifests of the versions that answer, by the name in the file and the fingerprint of the encoder."""
        return {
            name: {
                fingerprint: session.manifest
                for fingerprint, spec in requirement.encoders.items()
                if (session := self._sessions.get(_Place(name, requirement.space_of(spec))))
            }
            for name, requirement in sorted(self._requirements.items())
        }

    def get(self, name: str, fingerprint: str, vector: Vector) -> HeadSession:
        """Return the live head that answers for a vector of shape (dimension,) of the encoder with a fingerprint.

        Raises RequestError for an unknown head, an encoder that no version answers for, or another shape.
        """
        requirement = self._requirements.get(name)
        if requirement is None:
            raise RequestError(ErrorCode.NOT_FOUND)
        spec = requirement.encoders.get(fingerprint)
        session = self._sessions.get(self._place(name, fingerprint, requirement, spec)) if spec else None
        if spec is None or session is None:
            raise RequestError(ErrorCode.HEAD_MISMATCH)
        if vector.shape != (spec.dimension,):
            raise RequestError(ErrorCode.BAD_REQUEST)
        return session

    def _place(self, name: str, fingerprint: str, requirement: HeadRequirement, spec: EncoderSpec) -> _Place:
        """Return where the head answers that is asked for, which a request must not compute: a space is a digest."""
        place = self._asked.get((name, fingerprint))
        if place is None:
            place = self._asked[name, fingerprint] = _Place(name, requirement.space_of(spec))
        return place

    def refresh(self) -> list[str]:
        """Load versions that were deployed or became required since the last call.

        Returns a message for each head that was replaced, or whose new version was rejected.
        """
        places = self._places()
        messages = [message for place, spec in places.items() if (message := self._refresh_place(place, spec))]
        for name in {place.name for place in places}:
            self._on_checked(name, not any(place.name == name for place in self._rejected))
        return messages

    def _places(self) -> dict[_Place, EncoderSpec]:
        return {
            _Place(name, requirement.space_of(spec)): spec
            for name, requirement in self._requirements.items()
            for spec in requirement.encoders.values()
        }

    def _refresh_place(self, place: _Place, spec: EncoderSpec) -> str | None:
        session, candidate = self._sessions.get(place), _RejectedVersion(0, None)
        live = session.manifest if session else None
        try:
            version = self._version(place.name, spec)
            if live and version == live.version:
                self._rejected.pop(place, None)
                return None
            name, _ = split_ref(place.name)
            candidate = _RejectedVersion(version, _manifest_time(self._folder / name / str(version)))
            if candidate in (self._rejected.get(place), self._of_other_spaces.get(place)):
                return None
            session = self._load(place.name, version, spec)
            if live and (difference := layout_difference(live, session.manifest)):
                raise UserError(f"its layout differs: {difference}. Restart the service to load it.")
        except UserError as error:
            return self._reject(place, candidate, error)
        self._sessions[place] = session
        self._rejected.pop(place, None)
        replaced = f"replaced {name}@{live.version}" if live else f"was loaded for {spec.ref}"
        return f"{name}@{version} {replaced}."

    def _reject(self, place: _Place, candidate: _RejectedVersion, error: UserError) -> str | None:
        session, self._errors[place] = self._sessions.get(place), error
        if session is None and isinstance(error, _NotDeployed):  # for an encoder that does not answer yet
            self._rejected.pop(place, None)
            self._of_other_spaces[place] = candidate
            return None
        if self._rejected.get(place) == candidate:  # reported already
            return None
        self._rejected[place] = candidate
        name, _ = split_ref(place.name)
        rejected = f"{name}@{candidate.version}" if candidate.version else f"The deployment of {name}"
        stays = f", {name}@{session.manifest.version} stays live" if session else ""
        return f"{rejected} was rejected{stays}: {error}"

    def _version(self, ref: str, spec: EncoderSpec) -> int:
        name, version = split_ref(ref)
        served_head = self._requirements[ref].served_head
        if version is not None:
            if _manifest_time(self._folder / name / str(version)) is None:
                raise UserError(
                    f"heads.{served_head} names {ref}, but {self._folder} has no version {version} of {name}: name "
                    f"another version, or bring this one there with `rawless head deploy {ref}`."
                )
            return version
        live = live_by_space(self._folder, name)
        if (version := live.get(self._requirements[ref].space_of(spec))) is not None:
            return version
        if encoders := live_encoders(self._folder, name):
            raise _NotDeployed(
                f"The head {name} of heads.{served_head} is deployed for vectors of {', '.join(encoders.values())} "
                f"only, not of {spec.ref}: deploy a version for those.{hint_adapted(spec, live)}"
            )
        raise _NotDeployed(
            f"The head {name} of heads.{served_head} is not deployed in {self._folder}: run `rawless head deploy "
            f"{name}`."
        )

    def _load(self, model: str, version: int, spec: EncoderSpec) -> HeadSession:
        name, pinned = split_ref(model)
        session = open_head(self._folder / name / str(version))
        requirement, manifest = self._requirements[model], session.manifest
        ref = f"{name}@{version}"
        if (manifest.head, manifest.version) != (name, version):
            raise UserError(f"The folder of {ref} contains {manifest.head}@{manifest.version}: deploy {ref} again.")
        try:
            session.check(requirement.spaces.get(spec.fingerprint, spec.fingerprint), requirement.space_of(spec))
        except UserError as error:
            refusal = _NotDeployed if pinned else UserError
            raise refusal(f"{error}{hint_adapted(spec, [manifest.fingerprint])}") from None
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
        _check_answer(session, spec.dimension, ref)
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
