"""Where the files of an encoder come from: one class for each kind of `weights.source`, named by its prefix."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from encoders.spec import EncoderSpec
from rawless.errors import UserError

HUB_VARIABLE = "RAWLESS_HUB"
WEIGHTS_VARIABLE = "RAWLESS_WEIGHTS"


class WeightSource(ABC):
    """One kind of source: where its files are kept on this machine, and how they are fetched."""

    @abstractmethod
    def folder(self, spec: EncoderSpec) -> str | None:
        """Return the spec's folder below RAWLESS_WEIGHTS; None for a source whose files are elsewhere."""

    @abstractmethod
    def caches(self, spec: EncoderSpec) -> Iterator[Path]:
        """Yield the other folders of this machine that may contain the files, best first."""

    def fetch(self, spec: EncoderSpec) -> Path | None:
        """Download the files and return their folder; None when the source cannot or may not download.

        Raises Unavailable when the other side does not answer, UserError when it does not have what the spec names.
        """
        return None

    def folders(self, spec: EncoderSpec) -> Iterator[Path]:
        """Yield all folders of this machine that may contain the files, best first."""
        root, folder = os.environ.get(WEIGHTS_VARIABLE), self.folder(spec)
        if root and folder is not None:
            yield Path(root) / folder
        yield from self.caches(spec)

    def how_to_provide(self, spec: EncoderSpec) -> str:
        """Return the sentence that tells a user how to provide files that were not found."""
        return (
            f"Put {', '.join(spec.files)} into {self.folder(spec)}/ below a folder that {WEIGHTS_VARIABLE} names, or "
            f"set {HUB_VARIABLE}=1 to allow the download."
        )


class LocalFolder(WeightSource):
    """`path:FOLDER`, a folder that contains the files."""

    def folder(self, spec: EncoderSpec) -> None:
        """See `WeightSource.folder`."""

    def caches(self, spec: EncoderSpec) -> Iterator[Path]:
        """See `WeightSource.caches`: the folder alone."""
        yield Path(os.path.expanduser(spec.weights.location)).absolute()  # noqa: PTH111 - raises for no user

    def how_to_provide(self, spec: EncoderSpec) -> str:
        """See `WeightSource.how_to_provide`."""
        return f"Put {', '.join(spec.files)} there, or correct the spec's source."


def is_hub_allowed() -> bool:
    """Return whether RAWLESS_HUB allows downloads from model hubs."""
    return os.environ.get(HUB_VARIABLE) == "1"


def make_cache(folder: Path) -> None:
    """Create a folder for downloaded files. Raises UserError when it cannot be created."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The folder {folder} for downloaded weights cannot be created ({type(error).__name__}): make it "
            "writable, or set TORCH_HOME and XDG_CACHE_HOME to writable folders."
        ) from None
