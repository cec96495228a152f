"""Measure what happens in a worker's container before its first event, and how much disk its image takes.

Each start is a process of its own that imports what Beam's worker imports for this job, and loads one encoder as the
step `Encode` does: weights and digests, comparison of runtimes, golden probe. What precedes it, the machine, its driver
and the pull of the image, happens on Google Cloud only.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, figure, peak_memory, seconds
from rawless.deploy.image import image_contents

if TYPE_CHECKING:
    from encoders.spec import EncoderSpec

LOCK = Path(__file__).parent.parent / "requirements.worker.lock"
STAGES = ("Beam's worker and the steps", "torch", "the encoder, with its probe")


def measure(count: int) -> list[Figure]:
    """Processor seconds of each stage, seconds in total, peak memory, and the size of the packages in the image.

    Processor time, of all threads, depends less on what else the machine does.
    """
    from benchmarks.work import minilm, resnet50  # with torch, which the process that starts must import by itself

    image = image_contents(LOCK).size / 1e9
    figures = [figure("worker-start", "image", "packages of the lock, unpacked", [image], "GB")]
    for work in (minilm(1), resnet50(1)):
        start(work.spec)  # the first one reads the files from the disk
        starts = [start(work.spec) for _ in range(count)]
        figures += [
            figure("worker-start", work.label, stage, [each["stages"][stage] for each in starts], "processor seconds")
            for stage in STAGES
        ]
        figures += [
            figure("worker-start", work.label, "whole process", [each["seconds"] for each in starts], "seconds"),
            figure("worker-start", work.label, "peak memory", [each["megabytes"] for each in starts], "MB"),
        ]
    return figures


def start(spec: "EncoderSpec") -> dict[str, Any]:
    """Return what the start of a worker with an encoder takes, in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "spec.json"
        file.write_text(spec.model_dump_json())
        command, output = [sys.executable, "-m", "benchmarks.worker_start", str(file)], list[bytes]()
        environment = {**os.environ, "RAWLESS_CACHE": "off"}  # as in the image
        duration = seconds(
            lambda: output.append(subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment).stdout)
        )
    return {**json.loads(output[0].splitlines()[-1]), "seconds": duration}


def _start(file: Path) -> dict[str, Any]:
    stages, started = {}, 0.0  # with what the interpreter itself takes

    def ends(stage: str) -> None:
        nonlocal started
        now = time.process_time()
        stages[stage], started = now - started, now

    import apache_beam.runners.worker.sdk_worker_main  # noqa: F401 - what Beam's boot program runs

    import pipelines.ingest  # noqa: F401 - what the job's steps are unpickled from

    ends(STAGES[0])
    import torch  # noqa: F401

    ends(STAGES[1])
    from encoders.catalogue import parse
    from encoders.load import load

    load(parse(json.loads(file.read_text()), "The encoder spec"))
    ends(STAGES[2])
    return {"stages": stages, "megabytes": peak_memory()}


if __name__ == "__main__":
    print(json.dumps(_start(Path(sys.argv[1]))))
