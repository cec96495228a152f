"""The page on encoders: each with the streams, snapshots and heads that hang on it, and what it was made of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from encoders.spec import EncoderSpec
from rawless.console import parts
from rawless.console.reads import Window
from rawless.console.source import Source, View
from rawless.datasets.snapshots import Manifest
from rawless.overview.encoders import name_of
from rawless.overview.heads import HeadSummary
from rawless.overview.streams import StreamEncoder, StreamSummary


@dataclass(frozen=True)
class Encoder:
    """An encoder, and what hangs on it."""

    ref: str
    fingerprint: str
    spec: EncoderSpec | None
    """None for one that is not registered."""
    streams: Sequence[tuple[str, StreamEncoder]]
    """The streams that have it, with its role and its events in the days that are shown."""
    datasets: Sequence[tuple[str, int]]
    """The datasets that have snapshots with its vectors, and how many."""
    heads: Sequence[tuple[str, Sequence[int]]]
    """Heads with the versions that take its vectors, the newest first."""
    made_of: Sequence[tuple[str, str]]
    """What another encoder is to this one, and its reference."""

    @property
    def is_used(self) -> bool:
        """Whether anything hangs on it."""
        return bool(self.streams or self.datasets or self.heads)


@dataclass(frozen=True)
class EncodersView(View):
    """The page."""

    encoders: Sequence[Encoder]


def read(source: Source, window: Window) -> EncodersView:
    """Return the page on encoders, those that are used first."""
    reads = source.reads
    for read_part in (parts.encoders, parts.manifests, parts.heads):
        reads.start(read_part)
    specs, streams, manifests, heads = (
        parts.encoders(reads), parts.streams(reads, window), parts.manifests(reads), parts.heads(reads)
    )  # fmt: skip
    names = encoder_names(specs.value, streams.value, manifests.value, heads.value)
    known = {spec.fingerprint: spec for spec in specs.value}
    encoders = [
        Encoder(
            name,
            fingerprint,
            known.get(fingerprint),
            [
                (stream.stream, each)
                for stream in streams.value
                for each in stream.encoders
                if each.fingerprint == fingerprint
            ],
            _datasets(manifests.value, fingerprint),
            _heads(heads.value, fingerprint),
            list(_made_of(known.get(fingerprint), names)),
        )
        for fingerprint, name in names.items()
    ]
    ordered = sorted(encoders, key=lambda each: (not each.is_used, each.ref))
    return EncodersView([specs, streams, manifests, heads], [source.command("encoder", "list")], ordered)


def encoder_names(
    specs: Sequence[EncoderSpec],
    streams: Sequence[StreamSummary],
    manifests: Sequence[Manifest],
    heads: Sequence[HeadSummary],
) -> dict[str, str]:
    """Return the name of each encoder that is registered or used by its fingerprint."""
    return {
        **{version.encoder_fingerprint: version.encoder for head in heads for version in head.versions},
        **{each.fingerprint: each.encoder for stream in streams for each in stream.encoders},
        **{each.fingerprint: _encoder_of(each) for each in manifests},
        **{spec.fingerprint: spec.ref for spec in specs},
    }


def _datasets(manifests: Sequence[Manifest], fingerprint: str) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for each in manifests:
        if each.has_vectors_of(fingerprint):
            counts[each.dataset] = counts.get(each.dataset, 0) + 1
    return sorted(counts.items())


def _heads(heads: Sequence[HeadSummary], fingerprint: str) -> list[tuple[str, Sequence[int]]]:
    found = [
        (head.head, [each.version for each in head.versions if each.encoder_fingerprint == fingerprint])
        for head in heads
    ]
    return [(name, versions) for name, versions in found if versions]


def _made_of(spec: EncoderSpec | None, names: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    if spec is None:
        return
    if spec.parent:
        yield "made from", spec.parent
    if spec.adapter:
        yield "maps vectors of", name_of(spec.adapter.source, names)
        yield "into the space of", name_of(spec.adapter.target, names)
    if spec.queries_of:
        yield "encodes queries for", name_of(spec.queries_of, names)


def _encoder_of(manifest: Manifest) -> str:
    """Return the encoder that the dataset file names."""
    spec: Mapping[str, Any] = manifest.spec.get("spec", manifest.spec)
    return str(spec.get("encoder") or name_of(manifest.fingerprint, {}))
