"""Asking a head: its graph in ONNX Runtime, checked against its manifest before the first question."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rawless.errors import UserError
from rawless.heads.artefact import HeadManifest, Tensor, read
from rawless.heads.runtime import open_session

_TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}


class HeadSession:
    """A head that can be asked, by one thread or many."""

    def __init__(self, manifest: HeadManifest, graph: bytes) -> None:
        """Raises UserError for a graph that does not load, or has other inputs and outputs than its manifest says."""
        self.manifest = manifest
        try:
            self._session = open_session(graph)
        except Exception as error:  # noqa: BLE001 - the runtime's own exceptions share no base class
            raise UserError(f"The graph of {manifest.head} does not load ({type(error).__name__}).") from None
        for told, found in (
            (manifest.inputs, self._session.get_inputs()),
            (manifest.outputs, self._session.get_outputs()),
        ):
            if (live := tuple(_tensor(each) for each in found)) != told:
                raise UserError(
                    f"The graph of {manifest.head} has {', '.join(map(str, live))}, but its manifest says "
                    f"{', '.join(map(str, told))}."
                )

    def check(self, fingerprint: str) -> None:
        """Raises UserError for vectors of another encoder than the head was trained on."""
        if fingerprint != self.manifest.fingerprint:
            needed = f"{self.manifest.encoder}@{self.manifest.encoder_version}"
            raise UserError(
                f"The head {self.manifest.head} takes vectors of {needed} with the fingerprint "
                f"{self.manifest.fingerprint[:12]}…, but these are of {fingerprint[:12]}…: train one on them."
            )

    def answer(self, **inputs: npt.NDArray[Any]) -> Mapping[str, npt.NDArray[np.float32]]:
        """Every output by name, of inputs by name with any number of rows, the same in each."""
        names = [each.name for each in self.manifest.outputs]
        return dict(zip(names, self._session.run(names, inputs), strict=True))


def open_head(folder: Path) -> HeadSession:
    """The head of a folder. Raises UserError."""
    return HeadSession(*read(folder))


def _tensor(told: Any) -> Tensor:
    return Tensor(told.name, tuple(told.shape), _TYPES.get(told.type, told.type))
