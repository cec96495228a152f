"""The option `--pictures` of `rawless audit leakage`: pictures beside what the attacker drew of them."""

from pathlib import Path
from typing import TYPE_CHECKING

from rawless.errors import UserError

if TYPE_CHECKING:
    from encoders.spec import EncoderSpec
    from rawless.audit.leakage.attacks import Setting
    from rawless.warehouse.client import Warehouse


def check_pictures(folder: Path | None, spec: "EncoderSpec", warehouse: "Warehouse") -> Path | None:
    """Return the folder that pictures are to be written into, if any. Raises UserError where none may be written."""
    if folder is None:
        return None
    if spec.modality != "image":
        raise UserError(f"--pictures is for encoders of images, but {spec.ref} takes {spec.modality}: leave it out.")
    from rawless.audit.leakage.contact_sheet import check_folder
    from rawless.local import home

    return check_folder(folder, home.folder(), is_local=warehouse.emulator is not None)


def draw_pictures(setting: "Setting", folder: Path | None) -> list[str]:
    """Draw the attacked pictures, write a sheet if there is a folder for it, and return lines that say what was done.

    The signal-to-noise ratio is printed only: it has no largest value, so it can have no limit.
    """
    from rawless.audit.leakage.contact_sheet import write_sheet
    from rawless.audit.leakage.drawings import draw

    spec = setting.encoder.spec
    if spec.modality != "image":
        return []
    drawings = draw(setting)
    lines = [
        f"Drawings have a peak signal-to-noise ratio of {drawings.psnr:.1f} dB, the mean picture one of "
        f"{drawings.psnr_of_mean:.1f} dB."
    ]
    if folder is not None:
        path = folder / f"{spec.name}-{spec.version}-{spec.fingerprint[:12]}.png"
        write_sheet(path, drawings.sheet)
        lines.append(f"{drawings.pairs} pictures, each beside its drawing, are in {path}: raw content, delete it soon.")
    return lines
