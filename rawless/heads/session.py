"""Running a head: its graph in ONNX Runtime, checked against its manifest when it is opened."""

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
    """A head that is ready to answer. It can be used by several threads."""

    def __init__(self, manifest: HeadManifest, graph: bytes) -> None:
        """Raises UserError for a graph that does not load, or that has other inputs or outputs than the manifest."""
        self.manifest = manifest
        try:
            self._session = open_session(graph)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's exceptions have no base class of their own
            raise UserError(f"The graph of {manifest.head} does not load ({type(error).__name__}).") from None
        for declared, arguments in (
            (manifest.inputs, self._session.get_inputs()),
            (manifest.outputs, self._session.get_outputs()),
        ):
            if (actual := tuple(_tensor(argument) for argument in arguments)) != declared:
                raise UserError(
                    f"The graph of {manifest.head} has {', '.join(map(str, actual))}, but its manifest declares "
                    f"{', '.join(map(str, declared))}."
                )

    def check(self, fingerprint: str) -> None:
        """Check that vectors are of the encoder that the head was trained on. Raises UserError."""
        if fingerprint != self.manifest.fingerprint:
            needed = f"{self.manifest.encoder}@{self.manifest.encoder_version}"
            raise UserError(
                f"The head {self.manifest.head} takes vectors of {needed} with the fingerprint "
                f"{self.manifest.fingerprint[:12]}…, but these have {fingerprint[:12]}…: train a head on them."
            )

    def answer(self, **inputs: npt.NDArray[Any]) -> Mapping[str, npt.NDArray[np.float32]]:
        """Return the outputs by name, for inputs by name, all with the same number of rows."""
        names = [tensor.name for tensor in self.manifest.outputs]
        return dict(zip(names, self._session.run(names, inputs), strict=True))


def open_head(folder: Path) -> HeadSession:
    """Open the head in a folder. Raises UserError."""
    return HeadSession(*read(folder))


def _tensor(argument: Any) -> Tensor:
    return Tensor(argument.name, tuple(argument.shape), _TYPES.get(argument.type, argument.type))
