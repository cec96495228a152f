"""Two encoders in one job, as while a stream is migrated, and the same two in a job each.

What is compared is work, so CPU time is measured, of this process: with all cores in use it is proportional to the time
that passes, and other programs on the machine do not distort it.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.figures import Figure, Side, figure, ratios, rounds
from benchmarks.throughput import job, time_lines
from benchmarks.work import Work, minilm, resnet18
from encoders.catalogue import parse
from encoders.seal import seal
from encoders.spec import EncoderSpec
from pipelines.ingest import Ingest

REQUIRED = "<= 1"


def measure(count: int) -> list[Figure]:
    """CPU seconds of one job with two encoders and of a job for each, and their ratio."""
    works = (
        (minilm(200), {"pooling": "cls"}),
        (resnet18(60), {"interpolation": "bicubic"}),
    )
    return [each for work, fields in works for each in _measure(work, _variant(work.spec, fields), count)]


def _measure(work: Work, second: EncoderSpec, count: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        first = job(work, Path(folder) / work.label)
        jobs = {
            "the first alone": first,
            "the second alone": replace(first, encoders=(second,)),
            "both in one job": replace(first, encoders=(work.spec, second)),
        }
        times = rounds({name: _side(each, len(work.payloads)) for name, each in jobs.items()}, count)
    one, other, both = times.values()
    apart = [sum(pair) for pair in zip(one, other, strict=True)]
    return [
        *(figure("dual", work.label, name, values, "CPU s") for name, values in times.items()),
        figure("dual", work.label, "both in one job / sum of the jobs", ratios(both, apart), "ratio", REQUIRED),
    ]


def _side(of: Ingest, events: int) -> Side:
    def run() -> float:
        started = time.process_time()
        time_lines(of, events * len(of.encoders))
        return time.process_time() - started

    return run


def _variant(spec: EncoderSpec, fields: dict[str, str]) -> EncoderSpec:
    """Return another encoder of the same model, as a stream is migrated to."""
    data = spec.model_dump(mode="json", exclude={"probe"})
    inner = data["preprocessing"]
    data |= {name: value for name, value in fields.items() if name not in inner}
    data["preprocessing"] = {**inner, **{name: value for name, value in fields.items() if name in inner}}
    return seal(parse({**data, "version": "1.1.0"}, "The spec"))
