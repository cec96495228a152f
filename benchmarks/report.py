"""The figures as a table, as JSON, and as a chart, with the machine named."""

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
    """Processor, cores, memory, device and versions."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        named = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = named[0] if named else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    python = platform.python_version()
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB, {device}; Python {python}, torch {torch.__version__}"


def show(figures: Sequence[Figure], title: str) -> None:
    """One table on the terminal."""
    print_table([_told(each) for each in figures], f"{title} ({machine()})")


def _told(figure: Figure) -> dict[str, str]:
    held = "" if figure.holds is None else f"{figure.must}: {'holds' if figure.holds else 'DOES NOT HOLD'}"
    return {
        "of": f"{figure.part}, {figure.of}",
        "what": figure.what,
        "median": f"{figure.median:,} ({figure.lowest:,} to {figure.highest:,})",
        "unit": figure.unit,
        "must": held,
    }


def keep(name: str, figures: Sequence[Figure]) -> None:
    """`NAME.json`, `NAME.md` and `NAME.svg` in benchmarks/results."""
    RESULTS.mkdir(exist_ok=True)
    kept = {"machine": machine(), "figures": [asdict(each) for each in figures]}
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=2) + "\n")
    (RESULTS / f"{name}.md").write_text(_markdown(figures))
    _chart(figures).savefig(RESULTS / f"{name}.svg", metadata={"Date": None})


def _markdown(figures: Sequence[Figure]) -> str:
    rows = [_told(each) for each in figures]
    lines = [[*rows[0]], ["---"] * len(rows[0]), *([*row.values()] for row in rows)]
    return "\n".join([f"{machine()}.", "", *(f"| {' | '.join(line)} |" for line in lines)]) + "\n"


def _chart(figures: Sequence[Figure]) -> Canvas:
    """One panel a part and unit: bars of medians with lines from lowest to highest, and the bounds."""
    panels: dict[tuple[str, str], list[Figure]] = {}
    for each in figures:
        panels.setdefault((each.part, each.unit), []).append(each)
    heights = [len(bars) + 2 for bars in panels.values()]
    canvas = Canvas(figsize=(11, 0.26 * sum(heights) + 0.6), layout="constrained")
    axes = canvas.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axis, ((part, unit), bars) in zip(axes[:, 0], panels.items(), strict=True):
        _panel(axis, f"{part}: {unit}", bars)
    canvas.suptitle(machine(), fontsize=8, color="#666666")
    return canvas


def _panel(axis: Any, title: str, bars: Sequence[Figure]) -> None:
    medians = [each.median for each in bars]
    reach = [[each.median - each.lowest for each in bars], [each.highest - each.median for each in bars]]
    colours = [_colour(each) for each in bars]
    axis.barh(range(len(bars)), medians, xerr=reach, color=colours, error_kw={"lw": 1, "ecolor": "#333333"})
    for place, each in enumerate(bars):
        if each.must:
            bound = float(each.must.split()[1])
            axis.plot([bound, bound], [place - 0.45, place + 0.45], color="#d08700", lw=2)
        at = {"xy": (each.highest, place), "xytext": (4, 0), "textcoords": "offset points"}
        axis.annotate(f"{each.median:,}", **at, va="center", fontsize=8)
    axis.set_yticks(range(len(bars)), [f"{each.of}: {each.what}" for each in bars], fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.set_title(title, loc="left", fontsize=9)
    axis.tick_params(axis="x", labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _colour(figure: Figure) -> str:
    if figure.holds is False:
        return "#b3402f"
    return "#2f6f8f" if figure.what.startswith("ingest") else "#9bb7c4"
