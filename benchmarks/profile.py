"""Where the time goes: core time an event by stage of the job, sampled, as docs/where-time-goes.svg.

`python -m benchmarks.profile`. A sampler reads every thread's time on a core and what it is in. Threads that are not
Python's belong to the model's runtime. Needs Linux.
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
from benchmarks.throughput import job, lines
from benchmarks.work import Work, minilm, own_home, resnet18, resnet50
from rawless.cli.output import echo, print_table
from rawless.local import home, stack

PICTURE = Path(__file__).parent.parent / "docs" / "where-time-goes.svg"
INTERVAL = 0.02
_MODEL, _REST, _BIGQUERY, _IDLE = "model", "Beam and the rest", "local BigQuery (another process)", "idle"
_STAGES = {
    _MODEL: ("/encoders/runtimes/",),
    "decoding, resizing, tokenizing": tuple(f"/encoders/{name}" for name in ("families/", "image_", "batch_encoder")),
    "batching": ("/encoders/batcher",),
    "reading and parsing": ("/events/", "/privacy/", "/pipelines/read", "/pipelines/parse"),
    "rows and their sending": ("/sql/", "/pipelines/write"),
}
_ALL = (*_STAGES, _REST, _BIGQUERY, _IDLE)
_COLOURS = ("#2f6f8f", "#d08700", "#8a6fb0", "#5b8c5a", "#b3402f", "#8c8c8c", "#d9c9a3", "#eeeeee")


def measure() -> list[dict[str, object]]:
    """Core milliseconds an event, by stage, for each encoder."""
    return [_measure(work) for work in (resnet18(300), resnet50(150), minilm(1_500))]


def _measure(work: Work) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        warm, ready = job(work.first(50), Path(folder) / "warm"), job(work, Path(folder) / "job")
        lines(warm, 50)
        seconds, spent = _sampled(lambda: lines(ready, len(work.payloads)))
    spent[_IDLE] = max(0.0, seconds * (os.cpu_count() or 1) - sum(spent.values()))
    count = len(work.payloads)
    return {"encoder": work.label, "events a second": round(count / seconds, 1)} | {
        stage: round(1000 * spent[stage] / count, 3) for stage in _ALL
    }


def _sampled(run: Callable[[], object]) -> tuple[float, dict[str, float]]:
    """How long it took, and the core seconds of each stage meanwhile."""
    spent = dict.fromkeys(_ALL, 0.0)
    done = threading.Event()
    sampler = threading.Thread(target=_sample, args=(spent, done))
    server = json.loads((home.folder() / "local.json").read_text())["pid"]
    before, started = _of_process(server), time.perf_counter()
    sampler.start()
    run()
    seconds = time.perf_counter() - started
    done.set()
    sampler.join()
    spent[_BIGQUERY] = _of_process(server) - before
    return seconds, spent


def _sample(spent: dict[str, float], done: threading.Event) -> None:
    own, last = threading.get_native_id(), _by_thread()
    while not done.wait(INTERVAL):
        now, frames = _by_thread(), sys._current_frames()
        names = {each.native_id: each.ident for each in threading.enumerate()}
        for thread, nanoseconds in now.items():
            if thread != own:
                ident = names.get(thread)
                stage = _MODEL if ident is None else _stage(frames.get(ident))
                spent[stage] += (nanoseconds - last.get(thread, nanoseconds)) / 1e9
        last = now


def _stage(frame: FrameType | None) -> str:
    """The innermost of our rooms that the thread is in."""
    while frame is not None:
        for stage, places in _STAGES.items():
            if any(place in frame.f_code.co_filename for place in places):
                return stage
        frame = frame.f_back
    return _REST


def _by_thread() -> dict[int, int]:
    """Nanoseconds on a core, of every thread of this process."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            found[int(task.name)] = int((task / "schedstat").read_text().split()[0])
        except OSError:  # it ended
            continue
    return found


def _of_process(process: int) -> float:
    """Seconds on a core, of all threads of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _draw(rows: list[dict[str, object]]) -> None:
    canvas = Canvas(figsize=(10, 1.2 + 0.9 * len(rows)), layout="constrained")
    axes = canvas.subplots()
    for row, each in enumerate(rows):
        values = {stage: float(str(each[stage])) for stage in _ALL}
        left, whole = 0.0, sum(values.values())
        for stage, colour in zip(_ALL, _COLOURS, strict=True):
            share = 100 * values[stage] / whole
            axes.barh(row, share, left=left, color=colour, label=stage if row == 0 else None, height=0.6)
            if share >= 4:
                axes.text(left + share / 2, row, f"{values[stage]:.2g} ms", ha="center", va="center", fontsize=8)
            left += share
    axes.set_yticks(range(len(rows)), [f"{each['encoder']}\n{each['events a second']} a second" for each in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"% of the machine's core time; labels: core milliseconds an event\n{report.machine()}", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    canvas.legend(loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    canvas.savefig(PICTURE, metadata={"Date": None})


def main() -> None:
    """Measure, print and draw."""
    with own_home():
        stack.up(home.folder())
        rows = measure()
    stages = [name for name in rows[0] if name != "encoder"]
    table = [{"": name} | {str(row["encoder"]): row[name] for row in rows} for name in stages]
    print_table(table, f"Core milliseconds an event, by stage ({report.machine()})")
    _draw(rows)
    echo("Drawn in docs/where-time-goes.svg.")


if __name__ == "__main__":
    main()
