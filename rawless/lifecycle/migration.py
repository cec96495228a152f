"""Moving a stream from one encoder to another: shadow, dual, live, one step at a time and back again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from encoders.spec import EncoderSpec
from rawless.datasets.snapshots import list_manifests
from rawless.errors import UserError
from rawless.events.stream import Stream
from rawless.heads import artefact
from rawless.heads.deployment import FILE as DEPLOYED
from rawless.heads.deployment import live_by_space
from rawless.lifecycle.usage import stream_rows
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import is_registered, registered, resolve
from rawless.warehouse.leakage_gate import enforce_gate
from rawless.warehouse.stream_pointers import Change, Pointers, Role

STEPS: tuple[Role, ...] = ("shadow", "dual", "live")
"""The roles that an encoder of a stream has one after the other."""
_ORDER: tuple[Role, ...] = ("live", "dual", "shadow", "retired")


@dataclass(frozen=True)
class StreamEncoders:
    """A stream with the encoders that its file lists, and all others that are known by their fingerprints."""

    stream: Stream
    listed: Mapping[str, EncoderSpec]
    """By their reference in the file, in its order."""
    known: Mapping[str, EncoderSpec]

    @property
    def first(self) -> str:
        """The fingerprint of the encoder that is live while the stream has no pointers."""
        return next(iter(self.listed.values())).fingerprint

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The fingerprints of the encoders that the file lists."""
        return tuple(spec.fingerprint for spec in self.listed.values())

    def ref(self, fingerprint: str) -> str:
        """Return the name and version of an encoder, or the start of a fingerprint that is not registered."""
        spec = self.known.get(fingerprint)
        return spec.ref if spec else fingerprint[:12]

    def space(self, fingerprint: str) -> str:
        """Return the space of the vectors of an encoder."""
        spec = self.known.get(fingerprint)
        return spec.space if spec else fingerprint


@dataclass(frozen=True)
class Move:
    """A step of a migration that the rules allow: nothing is changed by it yet."""

    stream: str
    encoder: str
    before: Role | None
    after: Role
    live_before: str
    live_after: str
    roles: Mapping[str, Role]
    """The new roles by fingerprint."""
    heads: tuple[str, ...] = ()
    """The heads that answer by the encoder that is live afterwards, as NAME@VERSION, if the step changes it."""
    warnings: tuple[str, ...] = ()

    @property
    def meaning(self) -> str:
        """What the step means for jobs and services, as sentences."""
        if self.live_before != self.live_after:
            return (
                f"Jobs go on with both encoders. Services that follow the stream answer by {self.live_after} as soon "
                "as they have loaded it, without a restart."
            )
        if self.after == "dual":
            return (
                f"Jobs go on as before. Services that follow the stream load {self.encoder} and call its heads beside "
                f"those of {self.live_after}, which answer."
            )
        return f"Jobs log rows of {self.encoder}, which no service reads; {self.live_after} answers."


def stream_encoders(warehouse: Warehouse, stream: Stream, *others: EncoderSpec) -> StreamEncoders:
    """Return the encoders of a stream. Raises UserError for one that is not known, or is listed twice."""
    listed = {ref: resolve(lambda: warehouse, ref) for ref in stream.encoders}
    if unsealed := next((ref for ref, spec in listed.items() if not spec.sealed), None):
        raise UserError(f"{unsealed} is not sealed: run `rawless encoder register {unsealed}` where its weights are.")
    specs = (*registered(warehouse), *listed.values(), *(each for each in others if each.sealed))
    return StreamEncoders(stream, listed, {each.fingerprint: each for each in specs})


