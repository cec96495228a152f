"""Which encoder answers for each served head: a plan, replaced as a whole when another encoder becomes live."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from encoders.release import Release
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.heads.deployment import answer_difference
from rawless.serving.config import ServedHead
from rawless.serving.metrics import Metrics
from rawless.serving.responses import Loaded
from rawless.serving.stream_encoders import StreamEncoders


class PlannedEncoder(NamedTuple):
    """An encoder whose heads answer."""

    spec: EncoderSpec
    fingerprint: str
    release: Release | None
    """For the vectors that are logged, if any are."""


class Plan(NamedTuple):
    """Which encoders answer, by served head. A request takes one plan at its start and ends by it."""

    live: Mapping[str, PlannedEncoder]
    towers: Mapping[str, PlannedEncoder]
    """The arms that are encoders of queries, by their references."""
    dual: Mapping[str, tuple[PlannedEncoder, ...]]
    """The encoders whose heads are called beside."""

    def encoder_of(self, head: str, arm: str) -> PlannedEncoder:
        """Return the encoder whose vector an arm of a served head takes."""
        return self.towers.get(arm, self.live[head])


class EncoderSwitch:
    """Makes the plan. It follows the roles of encoders as soon as another encoder can answer, and not before."""

    def __init__(
        self,
        served: Mapping[str, ServedHead],
        encoders: StreamEncoders,
        noise_key: bytes | None,
        *,
        check_log: Callable[[ServedHead, EncoderSpec], None],
        report: Callable[[str], None],
        metrics: Metrics,
    ) -> None:
        """Plan the live encoders, before it is known what can answer.

        `noise_key` is for the encoders with noise. `check_log` raises UserError if an encoder's vectors may not be
        logged for a head. `report` takes a message for the operator.
        """
        self._encoders, self._noise_key = encoders, noise_key
        self._check_log, self._report, self._metrics = check_log, report, metrics
        groups: dict[tuple[str, str | None], list[ServedHead]] = {}
        for head in served.values():
            groups.setdefault((head.stream.stream, None if head.follows_stream else head.encoder), []).append(head)
        self._groups: Sequence[list[ServedHead]] = list(groups.values())
        """Heads that change their encoder together."""
        self._messages: dict[str, tuple[str | None, int]] = {}
        self._is_started = False
        live = {name: self._plan(head, encoders.of(name).live) for name, head in served.items()}
        towers = {tower.ref: tower for name in served for tower in encoders.towers(name)}
        planned = {ref: PlannedEncoder(tower, tower.fingerprint, None) for ref, tower in towers.items()}
        self.plan = Plan(live, planned, dict.fromkeys(served, ()))

    def check_logs(self) -> None:
        """Raise UserError if the embeddings of an encoder of the plan may not be logged."""
        for head in (head for heads in self._groups for head in heads):
            if head.log:
                self._check_log(head, self.plan.live[head.name].spec)

    @property
    def is_settled(self) -> bool:
        """Whether each head answers for its live encoder, and no other encoder has a role."""
        wanted = {name: self._encoders.of(name) for name in self.plan.live}
        return self._is_started and all(
            not each.dual and not self.plan.dual[name] and each.live == self.plan.live[name].spec
            for name, each in wanted.items()
        )

    def update(self, fingerprints: frozenset[str], loaded: Loaded) -> None:
        """Replace the plan if other encoders should and can answer.

        `fingerprints` are the encoders that are loaded, `loaded` the heads and indexes. The first time, an encoder that
        is dual answers where the live one cannot, and UserError is raised for a head that none can answer for.
        """
        live, dual = dict(self.plan.live), dict(self.plan.dual)
        for heads in self._groups:
            if not heads[0].follows_stream and self._is_started:
                continue
            stream, wanted = heads[0].stream.stream, self._encoders.of(heads[0].name)
            current = self.plan.live[heads[0].name].spec
            chosen, obstacle = self._choose(heads, fingerprints, loaded)
            self._tell(stream, obstacle and f"The stream {stream} stays with {chosen.ref}: {obstacle}")
            if chosen != current or not self._is_started:
                live |= {head.name: self._plan(head, chosen) for head in heads}
            if chosen != current and self._is_started:
                self._report(f"The stream {stream} is answered by {chosen.ref} instead of {current.ref}.")
            beside = []
            for spec in wanted.dual:
                problem = None if spec == chosen else self._obstacle(heads, spec, fingerprints, loaded, chosen)
                self._tell(f"{stream} {spec.ref}", problem and f"Heads of {spec.ref} are not called beside: {problem}")
                if spec != chosen and not problem:
                    beside.append(spec)
            dual |= {head.name: tuple(self._plan(head, spec, logged=False) for spec in beside) for head in heads}
            self._count(heads[0], chosen, [current, *wanted.all], is_current=obstacle is None)
        self.plan, self._is_started = self.plan._replace(live=live, dual=dual), True

    def _choose(
        self, heads: Sequence[ServedHead], fingerprints: frozenset[str], loaded: Loaded
    ) -> tuple[EncoderSpec, str | None]:
        """Return the encoder that answers for heads, and why it is not the live one, if so."""
        wanted, current = self._encoders.of(heads[0].name), self.plan.live[heads[0].name].spec
        if not self._is_started:
            obstacles: list[str] = []
            for spec in wanted.all:
                problem = self._obstacle(heads, spec, fingerprints, loaded, None) or self._log_problem(heads, spec)
                if problem is None:
                    return spec, obstacles[0] if obstacles else None
                obstacles.append(problem)
            raise UserError(obstacles[0])
        if wanted.live == current:
            return current, None
        obstacle = self._obstacle(heads, wanted.live, fingerprints, loaded, current)
        obstacle = obstacle or self._log_problem(heads, wanted.live)
        return (current, obstacle) if obstacle else (wanted.live, None)

    def _obstacle(
        self,
        heads: Sequence[ServedHead],
        spec: EncoderSpec,
        fingerprints: frozenset[str],
        loaded: Loaded,
        current: EncoderSpec | None,
    ) -> str | None:
        """Return why an encoder cannot answer for heads, as a sentence, or None."""
        fingerprint = spec.fingerprint
        if fingerprint not in fingerprints:
            return f"{spec.ref} is not loaded yet, or cannot be."
        for head in heads:
            for model in head.models:
                versions = loaded.heads.get(model, {})
                manifest = versions.get(fingerprint)
                if manifest is None:
                    return f"{model} of heads.{head.name} has no live version for vectors of {spec.ref} that fits."
                before = versions.get(current.fingerprint) if current else None
                if before and before != manifest and (difference := answer_difference(before, manifest)):
                    return (
                        f"{manifest.head}@{manifest.version} answers unlike {before.head}@{before.version}: "
                        f"{difference}. Restart the service to change to it."
                    )
            if head.index and (problem := self._index_obstacle(head, spec, fingerprints, loaded)):
                return problem
        return None

    def _index_obstacle(
        self, head: ServedHead, spec: EncoderSpec, fingerprints: frozenset[str], loaded: Loaded
    ) -> str | None:
        """Return why a head's index or query towers cannot answer beside an encoder, as a sentence, or None."""
        snapshots = loaded.indexes.get(head.index or "", {})
        if spec.fingerprint not in snapshots:
            return f"heads.{head.name}.index {head.index} has no snapshot with vectors of {spec.ref}."
        for tower in self._encoders.towers(head.name):
            if tower.fingerprint not in fingerprints:
                return f"{tower.ref} is not loaded yet, or cannot be."
            if snapshots.get(tower.fingerprint) != snapshots[spec.fingerprint]:
                return (
                    f"heads.{head.name}.arms names {tower.ref}, which encodes no queries for documents of {spec.ref}: "
                    "remove the arm, or name an encoder for the head."
                )
        return None

    def _log_problem(self, heads: Sequence[ServedHead], spec: EncoderSpec) -> str | None:
        """Return why the vectors of an encoder may not be logged for heads, as a sentence, or None."""
        try:
            for head in heads:
                if head.log:
                    self._plan(head, spec)
                    self._check_log(head, spec)
        except UserError as error:
            return str(error)
        return None

    def _plan(self, head: ServedHead, spec: EncoderSpec, *, logged: bool = True) -> PlannedEncoder:
        release = Release(spec, self._noise_key) if head.log and logged else None
        return PlannedEncoder(spec, spec.fingerprint, release)

    def tell_obstacle(self, error: UserError) -> None:
        """Report, once, that no encoder can answer for a head."""
        self._tell("", str(error))

    def _tell(self, key: str, message: str | None) -> None:
        """Report a message the second time that it comes: what is being loaded meanwhile is no news."""
        last, times = self._messages.get(key, (None, 0))
        times = times + 1 if message == last else 1
        if message and times == 2:
            self._report(message)
        self._messages[key] = message, times

    def _count(self, head: ServedHead, chosen: EncoderSpec, specs: Iterable[EncoderSpec], *, is_current: bool) -> None:
        for spec in specs if head.follows_stream else ():
            self._metrics.live.labels(head.stream.stream, spec.ref).set(spec == chosen)
        if head.follows_stream:
            self._metrics.follows.labels(head.stream.stream).set(is_current)
