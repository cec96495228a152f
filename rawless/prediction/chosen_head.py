"""Choosing the head of a batch job, and which of several encoders it takes the vectors of."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rawless.errors import UserError
from rawless.heads import artefact
from rawless.heads.artefact import MANIFEST, HeadManifest, StoredHead
from rawless.heads.deployment import live_by_space

_REFERENCE = re.compile(r"[a-z][a-z0-9_]{0,62}(@[1-9][0-9]{0,8})?")


class Vectors(NamedTuple):
    """What a head must be trained on to take an encoder's vectors."""

    encoder: str
    """Name and version."""
    fingerprint: str
    space: str

    def fit(self, manifest: HeadManifest) -> bool:
        """Return whether a head takes them."""
        return self.fingerprint == manifest.fingerprint or self.space == manifest.space


class ChosenHead(NamedTuple):
    """A head, and the encoder whose vectors it is given."""

    stored: StoredHead
    vectors: Vectors

    @property
    def ref(self) -> str:
        """Name and version."""
        return f"{self.stored.manifest.head}@{self.stored.manifest.version}"


def choose_head(heads: Path, reference: str, offered: Sequence[Vectors], *, has_features: bool = False) -> ChosenHead:
    """Return the head NAME@VERSION below `heads`, or the version of NAME that is deployed for offered vectors.

    Raises UserError if there is none, if it does not take the vectors, or if it has no classes to predict.
    `has_features` says whether features come with the vectors.
    """
    if not _REFERENCE.fullmatch(reference):
        raise UserError(f"{reference!r} is no head: name one as in topic, whose deployed version is used, or topic@2.")
    name, _, version = reference.partition("@")
    chosen = _fitting(read_head(heads, name, int(version)), offered) if version else _deployed(heads, name, offered)
    _check_predicts(chosen, has_features=has_features)
    return chosen


def read_head(heads: Path, name: str, version: int) -> StoredHead:
    """Return a version of a head below `heads`. Raises UserError."""
    folder = heads / name / str(version)
    if not (folder / MANIFEST).is_file():
        raise UserError(f"There is no {name}@{version} in {heads}: `rawless head list` lists the heads.")
    return artefact.read(folder)


def _deployed(heads: Path, name: str, offered: Sequence[Vectors]) -> ChosenHead:
    live = live_by_space(heads, name)
    found = [
        ChosenHead(read_head(heads, name, live[space]), each)
        for each in offered
        if (space := each.space if each.space in live else each.fingerprint) in live
    ]
    if not live:
        raise UserError(
            f"The head {name} is not deployed in {heads}: name a version, as in {name}@1, or deploy one with `rawless "
            f"head deploy {name}`."
        )
    if not found:
        raise UserError(
            f"The head {name} is not deployed for vectors of {_names(offered)}: name a version that takes them, or "
            "deploy one."
        )
    if len({each.ref for each in found}) > 1:
        choices = " and ".join(f"{each.ref} for {each.vectors.encoder}" for each in found)
        raise UserError(f"The head {name} is deployed for several encoders, {choices}: name one of these versions.")
    return found[0]


def _fitting(stored: StoredHead, offered: Sequence[Vectors]) -> ChosenHead:
    manifest = stored.manifest
    fitting = [each for each in offered if each.fit(manifest)]
    if not fitting:
        raise UserError(
            f"{manifest.head}@{manifest.version} takes vectors of {manifest.encoder_ref} with the fingerprint "
            f"{manifest.fingerprint[:12]}…, but these are of {_names(offered)}: name another head."
        )
    return ChosenHead(stored, next((each for each in fitting if each.fingerprint == manifest.fingerprint), fitting[0]))


def _check_predicts(chosen: ChosenHead, *, has_features: bool) -> None:
    manifest = chosen.stored.manifest
    if manifest.interface.is_of_pairs:
        raise UserError(
            f"{chosen.ref} relates two vectors, so it has no prediction for one event: serve it with an index, as in "
            "docs/serving.md."
        )
    if not manifest.classes:
        raise UserError(
            f"{chosen.ref} predicts a number, and prediction_v1 has probabilities of classes only: ask a service for "
            "it, or call its graph after `rawless head export`."
        )
    if manifest.features and not has_features:
        names = ", ".join(feature.name for feature in manifest.features)
        raise UserError(
            f"{chosen.ref} takes the features {names}, which neither a source nor stored embeddings have: use "
            "--snapshot with a snapshot that has them."
        )


def _names(offered: Sequence[Vectors]) -> str:
    return ", ".join(f"{each.encoder} ({each.fingerprint[:12]}…)" for each in offered)
