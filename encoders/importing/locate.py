"""Finding the folder of a model by its name: a path, or a repository of the Hugging Face hub."""

import re
import shutil
from pathlib import Path

from encoders.importing.model_folder import ModelFolder
from encoders.weight_sources import HUB_VARIABLE, WEIGHTS_VARIABLE, is_hub_allowed
from encoders.weight_sources.hugging_face import repository_folders
from rawless.errors import Unavailable, UserError

_REPOSITORY = re.compile(r"hf:([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})", re.ASCII)
_WANTED = re.compile(r"(\d+_[A-Za-z]{1,40}/)?[A-Za-z0-9_][\w.-]{0,127}\.(json|txt|model|spm|md|safetensors)", re.ASCII)
"""Files of a repository at its top, or in the folder of a module, that decide a spec or its vectors."""
_SPARE = 1.05
"""Free space on the disk, as a multiple of the download."""


def locate(source: str) -> tuple[ModelFolder, str]:
    """Return the folder of a model, and its `weights.source` in a spec.

    The folders of a repository are searched as for a spec; it is downloaded only where RAWLESS_HUB allows it. Raises
    UserError when there is no such folder, or no space for it, and Unavailable when a download fails.
    """
    if not source.startswith("hf:"):
        folder = Path(source.removeprefix("path:")).expanduser().absolute()
        if not folder.is_dir():
            raise UserError(
                f"SOURCE is {source}, but there is no such folder: name the folder of the model, or hf:OWNER/NAME."
            )
        return ModelFolder(folder, str(folder)), f"path:{folder}"
    if (found := _REPOSITORY.fullmatch(source)) is None:
        raise UserError(f"SOURCE is {ascii(source)[:80]}, but a repository of the hub is hf:OWNER/NAME: correct it.")
    return ModelFolder(_repository(found[1]), source), source


def _repository(name: str) -> Path:
    folders = list(repository_folders(name))
    for folder in folders:
        if (folder / "config.json").is_file() and any((*folder.glob("*.safetensors"), *folder.glob("*.bin"))):
            return folder
    if not is_hub_allowed():
        searched = ", ".join(map(str, folders)) or "no folder"
        raise UserError(
            f"hf:{name} is not on this machine; searched {searched}. Put its files into {name}/ below a folder that "
            f"{WEIGHTS_VARIABLE} names, or set {HUB_VARIABLE}=1 to allow the download."
        )
    return _download(name)


def _download(name: str) -> Path:
    import httpx
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        listed = HfApi().model_info(name, files_metadata=True).siblings or []
        sizes = {file.rfilename: file.size or 0 for file in listed if _WANTED.fullmatch(file.rfilename)}
        if not any(file.endswith(".safetensors") for file in sizes):
            raise UserError(
                f"hf:{name} has no .safetensors weights, and pickles can run code: convert it once on a "
                "machine without secrets, with from_pretrained and save_pretrained, and import that folder."
            )
        _check_space(name, sum(sizes.values()), Path(HF_HUB_CACHE))
        return Path(snapshot_download(name, allow_patterns=sorted(sizes)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, httpx.HTTPError, OSError) as error:
        raise Unavailable(
            f"hf:{name} could not be downloaded from the hub ({type(error).__name__}); check its name, retry later, or "
            "provide the files."
        ) from None


def _check_space(name: str, size: int, cache: Path) -> None:
    folder = next(path for path in (cache, *cache.parents) if path.exists())
    if (free := shutil.disk_usage(folder).free) < size * _SPARE:
        raise UserError(
            f"hf:{name} takes {size / 1e9:.1f} GB, but {folder} has {free / 1e9:.1f} GB left: free some, or set "
            "HF_HOME to a folder on another disk."
        )