def move_forward(
    warehouse: Warehouse, encoders: StreamEncoders, spec: EncoderSpec, pointers: Pointers, to: Role, heads: Path | None
) -> Move:
    """Return the step that gives an encoder the role `to`. Raises UserError where a rule refuses it.

    `heads` is the folder of the deployed heads, None for a stream that nothing serves.
    """
    warnings = check_adoptable(warehouse, encoders, spec)
    name, new, live = encoders.stream.stream, spec.fingerprint, live_of(pointers, encoders)
    role = role_of(pointers, encoders, new)
    position = STEPS.index(role) if role in STEPS else -1
    if STEPS.index(to) == position:
        raise UserError(f"{spec.ref} is {role} for {name} already: there is nothing to do.")
    if STEPS.index(to) < position:
        raise UserError(f"{spec.ref} is {role} for {name}: go one step back by --back instead of --to {to}.")
    if STEPS.index(to) > position + 1:
        state = f"is {role}" if role else "has no role yet"
        raise UserError(
            f"{spec.ref} {state} for {name}, and no step may be skipped: adopt it --to {STEPS[position + 1]} first."
        )
    roles: dict[str, Role] = {} if pointers.history else {live: "live"}
    if to == "dual":
        _check_logged(warehouse, name, spec)
    if to != "live":
        now = encoders.ref(live)
        return Move(name, spec.ref, role, to, now, now, {**roles, new: to}, (), warnings)
    answering = _answering(warehouse, encoders, live, new, heads)
    return Move(
        name, spec.ref, role, to, encoders.ref(live), spec.ref, {live: "dual", new: "live"}, answering, warnings
    )


def move_back(
    warehouse: Warehouse, encoders: StreamEncoders, spec: EncoderSpec, pointers: Pointers, heads: Path | None
) -> Move:
    """Return the step that takes an encoder back by one role. Raises UserError where there is none.

    Of a live encoder the one that was live before becomes live again.
    """
    name, own = encoders.stream.stream, spec.fingerprint
    role, live = role_of(pointers, encoders, own), live_of(pointers, encoders)
    if role == "dual":
        now = encoders.ref(live)
        return Move(name, spec.ref, role, "shadow", now, now, {own: "shadow"})
    if role != "live":
        state = f"is {role}" if role else "has no role"
        raise UserError(
            f"{spec.ref} {state} for {name}, from which no step leads back: to end it, remove it from the encoders of "
            "the stream file, restart the stream's jobs, and run `rawless encoder retire`."
        )
    previous = _live_before(pointers)
    if previous is None:
        raise UserError(f"No encoder was live for {name} before {spec.ref}: adopt another one --to live instead.")
    if previous not in encoders.fingerprints:
        raise UserError(
            f"{encoders.ref(previous)}, which was live before {spec.ref}, is not in the encoders of {name}'s stream "
            "file, so no rows of it are logged: add it, and restart the stream's jobs."
        )
    if pointers.roles[previous] != "dual":
        raise UserError(
            f"{encoders.ref(previous)}, which was live before {spec.ref}, is {pointers.roles[previous]} for {name}: "
            "adopt it again, step by step."
        )
    answering = _answering(warehouse, encoders, live, previous, heads)
    roles: dict[str, Role] = {own: "dual", previous: "live"}
    return Move(name, spec.ref, role, "dual", spec.ref, encoders.ref(previous), roles, answering)


def live_of(pointers: Pointers, encoders: StreamEncoders) -> str:
    """Return the fingerprint of the live encoder: of a stream without pointers the first one of its file."""
    return pointers.live or encoders.first


def role_of(pointers: Pointers, encoders: StreamEncoders, fingerprint: str) -> Role | None:
    """Return the role of an encoder, None if it has none."""
    return "live" if fingerprint == live_of(pointers, encoders) else pointers.roles.get(fingerprint)


def roles_since(pointers: Pointers) -> list[Change]:
    """Return the role of each encoder with the time since which it has it, the live one first."""
    lives = [each.since for each in pointers.history if each.role == "live"]
    changes = []
    for fingerprint, role in pointers.roles.items():
        (*_, last) = (each for each in pointers.history if each.fingerprint == fingerprint)
        changes.append(Change(role, fingerprint, last.since if last.role == role else lives[-1]))
    return sorted(changes, key=lambda each: (_ORDER.index(each.role), each.since))


