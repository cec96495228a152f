"""Which attacks are made on the vectors of each modality, each with the vectors that it is given."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from encoders.encoder import Encoder
from encoders.spec import Vector
from rawless.audit.leakage import alignment, linkage, planted
from rawless.audit.leakage.alignment import AlignmentAttack
from rawless.audit.leakage.attack import Attack
from rawless.audit.leakage.attributes import AttributeAttack
from rawless.audit.leakage.image_contents import changed_copies, pictures_of, size_of_image
from rawless.audit.leakage.images import DecoderAttack, NearDuplicateAttack
from rawless.audit.leakage.linkage import LinkageAttack
from rawless.audit.leakage.planted import PlantedTokensAttack
from rawless.audit.leakage.records import Record
from rawless.audit.leakage.vectors import Release, Vectors, vectors_of
from rawless.audit.leakage.words import WordsAttack
from rawless.content import Modality
from rawless.privacy import Raw

MAX_STORED = 50
"""The most frequent values of stored attributes are known to who predicts an attribute without vectors."""


@dataclass(frozen=True, eq=False)
class Side:
    """Records and their vectors: those that the attacker learns from, or those that are attacked."""

    records: Sequence[Record]
    vectors: Vector = field(repr=False)

    def contents(self) -> list[bytes]:
        """Return the contents. Call this only inside `guarded`."""
        return [record.content.reveal() for record in self.records]

    def texts(self) -> list[str]:
        """Return the contents as texts. Call this only inside `guarded`."""
        return [content.decode() for content in self.contents()]

    def columns(self) -> list[Mapping[str, str]]:
        """Return the values of the columns. Call this only inside `guarded`."""
        return [record.columns.reveal() for record in self.records]


@dataclass(frozen=True, eq=False)
class Setting:
    """What the attacks of one audit are made with."""

    encoder: Encoder
    auxiliary: Side
    attacked: Side
    """Of the same domain as `auxiliary`."""
    target: Side | None = None
    """Of another domain."""
    attacker: Encoder | None = None
    """The attacker's own encoder."""
    attributes: Sequence[str] = ()
    stored: Sequence[str] = ()
    """Attributes that are written beside the vectors, and so are known without them."""
    release: Release | None = None
    """How the encoder's vectors are written; the vectors of both sides are written ones."""
    seed: int = 0


class Planned(NamedTuple):
    """An attack with the vectors that it learns from and those that it is judged on."""

    attack: Attack
    auxiliary: Vector
    attacked: Vector


def attacks_for(modality: Modality, setting: Setting) -> Iterator[Planned]:
    """Yield the attacks on a modality, each prepared when it is asked for. It reads contents: run it in `guarded`."""
    for plan in _PLANS[modality]:
        yield from plan(setting)


def _words(setting: Setting) -> Iterator[Planned]:
    auxiliary, attacked, target = setting.auxiliary, setting.attacked, setting.target
    yield Planned(WordsAttack(auxiliary.texts(), attacked.texts()), auxiliary.vectors, attacked.vectors)
    if target is not None:
        attack = WordsAttack(auxiliary.texts(), target.texts(), cross_domain=True)
        yield Planned(attack, auxiliary.vectors, target.vectors)


def _planted(setting: Setting) -> Iterator[Planned]:
    tokens = planted.made_up_tokens(setting.seed)
    numbers, vectors = [], []
    for side, per_token in zip((setting.auxiliary, setting.attacked), planted.PER_TOKEN, strict=True):
        texts, each = planted.plant(side.texts(), per_token, setting.seed, tokens)
        found = _encoded(setting.encoder, texts, setting.release)
        numbers.append(each[found.positions])
        vectors.append(found.vectors)
    yield Planned(PlantedTokensAttack(*numbers), *vectors)


def _alignment(setting: Setting) -> Iterator[Planned]:
    sides = setting.auxiliary, setting.attacked
    texts = [side.texts() for side in sides]
    vectors = [side.vectors for side in sides]
    if setting.attacker is None:
        own = alignment.space_of_words(*texts)
        yield Planned(AlignmentAttack(texts[0], texts[1], *own), *vectors)
        return
    found = [_encoded(setting.attacker, each) for each in texts]
    kept = [[each[position] for position in one.positions] for each, one in zip(texts, found, strict=True)]
    attack = AlignmentAttack(kept[0], kept[1], found[0].vectors, found[1].vectors)
    yield Planned(attack, *(each[one.positions] for each, one in zip(vectors, found, strict=True)))


