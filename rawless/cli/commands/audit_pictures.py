"""The option `--pictures` of `rawless audit leakage`: pictures beside what the attacker drew of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def draw_pictures(setting: "Setting", folder: Path | None) -> dict[str, Any] | None:
    """Draw the attacked pictures, write a sheet if there is a folder for it, and return what was done; None for texts.

    The signal-to-noise ratio is not recorded: it has no largest value, so it can have no limit.
    """
    from rawless.audit.leakage.contact_sheet import write_sheet
    from rawless.audit.leakage.drawings import draw

    spec = setting.encoder.spec
    if spec.modality != "image":
        return None
    drawings = draw(setting)
    path = folder and folder / f"{spec.name}-{spec.version}-{spec.fingerprint[:12]}.png"
    if path:
        write_sheet(path, drawings.sheet)
    written = {"file": str(path), "pairs": drawings.pairs} if path else {}
    return {"psnr": drawings.psnr, "psnr_of_mean": drawings.psnr_of_mean, **written}


def describe_drawings(drawn: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines for people."""
    yield (
        f"Drawings have a peak signal-to-noise ratio of {drawn['psnr']:.1f} dB, the mean picture one of "
        f"{drawn['psnr_of_mean']:.1f} dB."
    )
    if "file" in drawn:
        yield f"{drawn['pairs']} pictures, beside drawings of them, are in {drawn['file']}: raw content, to be deleted."
