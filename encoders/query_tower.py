"""Query towers: copies of a text encoder that were tuned to encode queries, while its documents' vectors stay.

A tower's vectors may be compared with those of its documents' encoder and with no others, so it encodes queries only:
none of its vectors is stored as an event's.
"""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from encoders import weights
from encoders.batch_encoder import BatchEncoder
from encoders.catalogue import parse
from encoders.derive import check_version
from encoders.digests import check
from encoders.families.huggingface_text import HuggingFaceTextSpec
from encoders.load import build
from encoders.networks import TokenNetwork
from encoders.seal import seal
from encoders.spec import EncoderSpec
from rawless.errors import UserError

WEIGHTS = "model.safetensors"
_LONGEST_DOMAIN = 500


class Tower(NamedTuple):
    """What a new query tower is called, and what is recorded of its training."""

    name: str
    version: str
    trained_on: str
    """The pairs that it was tuned on, without content, such as a snapshot's id."""


def check_tunable(documents: EncoderSpec) -> None:
    """Raise UserError for an encoder of which no query tower can be tuned."""
    if not documents.sealed:
        raise UserError(f"{documents.ref} is not sealed: run `rawless encoder register {documents.ref}` first.")
    if not isinstance(documents, HuggingFaceTextSpec):
        raise UserError(
            f"{documents.ref} has the architecture {documents.architecture}, but query towers are tuned of text "
            "encoders of Hugging Face only, such as bert."
        )
    if documents.queries_of is not None:
        raise UserError(f"{documents.ref} is a query tower: name the encoder of its documents, {documents.parent}.")
    if documents.defence != "none" or documents.adapter is not None:
        what = "a defence" if documents.adapter is None else "an adapter"
        raise UserError(f"{documents.ref} has {what} after its network: tune a tower of an encoder without.")


def unsealed_tower(documents: EncoderSpec, tower: Tower, folder: Path) -> EncoderSpec:
    """Return the spec that the tower of an encoder will have, whose files will be in `folder`.

    Raises UserError when the version is too low for an encoder of the documents' name.
    """
    kept: dict[str, Any] = {name: digest for name, digest in documents.weights.files.items() if not _is_replaced(name)}
    domain = f"{documents.training_domain}; tuned as a query tower on {tower.trained_on}"
    fields = {
        "name": tower.name,
        "version": tower.version,
        "parent": documents.ref,
        "queries_of": documents.fingerprint,
        "weights": {"source": f"path:{folder.absolute()}", "files": {WEIGHTS: None, **kept}},
        "training_domain": domain[:_LONGEST_DOMAIN],
    }
    spec = parse(documents.identity() | fields, f"The encoder {tower.name}@{tower.version}")
    check_version(documents, spec, "tuning")
    return spec


def trainable(documents: EncoderSpec, layers: int | None) -> BatchEncoder[Any]:
    """Return a copy of an encoder on the CPU whose last `layers` layers can be trained; with None all.

    It computes in fp32, whatever the precision of the encoder. Raises UserError for too many layers.
    """
    encoder = build(documents.model_copy(update={"precision": "fp32"}), torch.device("cpu"))
    network = encoder.network
    assert isinstance(network, TokenNetwork)  # noqa: S101 - see check_tunable
    network.requires_grad_(False)
    if layers is None:
        network.body.requires_grad_(True)
        return encoder
    blocks = _blocks(documents, network.body)
    if layers > len(blocks):
        raise UserError(f"--layers is {layers}, but {documents.ref} uses {len(blocks)} layers: lower it.")
    for block in blocks[-layers:]:
        block.requires_grad_(True)
    return encoder


def write_tower(documents: EncoderSpec, spec: EncoderSpec, network: nn.Module, folder: Path) -> EncoderSpec:
    """Write the files of a tower into a new folder, and return its sealed spec.

    `spec` is its unsealed one and `folder` need not be the folder that it names: a folder can be moved there when all
    else is done. Raises UserError when it cannot be written.
    """
    assert isinstance(network, TokenNetwork)  # noqa: S101 - see check_tunable
    transformer: Any = network.body
    source = weights.find(documents)
    # Without the pooler, which no vector needs and which the library draws at random where the weights lack it.
    state = {name: tensor for name, tensor in transformer.state_dict().items() if not name.startswith("pooler.")}
    try:
        folder.mkdir(parents=True)
        transformer.save_pretrained(folder, state_dict=state, max_shard_size="1TB")
        for name in documents.files:
            if not _is_replaced(name):
                (folder / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(source / name, folder / name)
                check(documents, name, folder / name, where=str(folder / name))
        for path in folder.iterdir():
            if path.name not in {Path(name).parts[0] for name in spec.files}:
                path.unlink()  # what the library writes besides the weights
    except OSError as error:
        raise UserError(
            f"The folder {folder} cannot be written ({type(error).__name__}): name another by --out."
        ) from None
    there = spec.weights.model_copy(update={"source": f"path:{folder.absolute()}"})
    sealed = seal(spec.model_copy(update={"weights": there}))
    return sealed.model_copy(update={"weights": sealed.weights.model_copy(update={"source": spec.weights.source})})


def _is_replaced(name: str) -> bool:
    """Return whether a file contains weights of the transformer, or says in which files they are."""
    return "/" not in name and name.endswith((".safetensors", ".safetensors.index.json"))


def _blocks(documents: EncoderSpec, transformer: Any) -> list[nn.Module]:
    """Return the layers before the pooled hidden state, in their order. Raises UserError if they are not a list."""
    count = transformer.config.num_hidden_layers
    lists = [each for each in transformer.modules() if isinstance(each, nn.ModuleList) and len(each) == count]
    if not lists:
        raise UserError(f"The layers of {documents.ref} cannot be told apart: leave out --layers, to train all.")
    layer = int(getattr(documents, "layer", -1))
    return list(lists[0])[: layer if layer >= 0 else count + 1 + layer]