def _linkage(setting: Setting) -> Iterator[Planned]:
    # The attacker has the encoder, so what he computes has no noise.
    generator = np.random.default_rng(setting.seed)
    texts = setting.attacked.texts()
    words = sorted({word for text in setting.auxiliary.texts()[:1_000] for word in text.split()})
    changed = [linkage.changed_text(text, generator, words) for text in texts]
    for changes, contents in ((False, texts), (True, changed)):
        found = _encoded(setting.encoder, contents)
        left_out = np.setdiff1d(np.arange(len(texts)), found.positions)
        others = np.concatenate([setting.attacked.vectors[left_out], setting.auxiliary.vectors])
        yield Planned(LinkageAttack(others, changed=changes), found.vectors, setting.attacked.vectors[found.positions])


def _attributes(setting: Setting) -> Iterator[Planned]:
    for name in setting.attributes:
        others = [other for other in setting.stored if other != name]
        values = Counter(
            (other, values[other]) for values in setting.auxiliary.columns() for other in others if other in values
        )
        stored = [pair for pair, _ in values.most_common(MAX_STORED)]
        labels, metadata, vectors = zip(
            *(_labelled(setting, side, name, stored) for side in (setting.auxiliary, setting.attacked)), strict=True
        )
        prefix = _ATTRIBUTES[setting.encoder.spec.modality]
        yield Planned(AttributeAttack(name, *labels, *metadata, prefix=prefix, seed=setting.seed), *vectors)


def _near_duplicates(setting: Setting) -> Iterator[Planned]:
    spec = setting.encoder.spec
    copies = [changed_copies(content, spec) for content in setting.attacked.contents()]
    # The attacker has the encoder, so what he computes has no noise.
    found = vectors_of(setting.encoder, [Raw(copy) for each in copies for copy in each])
    own = np.repeat(np.arange(len(copies)), [len(each) for each in copies])[found.positions]
    yield Planned(NearDuplicateAttack(own), found.vectors, setting.attacked.vectors)


def decoder_attack(setting: Setting) -> DecoderAttack:
    """Return the attack that draws the attacked pictures. It reads contents: run it in `guarded`."""
    spec = setting.encoder.spec
    return DecoderAttack(*(pictures_of(side.contents(), spec) for side in (setting.auxiliary, setting.attacked)))


def _decoder(setting: Setting) -> Iterator[Planned]:
    yield Planned(decoder_attack(setting), setting.auxiliary.vectors, setting.attacked.vectors)


def _labelled(
    setting: Setting, side: Side, name: str, stored: Sequence[tuple[str, str]]
) -> tuple[list[str], Vector, Vector]:
    """Return the labels of the records that have an attribute, what is known of them without vectors, and these."""
    describe = _METADATA[setting.encoder.spec.modality]
    columns, contents = side.columns(), side.contents()
    known = [number for number, values in enumerate(columns) if name in values]
    metadata = [
        [*describe(contents[number]), *(float(columns[number].get(other) == value) for other, value in stored)]
        for number in known
    ]
    return [columns[number][name] for number in known], np.array(metadata, np.float32), side.vectors[known]


def _size_of_text(content: bytes) -> tuple[float, ...]:
    text = content.decode()
    return len(text), len(text.split()), np.log1p(len(text))


def _encoded(encoder: Encoder, texts: Sequence[str], release: Release | None = None) -> Vectors:
    return vectors_of(encoder, [Raw(text.encode()) for text in texts], release)


_ATTRIBUTES: dict[Modality, str] = {"text": "attribute", "image": "image_attribute"}
_METADATA: dict[Modality, Callable[[bytes], tuple[float, ...]]] = {"text": _size_of_text, "image": size_of_image}
_PLANS: dict[Modality, tuple[Callable[[Setting], Iterator[Planned]], ...]] = {
    "text": (_words, _planted, _alignment, _attributes, _linkage),
    "image": (_attributes, _near_duplicates, _decoder),
}
