"""An encoder in this process, for people who may hold raw content: items in, vectors out, all in memory."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from encoders import catalogue
from encoders.encoder import Device, Encoded, Role, result
from encoders.encoder import Encoder as LoadedEncoder
from encoders.load import load
from encoders.release import round_off
from encoders.spec import EncoderSpec
from encoders.versions import order
from rawless.api.contents import Content, contents
from rawless.api.installed import needs
from rawless.api.progress import progress_bar
from rawless.api.shown import facts
from rawless.errors import UserError
from rawless.privacy import Reason
from rawless.quantities import counted

_AT_ONCE = 1024
"""Items that wait in the encoder: when a call is interrupted, no more than these are still encoded."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The vectors of some items, in their order, and which items were rejected. They are as confidential as the items.

    A numpy function takes it as the array `vectors`. Its length is the number of items.
    """

    vectors: npt.NDArray[np.float32]
    """Of shape (items, dimension); a row of NaN for an item that was rejected."""
    rejected: dict[int, str]
    """The reason of each rejected item by its position."""
    truncated: npt.NDArray[np.bool_]
    """Whether the end of an item was cut off, because it was longer than the encoder reads."""
    encoder: str
    """The encoder, as NAME@VERSION."""
    fingerprint: str
    """The encoder's fingerprint."""
    space: str
    """The digest of the space of the vectors; see `EncoderSpec.space`."""

    @property
    def is_encoded(self) -> npt.NDArray[np.bool_]:
        """Which items have a vector: `embeddings.vectors[embeddings.is_encoded]` has no NaN."""
        kept = np.ones(len(self), np.bool_)
        kept[list(self.rejected)] = False
        return kept

    def __len__(self) -> int:
        return len(self.vectors)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.vectors, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(Counter(self.rejected.values()).items()))
        rejected = f"; {len(self.rejected):,} rejected ({reasons})" if reasons else ""
        cut = f"; {int(self.truncated.sum()):,} truncated" if self.truncated.any() else ""
        shape = f"{counted(len(self), 'item')} by {self.encoder}, {self.vectors.shape[1]:,} numbers each"
        return f"Embeddings of {shape}{rejected}{cut}"


class Encoder:
    """An encoder that is loaded when it is first needed. Items are encoded in this process and never stored."""

    def __init__(self, spec: EncoderSpec, device: Device = "auto") -> None:
        self.spec = spec
        self._device: Device = device

    @property
    def dimension(self) -> int:
        """The number of values of a vector."""
        return self.spec.dimension

    def encode(self, items: Iterable[Any], role: Role = "document") -> Embeddings:
        """Return the vectors of items, which a defence rounds but adds no noise to, as services do.

        Items are texts, bytes, files by `pathlib.Path`, PIL images or arrays of uint8, or dicts of parts, as the
        encoder takes them. An item that cannot be encoded is counted with a reason and harms no other. Raises UserError
        for an item of a type that the encoder does not take, and for an encoder that is not available here.
        """
        if role not in ("document", "query"):
            raise UserError(  # without the value, which is an item if several were given without a list
                "role is neither document nor query, which is for what is searched for: give several items as a list, "
                "as in encode([a, b])."
            )
        given = contents(items, self.spec)
        with needs("encode", "Encoding"):
            encoder = load(self.spec, self._device)
        vectors = np.full((len(given), self.spec.dimension), np.nan, np.float32)
        truncated, rejected = np.zeros(len(given), np.bool_), {}
        with progress_bar(f"Encoding by {self.spec.ref}", len(given), "items") as report:
            for number, outcome in enumerate(_outcomes(encoder, given, role)):
                report(number + 1)
                if isinstance(outcome, Reason):
                    rejected[number] = outcome.value
                else:
                    vectors[number] = round_off(self.spec, outcome).vector
                    truncated[number] = outcome.truncated
        spec = self.spec
        return Embeddings(vectors, rejected, truncated, spec.ref, spec.fingerprint, spec.space)

    def __repr__(self) -> str:
        takes = {"text": "texts", "image": "images", "parts": "parts"}[self.spec.modality]
        return f"Encoder {self.spec.ref}: {takes} to vectors of {self.dimension:,} numbers"

    def _repr_html_(self) -> str:
        spec = self.spec
        return facts(
            f"Encoder {spec.ref}",
            {
                "takes": ", ".join(spec.reads) or spec.modality,
                "dimension": f"{spec.dimension:,}",
                "trained on": spec.training_domain,
                "fingerprint": spec.fingerprint if spec.sealed else "none, since it is not sealed",
            },
        )


def encoder(name: str, device: Device = "auto") -> Encoder:
    """Return an encoder by name and version, by name alone for its newest version, or by the path of a spec.

    Raises UserError for one that is not in the catalogue.
    """
    _check_device(device)
    return Encoder(catalogue.lookup(newest(name, catalogue.refs())), device)


def newest(name: str, refs: Sequence[str]) -> str:
    """Return the newest of some references that have this name; anything but such a name as it is."""
    if not isinstance(name, str):
        raise UserError(
            f"The encoder's name is of type {type(name).__name__}: give a text, as in 'minilm' or 'minilm@1.0.0'."
        )
    versions = [ref for ref in refs if ref.partition("@")[0] == name]
    return max(versions, key=lambda ref: order(ref.partition("@")[2]), default=name)


def _check_device(device: str) -> None:
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"device is {device!r}, but the rule is: auto, cpu or cuda.")


def _outcomes(encoder: LoadedEncoder, given: Sequence[Content], role: Role) -> Iterator[Encoded | Reason]:
    """Yield the outcome of each content, in order, while further ones are being encoded."""
    pending: deque[Future[Encoded | Reason] | Reason] = deque()
    for content in given:
        pending.append(content if isinstance(content, Reason) else encoder.submit(content, role=role))
        if len(pending) >= _AT_ONCE:
            yield _outcome(encoder, pending.popleft())
    while pending:
        yield _outcome(encoder, pending.popleft())


def _outcome(encoder: LoadedEncoder, pending: "Future[Encoded | Reason] | Reason") -> Encoded | Reason:
    return pending if isinstance(pending, Reason) else result(encoder, pending)
