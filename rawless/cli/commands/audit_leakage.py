"""`rawless audit leakage`: attack the embeddings of an encoder, and record what the attacks find."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.commands.audit_pictures import check_pictures, describe_drawings, draw_pictures
from rawless.cli.commands.encoder import resolved
from rawless.cli.options import DeviceName, Json, WarehouseFile
from rawless.cli.output import echo, print_json, print_table, progress_steps, warn
from rawless.errors import UserError

if TYPE_CHECKING:
    from rawless.audit.leakage.audit import Limited
    from rawless.audit.leakage.records import Records


def leakage(
    encoder: Annotated[str, typer.Option("--encoder", help="The encoder: NAME@VERSION, or the path of a spec file.")],
    aux: Annotated[
        Path,
        typer.Option(
            "--aux",
            help="What the attacker has: lines (.txt), or .csv or .jsonl with the column text (or file) and labels.",
        ),
    ],
    target: Annotated[
        Path | None, typer.Option("--target", help="Contents of another domain, which are attacked too.")
    ] = None,
    attribute: Annotated[
        list[str] | None, typer.Option("--attribute", help="A column of labels to predict; may be repeated.")
    ] = None,
    stream: Annotated[Path | None, typer.Option("--stream", help="The stream file that has limits.")] = None,
    attacker: Annotated[
        str | None, typer.Option("--attacker", help="The attacker's own encoder, to whose space vectors are mapped.")
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option("--pictures", help="For images: write pictures beside drawings of them into this folder."),
    ] = None,
    max_rows: Annotated[
        int, typer.Option("--max-rows", min=1, help="Read at most so many contents of a file.")
    ] = 10_000,
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is drawn.")] = 0,
    device: DeviceName = "auto",
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Measure what can be learned from an encoder's vectors, and record it. Run it where raw content may be read.

    The vectors are those that would be written, with the noise and the rounding of the encoder's defence. One in eleven
    of the contents is attacked; the attacker learns from the others. Nothing of a content is printed or kept, except
    for --pictures.
    """
    from rawless.audit.leakage.records import read_records
    from rawless.connect import open_warehouse
    from rawless.events.stream import load_stream

    declared = load_stream(stream) if stream else None
    spec = resolved(encoder, warehouse)
    own = resolved(attacker, warehouse) if attacker else None
    if declared:
        declared.check_modality(spec.ref, spec.modality, spec.reads)
    if own and own.modality != spec.modality:
        raise UserError(
            f"--attacker {own.ref} takes {own.modality}, but {spec.ref} takes {spec.modality}: name another."
        )
    from encoders.load import load
    from encoders.release import release_contents
    from rawless.audit.leakage import audit

    attributes, fingerprint = list(dict.fromkeys(attribute or ())), spec.fingerprint
    with progress_steps(f"Auditing {spec.ref}") as report:
        report("reading")
        auxiliary = read_records(aux, "--aux", spec.modality, max_rows, seed)
        targets = read_records(target, "--target", spec.modality, max_rows, seed) if target else None
        audit.check_attributes(attributes, auxiliary, "--aux")
        opened = open_warehouse(warehouse)
        folder = check_pictures(pictures, spec, opened)
        report("encoding")
        setting = audit.prepare(
            load(spec, device), auxiliary, targets,
            attacker=load(own, device) if own else None,
            attributes=attributes, stored=sorted(declared.attributes) if declared else (),
            release=release_contents(spec, f"audit {seed}".encode()), seed=seed,
        )  # fmt: skip
        found = audit.limited(audit.run(setting, report), declared)
        audit_id = audit.record(opened, spec, declared, found)
        drawn = draw_pictures(setting, folder)
    limits = declared.leakage.max if declared and declared.leakage else {}
    for metric in sorted(limits.keys() - {each.measure.metric for each in found}):
        warn(f"{metric} has a limit in the stream file, but this audit did not measure it: the gate needs a value.")
    if len(auxiliary.chosen) < audit.ENOUGH_ROWS:
        warn(
            f"The attacker had only {len(auxiliary.chosen):,} contents: with {audit.ENOUGH_ROWS:,} or more he finds "
            "more, so do not judge an encoder by this audit."
        )
    rows = [_row(each) for each in found]
    if json:
        print_json(
            {
                "audit_id": audit_id,
                "encoder": spec.ref,
                "fingerprint": fingerprint,
                "stream": declared.stream if declared else None,
                "aux": _described(auxiliary),
                "target": _described(targets) if targets else None,
                "measures": rows,
                "drawings": drawn,
            }
        )
        return
    print_table([_shown(row) for row in rows])
    described = _described(auxiliary)
    echo(
        f"{described['used']:,} of {described['read']:,} records of --aux were used; {described['repeated']:,} repeat "
        f"another and {described['unreadable']:,} cannot be read. Audit {audit_id} is recorded in leakage_audit_v1."
    )
    for line in describe_drawings(drawn) if drawn else ():
        echo(line)
    echo("A low value means that these attacks failed, not that none can succeed.")


def _described(records: "Records") -> dict[str, int]:
    return {
        "read": records.read,
        "used": len(records.chosen),
        "repeated": records.repeated,
        "unreadable": sum(records.unreadable.values()),
    }


def _row(each: "Limited") -> dict[str, Any]:
    measure = each.measure
    return {
        "attack": measure.attack,
        "metric": measure.metric,
        "value": measure.value,
        "low": measure.low,
        "high": measure.high,
        "prior": measure.prior,
        "random": measure.control,
        "shuffled": measure.shuffled,
        "limit": each.allowed_max,
        "passes": each.passes,
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    def number(value: float | None) -> str | None:
        return None if value is None else f"{value:.3f}"

    limit = number(row["limit"])
    return {
        "metric": row["metric"],
        "value": number(row["value"]),
        "95% interval": f"{number(row['low'])}-{number(row['high'])}",
        **{name: number(row[name]) for name in ("prior", "random", "shuffled")},
        "limit": limit and f"{limit} {'met' if row['passes'] else 'exceeded'}",
    }
