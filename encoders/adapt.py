"""Making the encoder `B-from-A` of the encoder A and a map into the space of B: A's network, and after it the map."""

from pathlib import Path

from encoders.adapter import Adapter
from encoders.adapter_map import AdapterMap
from encoders.catalogue import parse
from encoders.composite import CompositeSpec
from encoders.derive import check_version, copy_files
from encoders.seal import seal
from encoders.spec import EncoderSpec
from rawless.errors import UserError

ADAPTER_FILE = "adapter.safetensors"


def check_adaptable(source: EncoderSpec, target: EncoderSpec, folder: Path) -> None:
    """Raise UserError for encoders between which no adapter can be learned, and for a folder that is there already."""
    if folder.exists():
        raise UserError(
            f"The folder {folder}, for the files of the encoder, exists: name another by --out, or remove it."
        )
    for spec in (source, target):
        if not spec.sealed:
            raise UserError(f"{spec.ref} is not sealed: run `rawless encoder register {spec.ref}` first.")
        if spec.adapter is not None:
            raise UserError(f"{spec.ref} has an adapter already: adapt the encoder that it was made of, {spec.parent}.")
    if source.defence != "none":
        raise UserError(
            f"{source.ref} has a defence, and an encoder has a defence or an adapter, not both: adapt the encoder that "
            "it was made of."
        )
    if isinstance(source, CompositeSpec):
        raise UserError(
            f"{source.ref} is a composite, which has no folder for the file of an adapter: adapt one of its parts."
        )
    if source.fingerprint == target.fingerprint:
        raise UserError(f"{source.ref} and {target.ref} are the same encoder: name two.")
    if source.modality != target.modality:
        raise UserError(f"{source.ref} takes {source.modality}s, but {target.ref} {target.modality}s: name two of one.")


def adapt(
    source: EncoderSpec,
    target: EncoderSpec,
    adapter: AdapterMap,
    name: str,
    version: str,
    folder: Path,
    tolerance: float | None = None,
) -> EncoderSpec:
    """Return the sealed spec of the encoder of `source` with a map into the space of `target`; `source` is its parent.

    Its files are copied to `folder`, which must not exist, beside the map's. `tolerance` is by default that of the
    source. Raises UserError when the version is too low for an encoder of the source's name.
    """
    dimension, full_dimension = adapter.weight.shape
    step = Adapter(
        kind=adapter.kind,
        file=ADAPTER_FILE,
        source=source.fingerprint,
        target=target.fingerprint,
        full_dimension=full_dimension,
        dimension=dimension,
        l2_normalise=adapter.l2_normalise,
    )
    network = source.identity()
    network.pop("queries_of", None)  # the adapted vectors search other documents than the tower's
    identity = network | {
        "name": name,
        "version": version,
        "parent": source.ref,
        "weights": {"source": f"path:{folder.absolute()}", "files": source.weights.files},
        "dimension": dimension,
        "tolerance": tolerance or source.tolerance,
        "adapter": step.model_dump(mode="json"),
    }
    unsealed = parse(identity, f"The encoder {name}@{version}")
    check_version(source, unsealed, "adapter")
    copy_files(source, folder, ADAPTER_FILE, adapter.tensors)
    return seal(unsealed)
