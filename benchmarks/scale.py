"""Write docs/scale-and-cost.md: scale and cost, computed from benchmark results and published prices.

Run it with `python -m benchmarks.scale`. It measures nothing; each figure of the page says what it rests on. It also
writes the table of the cost at rest in docs/deploy.md.
"""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import capacity, scale_costs, scale_limits, scale_workers
from benchmarks.capacity import IMAGES, TEXTS
from benchmarks.marked_table import LEGEND, mark, table
from rawless.cli.output import echo

_DOCS = Path(__file__).parent.parent / "docs"
WIDTH = 120
PAGE, DEPLOYMENT = _DOCS / "scale-and-cost.md", _DOCS / "deploy.md"


def page() -> str:
    """Return the complete page."""
    blocks = "\n\n".join(_sections()).split("\n\n")
    return "\n\n".join(_wrapped(block) for block in blocks) + "\n"


def _wrapped(block: str) -> str:
    """Return a block of Markdown with lines of one length, if it is a paragraph."""
    if block.startswith(("#", "|", "- ")):
        return block
    return textwrap.fill(block, WIDTH, break_long_words=False, break_on_hyphens=False)


def deployment_page() -> str:
    """Return the page about the deployment with the cost at rest."""
    text = DEPLOYMENT.read_text()
    at_rest = scale_costs.at_rest().split("\n\n", 1)[1]
    written = re.sub(
        r"\| part \| dollars a month \|\n(\|.*\n)+(\nMarks: .*\n)?", lambda _: at_rest + "\n", text, count=1
    )
    if at_rest not in written:
        raise ValueError(f"{DEPLOYMENT.name} has no table of the cost at rest.")
    return written


def _sections() -> Iterator[str]:
    yield _head()
    yield scale_costs.at_rest()
    yield from scale_workers.sections()
    yield from scale_costs.sections()
    yield from scale_limits.sections()
    yield _sources()


def _head() -> str:
    texts, images = (mark(capacity.limit_rates(load)["write"]) for load in (TEXTS, IMAGES))
    return f"""# Scale and cost, computed

How many workers a rate needs, what it costs in US dollars, and which limit of Google Cloud it reaches first, in one
region. `python -m benchmarks.scale` computes the page from measurements in
[benchmarks/results](../benchmarks/results) and the figures in [benchmarks/prices.yaml](../benchmarks/prices.yaml).

Each figure in a table has a mark: {LEGEND}. A figure that was computed has the mark of its least sure part. **Only CPUs
were measured, on one machine with two cores, and a vCPU of Google's is taken for one of them. Nothing was measured on a
T4, an L4 or Dataflow.**

- Without more quota, a region takes {texts} texts or {images} images a second: [limits](#limits-of-a-region).
- At {capacity.RATES[-1]:,} events a second, [some quotas](#what-to-raise-for-10000-events-a-second) have to be raised.
- Photographs of phones cost their decoding, not the model: [photographs](#photographs-of-12-megapixels).
- What a million events cost together is [one table](#what-a-million-events-cost)."""


def _sources() -> str:
    rows = [_source(kind, figure) for kind, group in capacity.figures().items() for figure in group.values()]
    return f"""## Sources

Measured figures are those of decoding beside the job (preparing), throughput and worker in
[benchmarks/results](../benchmarks/results), which also name the machine. Ceilings follow from
benchmarks/results/ceilings.json and the published figures of the cards. Settings are what Terraform sets, and exact.
Prices are those of us-central1 on demand, without discounts and free tiers. Most published figures were read in copies
of Google's pages from September 2026: compare them with the page before you rely on them. A figure that was never
looked up was written from memory, and counts as assumed.

{table(("kind", "subject", "figure", "source", "looked up"), rows, labels=5)}"""


def _source(kind: str, figure: dict[str, Any]) -> tuple[str, ...]:
    value = f"{float(figure['value']):,.8f}".rstrip("0").rstrip(".")
    text = (
        f"{value} {figure['unit']}"
        if kind == "settings"
        else f"{value}{capacity.basis(kind, figure).mark} {figure['unit']}"
    )
    looked_up = str(
        figure.get("looked_up", "set" if kind == "settings" else "assumed" if kind == "assumed" else "never")
    )
    return (kind, figure["of"], text, figure["source"], looked_up)


def main() -> None:
    """Write the pages."""
    PAGE.write_text(page())
    DEPLOYMENT.write_text(deployment_page())
    echo(f"Wrote docs/{PAGE.name}, and the cost at rest in docs/{DEPLOYMENT.name}.")


if __name__ == "__main__":
    main()
