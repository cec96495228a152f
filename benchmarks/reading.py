"""Write docs/snapshot-cost.md: what building a snapshot reads on BigQuery, statement by statement, and what that costs.

Run it with `python -m benchmarks.reading`. Nothing is measured: BigQuery bills by the columns and partitions that a
statement reads, and these are taken from the statements of a build.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import yaml
from google.cloud import bigquery

from rawless.cli.output import echo
from rawless.datasets import sources
from rawless.datasets.compile import CompiledDataset, compile_dataset
from rawless.datasets.cost import PRICE_PER_TIB, Volume, dollars
from rawless.datasets.dataset import open_dataset
from rawless.datasets.plan import bytes_read
from rawless.demo.datasets import LABEL, SPEC
from rawless.quantities import format_bytes
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import WarehouseConfig

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "snapshot-cost.md"
EVENTS = {"10 M": 10**7, "100 M": 10**8, "10 G": 10**10}
_WAREHOUSE = Warehouse(
    WarehouseConfig(project="acme-embeddings", events="e", snapshots="s", builds="b", subjects="u", audit="a")
)
_FACTS = {
    "topic_confirmed": {"event_id": "STRING", "topic": "STRING", "confirmed_at": "TIMESTAMP"},
    "account_closed": {"customer_id": "STRING", "closed_at": "TIMESTAMP"},
    "account_reopened": {"customer_id": "STRING", "reopened_at": "TIMESTAMP"},
    "digit_confirmed": {"event_id": "STRING", "digit": "STRING", "confirmed_at": "TIMESTAMP"},
}
"""The columns of the tables that the datasets read."""
_STREAMS = {"support_message": (384, 8), "digit_upload": (512, 11)}
"""The dimension of the vectors of each stream, and the characters of its ids."""
_DAYS = {
    "all twelve months": (1.0, False),
    "three of twelve months by `history: 91d`": (0.25, True),
    "three of twelve months by `occurred_within`": (0.25, False),
}
"""The share of the days on which the selected events occurred, and whether the others are not read at all."""
_TEXT = f"""# What a snapshot reads on BigQuery

Computed by `python -m benchmarks.reading` from the statements of a build: the columns that each reads, their widths as
BigQuery counts them, and the partitions and blocks that its filters leave, at {PRICE_PER_TIB:.2f} US dollars a TiB on
demand. Nothing here is measured. `rawless dataset plan` reports the bytes of one dataset, from BigQuery's own dry run
where it has one, and with `budget.max_bytes_billed` in the dataset file a build stops before it bills more.

- **Vectors are read once**, by the statement that writes the snapshot, in which near duplicates are found too: of one
  encoder, on the days (partitions) of the rows that label and rules keep. All later statements read the columns that
  they need, such as the hash of a row for the digest.
- To find the eligible events, all columns **but the vectors** are read of all deliveries of the stream.
- Labels and rules work on tables of ids. Rules that decide on each example alone share one statement.
- Rows that are written are not billed, and neither is dropping a snapshot, which is a table of its own: what a build
  reads does not depend on how many snapshots are kept. Storage does.

The rule `occurred_within` reads the metadata of all days, because the ledger says how many events it removed; `history`
in the dataset file leaves older days unread, and they are in no line of the ledger.

Assumed: ids as long as in the example streams, pseudonyms of 64 characters, attributes of 24 in an event, one delivery
of each event, one row of facts about it and about its person, and ten events a person.

"""


def datasets(folder: Path) -> Iterator[CompiledDataset]:
    """Yield the example datasets, compiled for a warehouse with the tables that they read."""
    (folder / "labels").mkdir()
    (folder / "labels" / "confirmed_digit.sql").write_text(LABEL)
    rules = [{"exclude_closed_accounts": {"reopened": "account_reopened"}}, {"occurred_within": {"days": 50}}]
    digits = SPEC | {"rules": [*rules, {"cap_per_subject": {"events": 6}}], "as_of": "2026-11-01T00:00:00Z"}
    (folder / "digits.yaml").write_text(yaml.safe_dump(digits))
    for file in (ROOT / "examples" / "support_message" / "dataset.yaml", folder / "digits.yaml"):
        dataset = open_dataset(file)
        tables = {
            source.name: sources.source_table(source, f"acme-embeddings.e.{source.name}", _fields(source.name))
            for source in dataset.spec.sources
        }
        compiled = compile_dataset(_WAREHOUSE, dataset)
        yield replace(compiled, look_up_sources=partial(dict, tables))


def _fields(name: str) -> list[bigquery.SchemaField]:
    return [bigquery.SchemaField(column, kind) for column, kind in _FACTS[name].items()]


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder:
        compiled = {each.spec.dataset: each for each in datasets(Path(folder))}
    PAGE.write_text(_TEXT + "".join(_sections(compiled)))
    echo(f"Wrote docs/{PAGE.name}.")


def ratio(compiled: CompiledDataset, volume: Volume) -> float:
    """Return the bytes that a build reads as a multiple of the selected vectors, read once."""
    return sum(bytes_read(compiled, volume).values()) / _vectors(volume)


def volume_of(compiled: CompiledDataset, events: int, days_read: float = 1.0) -> Volume:
    """Return the volume of an example dataset, with ids as long as its own."""
    dimension, length = _STREAMS[compiled.spec.stream]
    return Volume(events, dimension, days_read=days_read, event_id_length=length)


def _vectors(volume: Volume) -> float:
    return 8.0 * volume.dimension * volume.events * volume.days_read


def _sections(compiled: dict[str, CompiledDataset]) -> Iterator[str]:
    yield "## In total\n\n"
    head = ("dataset", "events", "days", "vectors selected", "read", "ratio", "US dollars")
    yield _table(head, (line for each in compiled.values() for line in _totals(each)))
    for name, each in compiled.items():
        yield f"\n## By statement: `{name}`, 100 M events\n\n"
        volume = volume_of(each, 10**8)
        read = bytes_read(each, volume)
        lines = [(step, format_bytes(size), f"{size / _vectors(volume):.3f}") for step, size in read.items()]
        yield _table(("statement", "read", "ratio"), lines)


def _totals(compiled: CompiledDataset) -> Iterator[tuple[str, ...]]:
    for name, events in EVENTS.items():
        for days, (share, is_pushed) in _DAYS.items():
            volume = volume_of(compiled, events, share)
            if is_pushed:  # what is older is not read at all
                volume = replace(volume, deliveries=round(events * share), days_read=1.0)
            read = sum(bytes_read(compiled, volume).values())
            numbers = (format_bytes(_vectors(volume)), format_bytes(read), f"{read / _vectors(volume):.2f}")
            yield compiled.spec.dataset, name, days, *numbers, f"{dollars(read):,.2f}"


def _table(head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    rows = [head, ("---",) * len(head), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    main()
