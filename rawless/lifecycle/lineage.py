"""The lineage of an encoder: its versions, and the streams, datasets, heads and services that depend on each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from typing import Literal

from encoders import catalogue
from encoders.spec import EncoderSpec
from encoders.versions import Bump, Change, changes, order, required_bump
from rawless.datasets.snapshots import Manifest, list_manifests
from rawless.errors import UserError
from rawless.heads import registry
from rawless.lifecycle.usage import StreamRows, stream_rows
from rawless.warehouse import stream_pointers
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import registered

Relation = Literal["parent", "adapter source", "adapter target", "documents"]


@dataclass(frozen=True)
class Service:
    """A service, with the heads that it calls by the encoder whose vectors they take."""

    name: str
    heads: Mapping[str, Sequence[str]]
    """Names of heads by the reference of the encoder."""


@dataclass(frozen=True)
class DatasetUse:
    """The snapshots of one dataset with vectors of an encoder."""

    dataset: str
    stream: str
    snapshots: tuple[str, ...]
    """Ids, the newest first."""


@dataclass(frozen=True)
class HeadUse:
    """The versions of one head that take vectors of an encoder, and the datasets that they were trained on."""

    head: str
    versions: tuple[int, ...]
    """The newest first."""
    datasets: tuple[str, ...]


@dataclass(frozen=True)
class Version:
    """One version of an encoder and what depends on it."""

    spec: EncoderSpec
    streams: tuple[StreamRows, ...]
    roles: Mapping[str, str]
    """Its role by stream, where it has one."""
    datasets: tuple[DatasetUse, ...]
    heads: tuple[HeadUse, ...]
    services: tuple[tuple[str, str], ...]
    """Names of services, each with one of its heads."""

    @property
    def row_count(self) -> int:
        """The number of its rows in all streams."""
        return sum(each.row_count for each in self.streams)

    @property
    def head_count(self) -> int:
        """The number of heads that take its vectors."""
        return len(self.heads)


@dataclass(frozen=True)
class Step:
    """What changed from one version to the next."""

    before: str
    after: str
    bump: Bump
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Lineage:
    """All sealed versions of an encoder's name, and the encoders that were made of them."""

    name: str
    versions: tuple[Version, ...]
    """In the order of versions; those that were made of them by an adapter, a defence or a tower follow."""
    steps: tuple[Step, ...]
    relations: tuple[tuple[str, str, Relation], ...]
    """References of two encoders, and what the first is to the second."""
    made_at: datetime


def lineage(warehouse: Warehouse, name: str, services: Sequence[Service], now: datetime) -> Lineage:
    """Return the lineage of the encoder with a name. Raises UserError when no sealed version of it is known."""
    known = _known(warehouse)
    own = sorted((spec for spec in known if spec.name == name), key=lambda spec: order(spec.version))
    if not own:
        names = ", ".join(sorted({spec.name for spec in known})) or "none"
        raise UserError(f"There is no sealed encoder {name!r}: name one of {names}, without its version.")
    of = {spec.fingerprint: spec for spec in known}
    relations = tuple(_relations(known, of))
    near = {ref for relation in relations if {*relation[:2]} & {spec.ref for spec in own} for ref in relation[:2]}
    others = sorted((spec for spec in known if spec.ref in near and spec.name != name), key=lambda spec: spec.ref)
    refs = {spec.ref for spec in (*own, *others)}
    pointers = {stream: each.roles for stream, each in stream_pointers.read_all(warehouse).items()}
    manifests = list_manifests(warehouse)
    return Lineage(
        name,
        tuple(_version(warehouse, spec, manifests, pointers, services) for spec in (*own, *others)),
        tuple(_step(before, after) for before, after in pairwise(own)),
        tuple(each for each in relations if {*each[:2]} <= refs),
        now,
    )


def _known(warehouse: Warehouse) -> list[EncoderSpec]:
    catalogued = (catalogue.lookup(ref) for ref in catalogue.refs())
    found = {spec.fingerprint: spec for spec in catalogued if spec.sealed}
    return list((found | {spec.fingerprint: spec for spec in registered(warehouse)}).values())


def _relations(known: Iterable[EncoderSpec], of: Mapping[str, EncoderSpec]) -> Iterable[tuple[str, str, Relation]]:
    refs = {spec.ref for spec in known}
    for spec in of.values():
        if spec.parent in refs:
            yield spec.parent, spec.ref, "parent"
        if spec.adapter and (source := of.get(spec.adapter.source)):
            yield source.ref, spec.ref, "adapter source"
        if spec.adapter and (target := of.get(spec.adapter.target)):
            yield target.ref, spec.ref, "adapter target"
        if spec.queries_of and (documents := of.get(spec.queries_of)):
            yield documents.ref, spec.ref, "documents"


def _version(
    warehouse: Warehouse,
    spec: EncoderSpec,
    manifests: Sequence[Manifest],
    pointers: Mapping[str, Mapping[str, str]],
    services: Sequence[Service],
) -> Version:
    fingerprint = spec.fingerprint
    own = [each for each in manifests if each.has_vectors_of(fingerprint)]
    datasets = {each.snapshot_id: each.dataset for each in own}
    uses = [
        DatasetUse(dataset, str(snapshots[0].spec["spec"]["stream"]), tuple(each.snapshot_id for each in snapshots))
        for dataset, group in groupby(sorted(own, key=lambda each: each.dataset), lambda each: each.dataset)
        if (snapshots := list(group))
    ]
    heads = sorted(registry.heads(warehouse, fingerprint=fingerprint), key=lambda each: (each.head, -each.version))
    head_uses = [
        HeadUse(
            name,
            tuple(each.version for each in versions),
            tuple(dict.fromkeys(datasets[each.snapshot_id] for each in versions if each.snapshot_id in datasets)),
        )
        for name, group in groupby(heads, lambda each: each.head)
        if (versions := list(group))
    ]
    called = [(service.name, head) for service in services for head in service.heads.get(spec.ref, ())]
    return Version(
        spec,
        stream_rows(warehouse, fingerprint),
        {stream: roles[fingerprint] for stream, roles in pointers.items() if fingerprint in roles},
        tuple(uses),
        tuple(head_uses),
        tuple(called),
    )


def _step(before: EncoderSpec, after: EncoderSpec) -> Step:
    found = changes(before, after)
    return Step(before.ref, after.ref, required_bump(found), tuple(found))
