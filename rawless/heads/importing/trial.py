"""Trying a graph in a process of its own, where what breaks, stalls or fills the memory does no harm.

`python -m heads.trial` is that process: it reads a graph, checks it, asks it, and writes the answers. It imports little
and so starts fast.
"""

import io
import os
import resource
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from rawless.heads.runtime import open_session

ROWS = 7
SECONDS = 20
MEMORY = 2 << 30
"""Bytes that the process may take."""
_TOLD = {
    "check": "is no valid ONNX graph",
    "load": "does not load in ONNX Runtime",
    "ask": f"does not answer both one row and {ROWS}, whose number it may not fix, in 2 GiB of memory",
}
Array = npt.NDArray[Any]


class TrialError(Exception):
    """What is wrong with the graph, as the end of a sentence that begins with its name."""


def try_out(graph: bytes) -> tuple[Array, list[Array]]:
    """What a graph of one output answers to seven rows at once, and to each alone. Raises TrialError."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "rawless.heads.importing.trial"],
            input=graph,
            capture_output=True,
            timeout=SECONDS,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TrialError(f"did not answer {ROWS} rows within {SECONDS} seconds: make it smaller") from None
    if done.returncode == 0:
        with np.load(io.BytesIO(done.stdout)) as answers:
            whole, *alone = answers.values()
        return whole, alone
    stage, _, error = done.stdout.decode("ascii", "replace").partition(" ")
    if stage not in _TOLD:
        raise TrialError(f"broke the process that it was tried in (exit code {done.returncode}), so it is not taken")
    raise TrialError(f"{_TOLD[stage]} ({error})")


def main() -> int:
    """The other process. Its exit code is 1 when the graph failed, and then it writes where and with what error."""
    _limit()
    graph, stage = sys.stdin.buffer.read(), "check"
    try:
        import onnx

        onnx.checker.check_model(graph, full_check=True)
        stage = "load"
        session = open_session(graph)
        stage = "ask"
        answers = ask(session)
    except Exception as error:  # noqa: BLE001 - the runtime's own exceptions share no base class
        print(stage, type(error).__name__, end="")
        return 1
    np.savez(sys.stdout.buffer, *answers)
    return 0


def ask(session: Any) -> list[Array]:
    """The answers to seven rows at once, then to each alone; rows of normal numbers from a seed."""
    chance = np.random.default_rng(0)
    rows = {
        each.name: chance.standard_normal((ROWS, each.shape[1])).astype(np.float32) for each in session.get_inputs()
    }
    batches = [slice(None), *(slice(row, row + 1) for row in range(ROWS))]
    return [session.run(None, {name: values[batch] for name, values in rows.items()})[0] for batch in batches]


def _limit() -> None:
    for kind, most in ((resource.RLIMIT_DATA, MEMORY), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(kind)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, hard))


if __name__ == "__main__":
    sys.exit(main())
