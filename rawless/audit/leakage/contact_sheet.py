"""A contact sheet of pictures and of what an attacker drew of them: content, for a folder that the user names only."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from rawless.audit.leakage.image_contents import Pictures
from rawless.errors import UserError
from rawless.files import atomic_write
from rawless.privacy import Raw, guarded

MAX_PAIRS = 64
_COLUMNS, _SCALE, _GAP = 8, 2, 4
_NETWORK_FILESYSTEMS = ("nfs", "cifs", "smb", "fuse", "ceph", "glusterfs", "lustre", "9p")
_MOUNTS = Path("/proc/self/mounts")


def check_folder(folder: Path, home: Path, *, is_local: bool) -> Path:
    """Return the folder that pictures may be written into. Raises UserError.

    The home folder contains no content, and what is mounted from elsewhere takes content away from where raw data may
    be. `is_local` tells that the warehouse is that of the local stack, whose user has all of it on this machine.
    """
    if not folder.is_dir():
        raise UserError(f"--pictures names {folder}, but that is not a folder on this machine: name one that exists.")
    resolved = folder.resolve()
    if resolved.is_relative_to(home.resolve()):
        raise UserError(
            f"--pictures names {folder}, which is in the home folder {home}, where no content may be: name another."
        )
    if not is_local and (kind := _filesystem(resolved)).startswith(_NETWORK_FILESYSTEMS):
        raise UserError(
            f"--pictures names {folder}, which is mounted from elsewhere ({kind}): name a folder on this machine, so "
            "that no picture leaves it."
        )
    return resolved


def contact_sheet(pictures: Pictures, drawn: Pictures) -> Raw[bytes]:
    """Return a PNG of the first pairs of picture and drawing, side by side."""
    count, side = min(len(pictures), MAX_PAIRS), pictures.shape[-1] * _SCALE
    columns, rows = min(count, _COLUMNS), -(-count // _COLUMNS)
    sheet = Image.new("RGB", (columns * (2 * side + _GAP) - _GAP, rows * (side + _GAP) - _GAP), "white")
    for number in range(count):
        row, column = divmod(number, _COLUMNS)
        for place, picture in enumerate((pictures[number], drawn[number])):
            tile = Image.fromarray(np.round(picture.transpose(1, 2, 0) * 255).astype(np.uint8))
            at = column * (2 * side + _GAP) + place * side, row * (side + _GAP)
            sheet.paste(tile.resize((side, side), Image.Resampling.NEAREST), at)
    content = BytesIO()
    sheet.save(content, "PNG")
    return Raw(content.getvalue())


def write_sheet(path: Path, sheet: Raw[bytes]) -> None:
    """Write a contact sheet, for its owner only. Raises UserError when it cannot be written."""
    failure = guarded(_write, path, sheet)
    if failure is not None:
        raise UserError(f"The file {path} cannot be written ({failure}): name another folder in --pictures.")


def _write(path: Path, sheet: Raw[bytes]) -> str | None:
    try:
        with atomic_write(path) as file:
            file.write(sheet.reveal())
    except OSError as error:
        return type(error).__name__
    return None


def _filesystem(folder: Path) -> str:
    """Return the type of the file system that a folder is on; empty where the machine does not tell."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    mounts = [line.split()[1:3] for line in lines if len(line.split()) > 2]
    known = [(place.replace(r"\040", " "), kind) for place, kind in mounts]
    own = [(place, kind) for place, kind in known if folder.is_relative_to(place)]
    return max(own, key=lambda mount: len(mount[0]), default=("", ""))[1]
