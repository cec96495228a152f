"""Sample the core time per event by stage of the job and draw it as docs/where-time-goes.svg.

Run it with `python -m benchmarks.profile`. A sampler reads the CPU time and the stack of every thread. Threads that
Python did not start belong to the runtime of the model. Needs Linux.
"""

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from matplotlib.figure import Figure as Canvas

from benchmarks import report
from benchmarks.throughput import job, time_lines
from benchmarks.work import Work, minilm, resnet18, resnet50, temporary_home
from rawless.cli.output import echo, print_table
from rawless.local import home, stack

CHART = Path(__file__).parent.parent / "docs" / "where-time-goes.svg"
INTERVAL = 0.02
_MODEL, _REST, _BIGQUERY, _IDLE = "model", "Beam and the rest", "local BigQuery (another process)", "idle"
_STAGES = {
    _MODEL: ("/encoders/runtimes/",),
    "decoding, resizing, tokenizing": tuple(
        f"/encoders/{name}" for name in ("families/", "image_", "text_", "batch_encoder")
    ),
    "batching": ("/encoders/batcher",),
    "reading and parsing": ("/events/", "/privacy/", "/pipelines/read", "/steps/parse"),
    "rows and their sending": ("/warehouse/", "/steps/write"),
}
_ALL = (*_STAGES, _REST, _BIGQUERY, _IDLE)
_COLOURS = ("#2f6f8f", "#d08700", "#8a6fb0", "#5b8c5a", "#b3402f", "#8c8c8c", "#d9c9a3", "#eeeeee")


def measure() -> list[dict[str, object]]:
    """Core milliseconds per event, by stage, for each encoder."""
    return [_measure(work) for work in (resnet18(300), resnet50(150), minilm(1_500))]


def _measure(work: Work) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        warm_up, measured = job(work.first(50), Path(folder) / "warm"), job(work, Path(folder) / "job")
        time_lines(warm_up, 50)
        seconds, spent = _sample_run(lambda: time_lines(measured, len(work.payloads)))
    spent[_IDLE] = max(0.0, seconds * (os.cpu_count() or 1) - sum(spent.values()))
    count = len(work.payloads)
    return {"encoder": work.label, "events a second": round(count / seconds, 1)} | {
        stage: round(1000 * spent[stage] / count, 3) for stage in _ALL
    }


def _sample_run(run: Callable[[], object]) -> tuple[float, dict[str, float]]:
    """Run a function and return its duration in seconds and the core seconds of each stage."""
    spent = dict.fromkeys(_ALL, 0.0)
    done = threading.Event()
    sampler = threading.Thread(target=_sample_threads, args=(spent, done))
    server = json.loads((home.folder() / "local.json").read_text())["pid"]
    before, started = _process_seconds(server), time.perf_counter()
    sampler.start()
    run()
    seconds = time.perf_counter() - started
    done.set()
    sampler.join()
    spent[_BIGQUERY] = _process_seconds(server) - before
    return seconds, spent


def _sample_threads(spent: dict[str, float], done: threading.Event) -> None:
    own, last = threading.get_native_id(), _thread_nanoseconds()
    while not done.wait(INTERVAL):
        now, frames = _thread_nanoseconds(), sys._current_frames()
        names = {thread.native_id: thread.ident for thread in threading.enumerate()}
        for thread, nanoseconds in now.items():
            if thread != own:
                ident = names.get(thread)
                stage = _MODEL if ident is None else _stage(frames.get(ident))
                spent[stage] += (nanoseconds - last.get(thread, nanoseconds)) / 1e9
        last = now


def _stage(frame: FrameType | None) -> str:
    """The stage of the innermost frame that belongs to one."""
    while frame is not None:
        for stage, paths in _STAGES.items():
            if any(path in frame.f_code.co_filename for path in paths):
                return stage
        frame = frame.f_back
    return _REST


def _thread_nanoseconds() -> dict[int, int]:
    """The CPU time in nanoseconds of every thread of this process."""
    times = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            times[int(task.name)] = int((task / "schedstat").read_text().split()[0])
        except OSError:  # the thread has ended
            continue
    return times


def _process_seconds(process: int) -> float:
    """The CPU time in seconds of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _draw(rows: list[dict[str, object]]) -> None:
    canvas = Canvas(figsize=(10, 1.2 + 0.9 * len(rows)), layout="constrained")
    axes = canvas.subplots()
    for position, row in enumerate(rows):
        values = {stage: float(str(row[stage])) for stage in _ALL}
        left, total = 0.0, sum(values.values())
        for stage, colour in zip(_ALL, _COLOURS, strict=True):
            share = 100 * values[stage] / total
            axes.barh(position, share, left=left, color=colour, label=None if position else stage, height=0.6)
            if share >= 4:
                axes.text(left + share / 2, position, f"{values[stage]:.2g} ms", ha="center", va="center", fontsize=8)
            left += share
    axes.set_yticks(range(len(rows)), [f"{row['encoder']}\n{row['events a second']} a second" for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel(
        f"% of the machine's core time; labels: core milliseconds per event\n{report.machine()}", fontsize=8
    )
    axes.spines[["top", "right"]].set_visible(False)
    canvas.legend(loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    canvas.savefig(CHART, metadata={"Date": None})


def main() -> None:
    """Measure, print the table and draw the chart."""
    with temporary_home():
        stack.up(home.folder())
        rows = measure()
    stages = [name for name in rows[0] if name != "encoder"]
    table = [{"": name} | {str(row["encoder"]): row[name] for row in rows} for name in stages]
    print_table(table, f"Core milliseconds per event, by stage ({report.machine()})")
    _draw(rows)
    echo("Wrote docs/where-time-goes.svg.")


if __name__ == "__main__":
    main()
