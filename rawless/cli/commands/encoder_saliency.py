"""`rawless encoder saliency`: what an encoder looked at in one image or text, where raw content may be read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.commands.encoder import Ref, resolved
from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, print_table, progress

if TYPE_CHECKING:
    from encoders.batch_encoder import BatchEncoder
    from rawless.lifecycle.saliency import Method
    from rawless.privacy import Raw
else:
    from typing import Literal

    Method = Literal["occlusion", "gradient"]

_SHOWN = 10


def saliency(
    ref: Ref,
    file: Annotated[Path, typer.Option("--file", help="One image, or one text in UTF-8.")],
    method: Annotated[
        Method, typer.Option("--method", help="Hide one part after the other, or derive the vector by each part.")
    ] = "occlusion",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="For an image: the transparent PNG to write, without its pixels."),
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Say on which parts of one image or text a vector depends. Run it where that content may be read."""
    import torch

    from encoders.composite import CompositeSpec
    from encoders.load import build
    from rawless.errors import UserError
    from rawless.events.stream import MAX_BYTES
    from rawless.privacy import Raw

    spec = resolved(ref, warehouse)
    if isinstance(spec, CompositeSpec) or spec.modality == "parts":
        raise UserError(f"{spec.ref} is a composite of several encoders: name the encoder of one of its parts.")
    if spec.modality == "image" and out is None:
        raise UserError(f"{spec.ref} takes images: name the picture to write by --out.")
    if spec.modality != "image" and out is not None:
        raise UserError(f"--out is for encoders of images, but {spec.ref} takes {spec.modality}: leave it out.")
    content = Raw(_read(file, MAX_BYTES[spec.modality]))
    encoder = build(spec.model_copy(update={"precision": "fp32"}), torch.device("cpu"))
    found = _show_words(encoder, content, method, json) if out is None else _draw(encoder, content, method, out, json)
    if json:
        print_json({"encoder": spec.ref, "method": method, **found})


def _show_words(encoder: "BatchEncoder[Any]", content: "Raw[bytes]", method: "Method", json: bool) -> dict[str, Any]:
    from rawless.lifecycle.saliency import of_text

    with progress("Leaving out words"):
        words = [word._asdict() for word in of_text(encoder, content, method)]
    if not json:
        ranked = sorted(words, key=lambda word: -float(word["share"]))[:_SHOWN]
        print_table([{**word, "share": f"{word['share']:.2f}"} for word in ranked])
        echo(f"{len(ranked)} of {len(words)} words, by their characters in the text, counted from 0.")
    return {"words": words}


def _draw(
    encoder: "BatchEncoder[Any]", content: "Raw[bytes]", method: "Method", out: Path, json: bool
) -> dict[str, Any]:
    from rawless.errors import UserError
    from rawless.files import atomic_write
    from rawless.lifecycle.saliency import of_image
    from rawless.lifecycle.saliency_picture import picture

    with progress("Hiding parts"):
        found = of_image(encoder, content, method)
    try:
        with atomic_write(out) as opened:
            opened.write(picture(found))
    except OSError as error:
        raise UserError(f"{out} cannot be written ({type(error).__name__}): name another file by --out.") from None
    if not json:
        echo(f"The map is in {out}: lay it over the image. What is grey, {encoder.spec.ref} does not see.")
    return {"file": str(out), "box": found.box, "heat": found.heat.tolist()}


def _read(file: Path, limit: int) -> bytes:
    from rawless.errors import UserError

    try:
        with file.open("rb") as opened:
            content = opened.read(limit + 1)
    except OSError as error:
        raise UserError(f"{file} cannot be read ({type(error).__name__}): name a file by --file.") from None
    if len(content) > limit:
        raise UserError(f"{file} has more than {limit:,} bytes: name a smaller file.")
    return content
