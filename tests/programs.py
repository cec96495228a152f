"""`rawless` commands and workers of Beam as processes, forked from a server that has imported everything already."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from io import TextIOWrapper
from multiprocessing.connection import Connection
from pathlib import Path

PRELOADED = [
    "apache_beam.runners.worker.sdk_worker_main",
    "google.cloud.pubsub_v1",
    "encoders.batch_encoder",
    "encoders.runtimes.openvino",
    "openvino.frontend.pytorch.ts_decoder",
    "transformers.models.bert.modeling_bert",
    "pipelines.launch",
    "rawless.cli.main",
    "rawless.heads.training",
    "rawless.serving.app",
]
"""What the fork server imports once, so that no program has to: these imports take eight CPU seconds."""

_SECONDS = 60
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(PRELOADED)


def _main(
    arguments: list[str],
    environment: dict[str, str],
    folder: str,
    out: Connection,
    err: Connection,
    plant: Callable[[], None] | None,
) -> None:
    from rawless.cli.main import main

    os.chdir(folder)
    _enter(environment, out, err)
    if plant:
        plant()
    sys.argv = ["rawless", *arguments]
    main()


def _work(environment: dict[str, str], out: Connection, err: Connection) -> None:
    from apache_beam.runners.worker.sdk_worker_main import main

    _enter(environment, out, err)
    main([])


def _enter(environment: dict[str, str], out: Connection, err: Connection) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for pipe, number in ((out, 1), (err, 2)):
        os.dup2(pipe.fileno(), number)
        pipe.close()


class Program:
    """A running `rawless` command, with the interface of `subprocess.Popen`."""

    def __init__(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        plant: Callable[[], None] | None = None,
    ) -> None:
        """`plant` is a function of a module, which the process calls first, for example to give it a fault."""
        out, child_out = _context.Pipe(duplex=False)
        err, child_err = _context.Pipe(duplex=False)
        variables = dict(os.environ if environment is None else environment)
        words = [str(argument) for argument in arguments]
        self._process = _context.Process(
            target=_main, args=(words, variables, str(folder or Path.cwd()), child_out, child_err, plant)
        )
        self._process.start()
        child_out.close()
        child_err.close()
        self.stdout, self.stderr = _reader(out), _reader(err)
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for the signal that killed it, None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """See `Popen.poll`."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """See `Popen.wait`."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("rawless", timeout or 0.0)
        return self.returncode

    def ends_within(self, seconds: float) -> bool:
        """Return whether it has ended, for which this waits so long."""
        self._process.join(seconds)
        return self.returncode is not None

    def send_signal(self, number: signal.Signals) -> None:
        """See `Popen.send_signal`."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """See `Popen.kill`."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """See `Popen.communicate`."""
        texts = {"out": "", "err": ""}

        def read(name: str, pipe: TextIOWrapper) -> None:
            if not pipe.closed:
                texts[name] = pipe.read()
                pipe.close()

        readers = [
            threading.Thread(target=read, args=pair, daemon=True)
            for pair in (("out", self.stdout), ("err", self.stderr))
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join()
        return texts["out"], texts["err"]


def exit_code_of(work: Callable[..., None], *arguments: object) -> int | None:
    """Return how a process ends that calls a function of a module: 0, or negative for the signal that killed it."""
    process = _context.Process(target=work, args=arguments)
    process.start()
    process.join(_SECONDS)
    return process.exitcode


class Worker:
    """A worker process of Beam with this process's output, and the part of `subprocess.Popen` that Beam needs."""

    def __init__(self, command: str, *, shell: bool, env: Mapping[str, str]) -> None:
        assert command.endswith(" -m apache_beam.runners.worker.sdk_worker_main")
        with _output(1) as out, _output(2) as err:
            self._process = _context.Process(target=_work, args=(dict(env), out, err))
            self._process.start()

    @property
    def returncode(self) -> int | None:
        """See `Popen.returncode`."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """See `Popen.poll`."""
        return self.returncode

    def wait(self) -> None:
        """See `Popen.wait`."""
        self._process.join()

    def kill(self) -> None:
        """See `Popen.kill`."""
        self._process.kill()


def _output(number: int) -> Connection:
    return Connection(os.dup(number), readable=False)


def _reader(pipe: Connection) -> TextIOWrapper:
    file = open(os.dup(pipe.fileno()), encoding="utf-8")  # noqa: SIM115, PTH123 - lives as long as its program
    pipe.close()
    return file
