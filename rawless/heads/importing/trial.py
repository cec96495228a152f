"""Running an untrusted graph in a process of its own, where a crash, a stall or a full memory does no harm.

`python -m rawless.heads.importing.trial` is that process: it reads a graph from stdin, checks and runs it, and writes
the answers to stdout. This module imports little, so that the process starts fast.
"""

import io
import resource
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from rawless.child_environment import child_environment
from rawless.heads.importing.expansion_check import MAX_VALUES, ExpansionError, check_expansions
from rawless.heads.runtime import open_session

ROWS = 7
MAX_SECONDS = 20
MAX_MEMORY = 2 << 30
"""Bytes that the process may allocate."""
_FAILURES = {
    "check": "is not a valid ONNX graph",
    "expand": f"has an output of {{error}} that is not of a fixed size of at most {MAX_VALUES:,} values for each row: "
    "write it with fixed sizes",
    "load": "does not load in ONNX Runtime",
    "run": f"cannot be run on both 1 and {ROWS} rows in 2 GiB of memory; the number of rows must not be fixed",
}
"""What it means when a stage of the process fails."""
Array = npt.NDArray[Any]


class TrialError(Exception):
    """What is wrong with a graph, as the predicate of a sentence."""


def run_trial(graph: bytes) -> tuple[Array, list[Array]]:
    """Return what a graph with one output answers for `ROWS` rows in one batch, and for each alone.

    Raises TrialError.
    """
    try:
        process = subprocess.run(
            [sys.executable, "-P", "-m", "rawless.heads.importing.trial"],
            input=graph,
            capture_output=True,
            timeout=MAX_SECONDS,
            env=child_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TrialError(f"did not answer {ROWS} rows within {MAX_SECONDS} seconds: make it smaller") from None
    if process.returncode == 0:
        with np.load(io.BytesIO(process.stdout)) as answers:
            batch, *singles = answers.values()
        return batch, singles
    stage, _, error = process.stdout.decode("ascii", "replace").partition(" ")
    if stage not in _FAILURES:
        raise TrialError(f"crashed the process that it was run in (exit code {process.returncode}): export it again")
    if stage == "expand":
        raise TrialError(_FAILURES[stage].format(error=error))
    raise TrialError(f"{_FAILURES[stage]} ({error})")


def main() -> int:
    """Run the trial of the graph on stdin.

    Returns 1 if the graph failed, after writing the stage and the name of the exception's class, or of the operator.
    """
    _limit_resources()
    try:
        answers = try_here(sys.stdin.buffer.read())
    except _StageError as failed:
        print(failed, end="")
        return 1
    np.savez(sys.stdout.buffer, *answers)
    return 0


class _StageError(Exception):
    """The stage that failed, and why."""


def try_here(graph: bytes) -> list[Array]:
    """Check and run a graph in this process: return its answers for all rows in one batch, then for each alone."""
    stage = "check"
    try:
        import onnx

        onnx.checker.check_model(graph, full_check=True)
        stage = "expand"
        check_expansions(onnx.load_from_string(graph))
        stage = "load"
        session = open_session(graph)
        stage = "run"
        return _run(session)
    except ExpansionError as error:
        raise _StageError(f"{stage} {error}") from None
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's exceptions have no base class of their own
        raise _StageError(f"{stage} {type(error).__name__}") from None


def _run(session: Any) -> list[Array]:
    """Return the answers for all rows in one batch, then for each alone; the rows are normally distributed."""
    generator = np.random.default_rng(0)
    inputs = {
        tensor.name: generator.standard_normal((ROWS, tensor.shape[1])).astype(np.float32)
        for tensor in session.get_inputs()
    }
    batches = [slice(None), *(slice(row, row + 1) for row in range(ROWS))]
    return [session.run(None, {name: values[batch] for name, values in inputs.items()})[0] for batch in batches]


def _limit_resources() -> None:
    limits = ((resource.RLIMIT_DATA, MAX_MEMORY), (resource.RLIMIT_CPU, MAX_SECONDS), (resource.RLIMIT_CORE, 0))
    for kind, limit in limits:
        _, hard = resource.getrlimit(kind)
        soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (soft, hard))


if __name__ == "__main__":
    sys.exit(main())