def check_adoptable(warehouse: Warehouse, encoders: StreamEncoders, spec: EncoderSpec) -> tuple[str, ...]:
    """Raise UserError unless a stream may have the encoder, and return the warnings of its leakage gate."""
    stream = encoders.stream
    stream.check_modality(spec.ref, spec.modality, spec.reads)
    if not spec.sealed or not is_registered(warehouse, spec):
        raise UserError(f"{spec.ref} is not registered: run `rawless encoder register {spec.ref}`.")
    if spec.queries_of is not None:
        raise UserError(f"{spec.ref} encodes queries only: a stream needs an encoder of documents.")
    ref = next((ref for ref, each in encoders.listed.items() if each.fingerprint == spec.fingerprint), None)
    if ref is None:
        raise UserError(
            f"{spec.ref} is not in the encoders of {stream.stream}'s stream file: add it after {stream.encoders[-1]}, "
            "and restart the stream's jobs."
        )
    return tuple(enforce_gate(warehouse, stream, {ref: spec}))


def deployed_heads(warehouse: Warehouse, heads: Path, stream: str) -> dict[str, dict[str, int]]:
    """Return the deployed heads of a folder by name, each with its live version by the space of its vectors.

    Heads that were trained on snapshots of other streams are left out; those of no known snapshot are not.
    """
    manifests = list_manifests(warehouse)
    streams = {each.snapshot_id: each.spec.get("spec", each.spec).get("stream") for each in manifests}

    def is_of_stream(name: str, version: int) -> bool:
        snapshot = artefact.read(heads / name / str(version)).manifest.snapshot_id
        return bool(streams.get(snapshot or "", stream) == stream)

    found = {}
    for name in sorted(file.parent.name for file in heads.glob(f"*/{DEPLOYED}")):
        live = {space: each for space, each in live_by_space(heads, name).items() if is_of_stream(name, each)}
        if live:
            found[name] = live
    return found


def _check_logged(warehouse: Warehouse, stream: str, spec: EncoderSpec) -> None:
    if all(each.stream != stream for each in stream_rows(warehouse, spec.fingerprint)):
        raise UserError(
            f"{stream} has no rows of {spec.ref} yet: ingest with the stream file that lists it, or restart the jobs "
            "that run with a former one."
        )


def _answering(
    warehouse: Warehouse, encoders: StreamEncoders, before: str, after: str, heads: Path | None
) -> tuple[str, ...]:
    """Return the heads that answer once another encoder is live. Raises UserError where one is missing."""
    if heads is None:
        return ()
    name, old, new = encoders.stream.stream, encoders.ref(before), encoders.ref(after)
    deployed = deployed_heads(warehouse, heads, name)
    served = {head: live for head, live in deployed.items() if encoders.space(before) in live}
    if not served:
        raise UserError(
            f"No head for {name} and {old} is deployed in {heads}: name the folder that services read by --heads, or "
            "use --without-heads if none serves this stream."
        )
    space = encoders.space(after)
    if missing := [head for head, live in served.items() if space not in live]:
        raise UserError(
            f"{', '.join(missing)}: deployed for {old}, but not for {new}; train on a snapshot of {new}, and deploy "
            "that version beside the other."
        )
    return tuple(f"{head}@{live[space]}" for head, live in served.items())


def _live_before(pointers: Pointers) -> str | None:
    """Return the encoder to which a step back from the live one leads; steps back are not counted as being live."""
    stack: list[str] = []
    for each in pointers.history:
        if each.role == "live":
            known = each.fingerprint in stack
            stack = [*(stack[: stack.index(each.fingerprint)] if known else stack), each.fingerprint]
    return stack[-2] if len(stack) > 1 else None
