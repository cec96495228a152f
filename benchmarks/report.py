"""Print and store figures as a table, as JSON and as a chart, with a description of the machine."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure as Canvas

from benchmarks.figures import Figure
from rawless.cli.output import print_table

RESULTS = Path(__file__).parent / "results"


def machine() -> str:
    """Return a description of processor, cores, memory, device and versions."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = models[0] if models else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    python = platform.python_version()
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB, {device}; Python {python}, torch {torch.__version__}"


def show(figures: Sequence[Figure], title: str) -> None:
    """Print the figures as one table."""
    print_table([_row(figure) for figure in figures], f"{title} ({machine()})")


def _row(figure: Figure) -> dict[str, str]:
    verdict = "" if figure.holds is None else f"{figure.must}: {'holds' if figure.holds else 'DOES NOT HOLD'}"
    return {
        "of": f"{figure.part}, {figure.of}",
        "what": figure.what,
        "median": f"{figure.median:,} ({figure.lowest:,} to {figure.highest:,})",
        "unit": figure.unit,
        "must": verdict,
    }


def store(name: str, figures: Sequence[Figure]) -> None:
    """Write `NAME.json`, `NAME.md` and `NAME.svg` to benchmarks/results."""
    RESULTS.mkdir(exist_ok=True)
    content = {"machine": machine(), "figures": [asdict(figure) for figure in figures]}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    (RESULTS / f"{name}.md").write_text(_markdown(figures))
    _chart(figures).savefig(RESULTS / f"{name}.svg", metadata={"Date": None})


def _markdown(figures: Sequence[Figure]) -> str:
    rows = [_row(figure) for figure in figures]
    lines = [[*rows[0]], ["---"] * len(rows[0]), *([*row.values()] for row in rows)]
    return "\n".join([f"{machine()}.", "", *(f"| {' | '.join(line)} |" for line in lines)]) + "\n"


def _chart(figures: Sequence[Figure]) -> Canvas:
    """One panel for each part and unit: bars of medians, lines from lowest to highest, and the bounds."""
    panels: dict[tuple[str, str], list[Figure]] = {}
    for figure in figures:
        panels.setdefault((figure.part, figure.unit), []).append(figure)
    heights = [len(bars) + 2 for bars in panels.values()]
    canvas = Canvas(figsize=(11, 0.26 * sum(heights) + 0.6), layout="constrained")
    axes = canvas.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axis, ((part, unit), bars) in zip(axes[:, 0], panels.items(), strict=True):
        _panel(axis, f"{part}: {unit}", bars)
    canvas.suptitle(machine(), fontsize=8, color="#666666")
    return canvas


def _panel(axis: Any, title: str, bars: Sequence[Figure]) -> None:
    medians = [bar.median for bar in bars]
    spread = [[bar.median - bar.lowest for bar in bars], [bar.highest - bar.median for bar in bars]]
    colours = [_colour(bar) for bar in bars]
    axis.barh(range(len(bars)), medians, xerr=spread, color=colours, error_kw={"lw": 1, "ecolor": "#333333"})
    for position, bar in enumerate(bars):
        if bar.must:
            bound = float(bar.must.split()[1])
            axis.plot([bound, bound], [position - 0.45, position + 0.45], color="#d08700", lw=2)
        anchor = {"xy": (bar.highest, position), "xytext": (4, 0), "textcoords": "offset points"}
        axis.annotate(f"{bar.median:,}", **anchor, va="center", fontsize=8)
    axis.set_yticks(range(len(bars)), [f"{bar.of}: {bar.what}" for bar in bars], fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.set_title(title, loc="left", fontsize=9)
    axis.tick_params(axis="x", labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _colour(figure: Figure) -> str:
    if figure.holds is False:
        return "#b3402f"
    return "#2f6f8f" if figure.what.startswith("ingest") else "#9bb7c4"
