"""Running a head: its graph in ONNX Runtime, checked against its manifest when it is opened."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rawless.errors import UserError
from rawless.heads.artefact import DOMAIN, MODEL, HeadManifest, Tensor, read
from rawless.heads.importing.onnx_reader import check_graph
from rawless.heads.runtime import open_session
from rawless.heads.signature import BATCH, DISTANCE, FEATURES

_TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}


class HeadSession:
    """A head that is ready to answer. It can be used by several threads."""

    def __init__(self, manifest: HeadManifest, graph: bytes, domain: bytes | None = None) -> None:
        """Check and load the graphs: whoever writes a head's folder can also compute its digest.

        Raises UserError for a graph that has other operators than heads have, does not load, or has other inputs or
        outputs than the manifest.
        """
        self.manifest = manifest
        widths = [tensor.shape for tensor in manifest.inputs if tensor.name == FEATURES]
        if widths != ([(BATCH, len(manifest.features))] if manifest.features else []):
            raise UserError(
                f"{manifest.head}@{manifest.version} describes {len(manifest.features)} features, but its inputs are "
                f"{', '.join(map(str, manifest.inputs))}: train it again."
            )
        self._session = _open(manifest, MODEL, graph, manifest.inputs, manifest.outputs)
        distances = (Tensor(DISTANCE, (BATCH,), "float32"),)
        self._domain = None if domain is None else _open(manifest, DOMAIN, domain, manifest.inputs[:1], distances)

    def check(self, fingerprint: str, space: str | None = None) -> None:
        """Check that vectors of an encoder are in the space of those that the head was trained on. Raises UserError.

        `space` is that of the encoder, by default its own.
        """
        if self.manifest.fingerprint != fingerprint and self.manifest.space != (space or fingerprint):
            needed = f"{self.manifest.encoder}@{self.manifest.encoder_version}"
            raise UserError(
                f"The head {self.manifest.head} takes vectors of {needed} with the fingerprint "
                f"{self.manifest.fingerprint[:12]}…, but these have {fingerprint[:12]}…: train a head on them."
            )

    def answer(self, **inputs: npt.NDArray[Any]) -> Mapping[str, npt.NDArray[np.float32]]:
        """Return the outputs by name, for inputs by name, all with the same number of rows."""
        names = [tensor.name for tensor in self.manifest.outputs]
        return dict(zip(names, self._session.run(names, inputs), strict=True))

    def distances(self, vectors: npt.NDArray[Any]) -> npt.NDArray[np.float32] | None:
        """Return the distances of vectors from the rows that the head was trained on; None without a domain."""
        if self._domain is None:
            return None
        (distances,) = self._domain.run([DISTANCE], {self.manifest.inputs[0].name: vectors})
        return np.asarray(distances)

    def are_in_domain(self, vectors: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
        """Return which vectors are like those that the head was trained on; None without a domain.

        A distance that is not a number is out of domain.
        """
        distances = self.distances(vectors)
        if distances is None or self.manifest.domain is None:
            return None
        return np.asarray(distances <= np.float32(self.manifest.domain.threshold))


def open_head(folder: Path) -> HeadSession:
    """Open the head in a folder. Raises UserError."""
    return HeadSession(*read(folder))


def _open(
    manifest: HeadManifest, file: str, graph: bytes, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]
) -> Any:
    """Return an ONNX Runtime session of a graph that has these inputs and outputs."""
    check_graph(graph, f"{file} of {manifest.head}@{manifest.version}")
    try:
        session = open_session(graph)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's exceptions have no base class of their own
        raise UserError(f"{file} of {manifest.head} does not load ({type(error).__name__}).") from None
    for declared, arguments in ((inputs, session.get_inputs()), (outputs, session.get_outputs())):
        if (actual := tuple(_tensor(argument) for argument in arguments)) != declared:
            raise UserError(
                f"{file} of {manifest.head} has {', '.join(map(str, actual))}, but its manifest declares "
                f"{', '.join(map(str, declared))}."
            )
    return session


def _tensor(argument: Any) -> Tensor:
    return Tensor(argument.name, tuple(argument.shape), _TYPES.get(argument.type, argument.type))
