"""Write docs/snapshot-cost.md: what building a snapshot reads on BigQuery, and what that costs.

Run it with `python -m benchmarks.reading`. Nothing is measured: BigQuery bills by the columns and partitions that a
query reads.
"""

from pathlib import Path

from rawless.cli.output import echo
from rawless.datasets.cost import PRICE_PER_TIB, estimate, format_bytes

PAGE = Path(__file__).parent.parent / "docs" / "snapshot-cost.md"
EVENTS = {"1 M": 10**6, "100 M": 10**8, "10 G": 10**10}
DIMENSIONS = (384, 2048)
SHARES = {"all of its days": 1.0, "three of twelve months": 0.25}
_TEXT = f"""# What a snapshot reads on BigQuery

Computed by `python -m benchmarks.reading` from the widths of columns as BigQuery counts them, at {PRICE_PER_TIB:.2f} US
dollars a TiB on demand. `rawless dataset plan` reports the bytes of one dataset, from BigQuery's own dry run, and with
`budget.max_bytes_billed` in the dataset file BigQuery refuses a build that would cost more.

- The **metadata**, which is every column except the vectors, of all deliveries of the stream is read to find the
  eligible events.
- The **vectors** are read once, only on the days (partitions) of the rows that label and rules keep, and within the
  stream and encoder by which the table is clustered.
- Labels, rules and splits work on a table of ids, which is small in comparison.

"""


def main() -> None:
    """Write the page."""
    head = ("events of the stream", "dimension", "rows selected from", "metadata", "vectors", "US dollars")
    lines = [head, ("---",) * len(head)]
    for name, events in EVENTS.items():
        for dimension in DIMENSIONS:
            for days, share in SHARES.items():
                read = estimate(events, dimension, share)
                cells = (
                    name,
                    f"{dimension:,}",
                    days,
                    format_bytes(read.metadata),
                    format_bytes(read.vectors),
                    f"{read.dollars:,.2f}",
                )
                lines.append(cells)
    PAGE.write_text(_TEXT + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")
    echo(f"Wrote docs/{PAGE.name}.")


if __name__ == "__main__":
    main()
