"""Weights that torchvision publishes: in torch's cache, or downloaded."""

import os
import sys
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

from encoders.spec import EncoderSpec
from encoders.weight_sources import WeightSource, is_hub_allowed, make_cache
from rawless.errors import Unavailable, UserError


class TorchvisionHub(WeightSource):
    """`torchvision:NAME`, weights by their name in torchvision, as in `ResNet50_Weights.IMAGENET1K_V1`."""

    def folder(self, spec: EncoderSpec) -> str:
        """See `WeightSource.folder`: one folder for all, since torchvision's file names contain a digest."""
        return "torchvision"

    def caches(self, spec: EncoderSpec) -> Iterator[Path]:
        """See `WeightSource.caches`: torch's cache of checkpoints."""
        yield _torch_cache()

    def fetch(self, spec: EncoderSpec) -> Path | None:
        """See `WeightSource.fetch`."""
        if not is_hub_allowed():
            return None
        import torch
        from torchvision.models import get_weight

        name = spec.weights.location
        try:
            url = get_weight(name).url
        except (ValueError, AttributeError, KeyError):
            raise UserError(
                f"{spec.ref} names the weights {name}, which torchvision does not have: correct the spec."
            ) from None
        file, folder = url.rsplit("/", 1)[1], _torch_cache()
        if set(spec.files) != {file}:
            raise UserError(
                f"{spec.ref} names the file {', '.join(spec.files)}, but {name} is {file}: correct the spec."
            )
        make_cache(folder)
        prefix = Path(file).stem.rsplit("-", 1)[-1]  # torchvision's file names end in the start of their sha256
        try:
            torch.hub.download_url_to_file(url, str(folder / file), hash_prefix=prefix, progress=False)
        except (OSError, HTTPException, RuntimeError) as error:  # torch raises a RuntimeError for another digest
            raise Unavailable(
                f"{file} could not be downloaded from the hub ({type(error).__name__}); retry later, or provide the "
                "file."
            ) from None
        return folder


def _torch_cache() -> Path:
    """Return the folder that torch.hub.get_dir() names; torch is not imported for it, which would take seconds."""
    if (torch := sys.modules.get("torch")) is not None:  # whoever has it may have called torch.hub.set_dir
        return Path(torch.hub.get_dir(), "checkpoints")
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch")
    return Path(home, "hub", "checkpoints").expanduser()
