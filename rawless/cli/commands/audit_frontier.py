"""`rawless audit frontier`: what defences of an encoder's vectors give, and what they cost."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rawless.cli.commands.encoder import resolved
from rawless.cli.options import DeviceName, Json, WarehouseFile
from rawless.cli.output import echo, print_json, print_table, progress
from rawless.errors import UserError

if TYPE_CHECKING:
    from rawless.audit.defences.frontier import Frontier


def frontier(
    encoder: Annotated[str, typer.Option("--encoder", help="NAME@VERSION, or the path of a spec file.")],
    aux: Annotated[
        Path, typer.Option("--aux", help="JSON Lines or CSV with `text` (or `file`) and the columns named.")
    ],
    label: Annotated[str, typer.Option("--label", help="The column that a head is to tell.")],
    attribute: Annotated[
        str | None, typer.Option("--attribute", help="A column that an attacker is to tell, too.")
    ] = None,
    defences: Annotated[
        list[str] | None,
        typer.Option(
            "--defences",
            help="As in truncate:96, project:24, noise:0.1, quantise:8 or learned:9+noise:0.1; repeatable. By default "
            "some of each kind.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Draw it to this SVG file.")] = None,
    max_rows: Annotated[int, typer.Option("--max-rows", min=1, help="Use so many items at most.")] = 8_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Decides the split, and the noise.")] = 0,
    device: DeviceName = "auto",
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Measure leakage and accuracy for a grid of defences; each attacker learns from defended vectors.

    It reads raw content, so run it where that may be read; only measures are printed.
    """
    from encoders.load import load
    from rawless.audit.defences.frontier import check_defences, default_defences, measure_frontier
    from rawless.audit.defences.labelled_file import read_labelled

    if out is not None and out.suffix != ".svg":
        raise UserError(f"--out names {out}, but the drawing is a file that ends in .svg: correct it.")
    check_defences(defences or ())
    spec = resolved(encoder, warehouse)
    if spec.defence != "none":
        raise UserError(f"{spec.ref} has a defence: name the encoder that it was made of, {spec.parent}.")
    with progress(f"Measuring defences of {spec.ref}"):
        columns = [label, *([attribute] if attribute else [])]
        items = read_labelled(aux, "--aux", columns, load(spec, device), max_rows, seed)
        names = defences or default_defences(spec.dimension)
        found = measure_frontier(items, spec, label, attribute, names, seed)
    if out is not None:
        _draw(out, spec.ref, label, found)
    if json:
        print_json({"encoder": spec.ref, "fingerprint": spec.fingerprint, "label": label, **asdict(found)})
        return
    _print(spec.ref, label, found)


def _print(ref: str, label: str, found: "Frontier") -> None:
    rows = [
        {
            "defence": point.defence,
            "values": point.dimension,
            **{name: f"{each.value:.3f}" for name, each in point.leakage.items()},
            "±": ", ".join(f"{(each.high - each.low) / 2:.3f}" for each in point.leakage.values()),
            "stored": f"{point.accuracy_stored:.3f}",
            "served": f"{point.accuracy_served:.3f}",
            "epsilon": "" if point.epsilon is None else f"{point.epsilon:,.0f}",
            "best": "*" if point.is_efficient else "",
        }
        for point in found.points
    ]
    print_table(rows, f"Defences of {ref}: leakage, and accuracy of a head on {label}")
    prior = ", ".join(f"{name} {value:.3f}" for name, value in found.prior.items())
    echo(f"A guess without vectors: {prior}.")
    echo(
        f"The attacker learned from {found.auxiliary_rows:,} defended items and was judged on {found.attacked_rows:,}; "
        f"the head learned from {found.training_rows:,} others as they are stored. Stored: judged on stored vectors; "
        "served: on those without noise. ±: half of the "
        "95% interval. *: no other defence leaks less and serves as well."
    )


def _draw(path: Path, ref: str, label: str, found: "Frontier") -> None:
    from rawless.files import write_text
    from rawless.report.frontier_chart import Drawn, draw

    metric, prior = next(iter(found.prior.items()))
    points = [
        Drawn(point.defence, leakage.value, leakage.low, leakage.high, point.accuracy_served, point.is_efficient)
        for point, leakage in ((point, point.leakage[metric]) for point in found.points)
    ]
    try:
        write_text(path, draw(f"Defences of {ref}, head on {label}", metric, prior, points))
    except OSError as error:
        raise UserError(f"--out names {path}, which cannot be written ({type(error).__name__}): correct it.") from None
