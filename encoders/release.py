"""`Release`: the steps of a defence that are applied where a vector is written for others: noise, then rounding.

Neither is a part of the network. Noise depends on the event. Two machines whose vectors differ in the last digit would
differ by a whole step once they are rounded, so that no probe would hold. A head that answers where the content is
takes the vector without noise, but rounded: `round_off`.
"""

import hmac
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import NamedTuple, Protocol

import numpy as np

from encoders import gaussian
from encoders.defence import Defence
from encoders.encoder import Encoded
from encoders.spec import EncoderSpec, Vector
from rawless.errors import UserError
from rawless.privacy import Raw, Reason, guarded

PURPOSE = "rawless noise"
"""For which a noise key is derived from a pseudonym key."""


def needs_key(spec: EncoderSpec) -> bool:
    """Return whether vectors of an encoder are released with noise, which is drawn by a secret key."""
    return isinstance(spec.defence, Defence) and spec.defence.noise is not None


def round_off(spec: EncoderSpec, outcome: Encoded) -> Encoded:
    """Return the vector of an encoder as it is released, but for the noise."""
    if not isinstance(spec.defence, Defence) or spec.defence.quantise is None:
        return outcome
    return replace(outcome, vector=quantise(outcome.vector, spec.defence.quantise.bits))


class _Event(Protocol):
    """What the noise of a vector depends on, beside the encoder."""

    @property
    def stream(self) -> str: ...
    @property
    def event_id(self) -> str: ...
    @property
    def payload(self) -> Raw[bytes]: ...


class Release:
    """Releases the vectors of one encoder."""

    def __init__(self, spec: EncoderSpec, key: bytes | None) -> None:
        """`key` is the noise key; None only if the encoder has no noise."""
        self._defence = spec.defence if isinstance(spec.defence, Defence) else None
        if needs_key(spec) and not key:
            raise UserError(f"{spec.ref} adds noise to what is written, which needs the pseudonym key: provide one.")
        self._key = key or b""
        self._fingerprint = spec.fingerprint.encode()

    def __call__(self, outcome: Encoded | Reason, event: _Event) -> Encoded | Reason:
        """Return what encoding an event resulted in, with the vector as it may be written.

        The noise is that of HMAC(key, stream, event id, fingerprint, content). A delivery that repeats an event repeats
        its vector, and the difference of two contents under one event id is not free of noise: without the content,
        whoever may send an event of that id could subtract the vector of a content that he knows.
        """
        if isinstance(outcome, Reason) or self._defence is None:
            return outcome
        return guarded(self._release, outcome, self._defence, event)

    def _release(self, encoded: Encoded, defence: Defence, event: _Event) -> Encoded:
        vector = encoded.vector
        if defence.noise:
            secret = hmac.new(self._key, digestmod="sha256")
            for part in (event.stream.encode(), event.event_id.encode(), self._fingerprint, event.payload.reveal()):
                secret.update(len(part).to_bytes(8, "big"))
                secret.update(part)
            vector = add_noise(vector, defence.noise.sigma, secret.digest())
        if defence.quantise:
            vector = quantise(vector, defence.quantise.bits)
        return replace(encoded, vector=vector)


class _Item(NamedTuple):
    stream: str
    event_id: str
    payload: Raw[bytes]


def release_contents(spec: EncoderSpec, key: bytes) -> Callable[[Encoded | Reason, Raw[bytes]], Encoded | Reason]:
    """Return what releases contents that are no events, as audits need it: each call is of an event of its own."""
    release, numbers = Release(spec, key), count()
    return lambda outcome, content: release(outcome, _Item("", str(next(numbers)), content))


def add_noise(vectors: Vector, sigma: float, secret: bytes) -> Vector:
    """Return vectors with Gaussian noise that a secret determines.

    The vector is rounded to multiples of sigma / `gaussian.STEPS` first, so that what is released is a whole number of
    them, in which nothing of the digits of a sum of floating-point numbers remains (Mironov, 2012).
    """
    step = sigma / gaussian.STEPS
    drawn = gaussian.integers(secret, vectors.size).reshape(vectors.shape)
    released: Vector = ((np.rint(vectors.astype(np.float64) / step) + drawn) * step).astype(np.float32)
    return released


def quantise(vectors: Vector, bits: int) -> Vector:
    """Return vectors, of shape (…, dimension), rounded to 2^bits - 1 equidistant values each; see `Quantisation`."""
    if bits == 1:
        size = np.abs(vectors).mean(axis=-1, keepdims=True, dtype=np.float64).astype(np.float32)
        signed: Vector = np.where(vectors < 0, -size, size)
        return signed
    step = np.abs(vectors).max(axis=-1, keepdims=True).astype(np.float64) / (2 ** (bits - 1) - 1)
    rounded: Vector = (np.rint(vectors / np.where(step > 0, step, 1)) * step).astype(np.float32)
    return rounded
