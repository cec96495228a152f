"""`rawless subjects`: add customers to the subject map, and change the pseudonym key."""

from typing import Annotated

import typer

from rawless.cli.options import Json, SubjectForm, WarehouseFile
from rawless.cli.output import echo, print_json, progress

app = typer.Typer(help="Maintain the map between customers and pseudonyms.", no_args_is_help=True)


@app.command()
def sync(
    origin: Annotated[str, typer.Option("--from", help="TABLE.COLUMN in the events dataset, or DATASET.TABLE.COLUMN.")],
    subject_form: SubjectForm = "",
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Add a pseudonym for every customer id of a column to the subject map, so that SQL can join business tables.

    Run it again when there are new customers, and after a change of the pseudonym key.
    Each customer keeps the same person key.
    """
    from rawless.connect import open_key_source, open_warehouse
    from rawless.privacy.subject_ids import MAX_SUBJECT_LENGTH, parse_steps
    from rawless.warehouse import subjects

    column, form = subjects.business_column(origin), parse_steps(subject_form)
    opened = open_warehouse(warehouse)
    key = open_key_source(opened).load()
    synced = subjects.SyncProgress()
    with progress(f"Mapping customers of {origin}", lambda: f"{synced.new:,} new"):
        subjects.sync(opened, column, key, synced, form)
    if json:
        print_json({"from": origin, "subject_key_id": key.key_id, **vars(synced)})
        return
    echo(f"{origin}: {synced.new:,} customers added to the subject map, {synced.known:,} already in it.")
    if synced.without_id:
        echo(f"{synced.without_id:,} rows have no id.")
    if synced.unusable:
        echo(
            f"{synced.unusable:,} ids were skipped because no event can carry them: they are longer than "
            f"{MAX_SUBJECT_LENGTH} characters, contain unprintable characters, or have outer blanks, which "
            "--subject-form trim removes."
        )


@app.command()
def rotate(
    secret: Annotated[
        str | None,
        typer.Option("--secret", help="The secret version with the new key: projects/P/secrets/S/versions/V."),
    ] = None,
    leave_outside: Annotated[
        bool, typer.Option("--leave-outside", help="Rotate although persons with events are not in the subject map.")
    ] = False,
    subject_form: SubjectForm = "",
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Give every customer in the subject map a pseudonym under a new key, so that each stays the same person.

    On the local stack the new key is made, and the former one is kept beside it. With --warehouse the new key is a
    version of the secret, and jobs and services use it once they are deployed with it.
    """
    from rawless.audit.erasure.erase import extend_tombstones
    from rawless.connect import check_rotation, new_key, open_warehouse
    from rawless.errors import UserError
    from rawless.privacy.subject_ids import parse_steps
    from rawless.warehouse import subjects

    check_rotation(warehouse, secret)
    form, opened = parse_steps(subject_form), open_warehouse(warehouse)
    outside, rotated = subjects.persons_outside(opened), subjects.SyncProgress()
    if outside and not leave_outside:
        raise UserError(
            f"{outside:,} persons have events but are not in the subject map, so under a new key they would be other "
            "persons, perhaps in another split: run `rawless subjects sync` first, or add --leave-outside."
        )
    with new_key(secret) as key, progress("Mapping customers", lambda: f"{rotated.new:,} mapped"):
        subjects.rotate(opened, key, rotated, form)
    try:
        tombstones: int | None = extend_tombstones(opened)
    except UserError:  # the account that maps customers may not read the audit dataset
        tombstones = None
    if json:
        counts = {"persons_outside": outside, "tombstones": tombstones}
        print_json({"subject_key_id": key.key_id, **vars(rotated), **counts})
        return
    echo(f"{rotated.new:,} customers have a pseudonym under {key.key_id}, {rotated.known:,} had one.")
    if rotated.unusable:
        echo(f"{rotated.unusable:,} ids were skipped because no event can carry them.")
    for line in _left_to_do(outside, tombstones, secret):
        echo(line)


def _left_to_do(outside: int | None, tombstones: int | None, secret: str | None) -> list[str]:
    lines = []
    if outside is None:
        lines.append(
            "This account may not read events, so it is not known whether some are of persons outside the map."
        )
    elif outside:
        lines.append(
            f"{outside:,} persons are not in the subject map: their events under the new key are of other persons, and "
            "to erase one of them the former key has to be named by --earlier-key."
        )
    if tombstones is None:
        lines.append("Let the privacy office run `rawless erase --again`, which carries erasures over to the new key.")
    if secret:
        lines.append(f"Deploy jobs and services with {secret}; until then events are written under the former key.")
    return lines
