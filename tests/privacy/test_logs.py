"""The log guard: records and warnings of any library while raw content is processed contain nothing."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rawless.privacy import Raw, Reason, guarded
from rawless.privacy.logs import withheld

MARKER = "my card ends in 4711"
WITHHELD = "withheld: logged while raw content was processed"


class Collector(logging.Handler):
    """A handler of the root logger that keeps every record."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def text(self) -> str:
        formatter = logging.Formatter("%(levelname)s %(name)s %(message)s")
        return "\n".join(formatter.format(record) + repr(vars(record)) for record in self.records)


@pytest.fixture
def collected() -> Iterator[Collector]:
    root, collector = logging.getLogger(), Collector()
    level = root.level
    root.addHandler(collector)
    root.setLevel(logging.DEBUG)
    yield collector
    root.setLevel(level)
    root.removeHandler(collector)


@pytest.fixture
def library() -> logging.Logger:
    """The logger of a library."""
    return logging.getLogger("somebody.elses.library")


def _logged_exception(logger: logging.Logger) -> None:
    try:
        raise ValueError(MARKER)
    except ValueError:
        logger.exception("failed")


def _logged_extra(logger: logging.Logger) -> None:
    logger.info("tokenized", extra={"document": MARKER, "json_fields": {"text": MARKER}})


WAYS: dict[str, Callable[[logging.Logger], None]] = {
    "argument": lambda logger: logger.debug("tokenizing %s", MARKER),
    "named argument": lambda logger: logger.debug("tokenizing %(text)s", {"text": MARKER}),
    "formatted message": lambda logger: logger.warning(f"tokenizing {MARKER}"),
    "object as message": lambda logger: logger.error(ValueError(MARKER)),
    "exc_info": _logged_exception,
    "exc_info given": lambda logger: logger.error("failed", exc_info=ValueError(MARKER)),
    "stack_info": lambda logger: logger.error(MARKER, stack_info=True),
    "child logger": lambda logger: logger.getChild("deep").critical(MARKER),
    "root logger": lambda _: logging.getLogger().error(MARKER),
    "adapter": lambda logger: logging.LoggerAdapter(logger, {}).info("%s", MARKER),
    "extra": _logged_extra,
    "adapter with extra": lambda logger: logging.LoggerAdapter(logger, {"text": MARKER}).info("tokenized"),
}


@pytest.mark.parametrize("log", WAYS.values(), ids=WAYS.keys())
def test_a_record_that_a_library_logs_inside_the_boundary_is_emptied(
    log: Callable[[logging.Logger], None], library: logging.Logger, collected: Collector
) -> None:
    guarded(log, library)
    assert [record.getMessage() for record in collected.records] == [WITHHELD]
    record = collected.records[0]
    assert (record.args, record.exc_info, record.stack_info) == ((), None, None)
    assert MARKER not in collected.text()


@pytest.mark.parametrize("log", WAYS.values(), ids=WAYS.keys())
def test_the_same_record_outside_is_untouched(
    log: Callable[[logging.Logger], None], library: logging.Logger, collected: Collector
) -> None:
    guarded(lambda: None)
    log(library)
    assert MARKER in collected.text()
    assert WITHHELD not in collected.text()


def test_a_withheld_record_keeps_logger_place_and_level(library: logging.Logger, collected: Collector) -> None:
    guarded(library.error, MARKER)
    record = collected.records[0]
    assert (record.name, record.levelname) == ("somebody.elses.library", "ERROR")


def test_logging_works_again_after_a_failed_step(library: logging.Logger, collected: Collector) -> None:
    def step() -> None:
        library.error(MARKER)
        raise ValueError(MARKER)

    assert guarded(step) is Reason.INTERNAL
    library.error("outside")
    assert [record.getMessage() for record in collected.records] == [WITHHELD, "outside"]


def test_an_inner_boundary_does_not_open_the_outer_one(library: logging.Logger, collected: Collector) -> None:
    def outer() -> None:
        guarded(library.error, MARKER)
        library.error(MARKER)

    guarded(outer)
    library.error("outside")
    assert [record.getMessage() for record in collected.records] == [WITHHELD, WITHHELD, "outside"]


def test_threads_are_independent(library: logging.Logger, collected: Collector) -> None:
    inside, logged = threading.Event(), threading.Event()

    def hold() -> None:
        inside.set()
        assert logged.wait(10)
        library.error(MARKER)

    holder = threading.Thread(target=guarded, args=(hold,))
    holder.start()
    assert inside.wait(10)
    library.error("another thread's business")
    logged.set()
    holder.join()
    assert [record.getMessage() for record in collected.records] == ["another thread's business", WITHHELD]


def test_a_logger_that_is_created_later_or_has_its_own_handlers_is_guarded_too(collected: Collector) -> None:
    def step() -> None:
        logger = logging.getLogger("made.inside")
        logger.propagate = False
        logger.addHandler(collected)
        logger.error("%s", MARKER)
        logger.removeHandler(collected)
        logger.propagate = True

    assert guarded(step) is None
    assert [record.getMessage() for record in collected.records] == [WITHHELD]


def test_withheld_alone_guards_a_block(library: logging.Logger, collected: Collector) -> None:
    with withheld():
        library.error("%s", MARKER)
    library.error("outside")
    assert [record.getMessage() for record in collected.records] == [WITHHELD, "outside"]


def test_a_formatter_that_fails_inside_prints_no_content(
    library: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    handler = logging.StreamHandler()
    library.addHandler(handler)
    try:
        guarded(library.error, "%d of %s", MARKER, MARKER)
    finally:
        library.removeHandler(handler)
    shown = capfd.readouterr()
    assert "somebody" not in shown.out
    assert MARKER not in shown.out + shown.err


# Under pytest every warning is an error or is recorded before the guard sees it, so these run in another process.


def _run(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    start = f"import logging, warnings\nfrom rawless.privacy import guarded\nMARKER = {MARKER!r}\n"
    return subprocess.run(
        [sys.executable, *options, "-c", start + script], capture_output=True, text=True, check=True, timeout=60
    )


@pytest.mark.parametrize(
    "warning",
    ["warnings.warn, MARKER", "warnings.warn, MARKER, DeprecationWarning", "warnings.warn, UserWarning(MARKER)"],
)
@pytest.mark.parametrize("captured", [False, True], ids=["shown", "captured by logging"])
def test_a_warning_inside_is_withheld_and_outside_is_shown(warning: str, captured: bool) -> None:
    setup = "warnings.simplefilter('always')\n" + (
        "logging.basicConfig()\nlogging.captureWarnings(True)\n" if captured else ""
    )
    inside = _run(setup + f"guarded({warning})")
    assert WITHHELD in inside.stderr
    assert MARKER not in inside.stdout + inside.stderr
    outside = _run(setup + f"guarded(lambda: None)\n{warning.replace('warn,', 'warn(', 1)})")
    assert MARKER in outside.stderr


def test_debug_logging_of_everything_shows_no_content() -> None:
    done = _run(
        "logging.basicConfig(level=logging.DEBUG, force=True)\n"
        "def step():\n"
        "    logging.debug('%s', MARKER)\n"
        "    logging.getLogger('tokenizers').debug(MARKER, stack_info=True)\n"
        "    try:\n"
        "        raise ValueError(MARKER)\n"
        "    except ValueError:\n"
        "        logging.exception('failed')\n"
        "    raise ValueError(MARKER)\n"
        "print(guarded(step))\n"
    )
    assert done.stdout == "internal\n"
    assert done.stderr.count(WITHHELD) == 3
    assert MARKER not in done.stderr


def test_importing_raw_in_a_new_process_installs_the_guard() -> None:
    done = _run("from rawless.privacy.raw import Raw\nguarded(logging.error, MARKER)")
    assert WITHHELD in done.stderr
    assert MARKER not in done.stderr


def test_a_library_that_sets_its_own_record_factory_later_stays_guarded(
    library: logging.Logger, collected: Collector
) -> None:
    before = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        record.colour = "red"
        return record

    logging.setLogRecordFactory(factory)
    try:
        guarded(library.error, "%s", Raw(MARKER).reveal())
    finally:
        logging.setLogRecordFactory(before)
    assert [record.getMessage() for record in collected.records] == [WITHHELD]


_IN_THREADS = """
import gc, sys, threading
from concurrent.futures import ThreadPoolExecutor
logging.basicConfig(level=logging.DEBUG)
pool = ThreadPoolExecutor(1)
pool.submit(int).result()  # its thread is older than the boundary
step_ended = threading.Event()

def late():
    assert step_ended.wait(10)
    logging.error(MARKER)

def fail():
    raise ValueError(MARKER)

class Fragile:
    def __repr__(self):
        return MARKER

    def __call__(self, _):
        raise ValueError(MARKER)

    def __del__(self):
        raise ValueError(MARKER)
"""
_LIBRARY_THREADS = {
    "a thread of its own": ("thread = threading.Thread(target=logging.error, args=(MARKER,))", "thread.start()"),
    "a pool from before": ("", "pool.submit(logging.error, MARKER).result()"),
    "a native callback": (
        "import _thread",
        "_thread.start_new_thread(lambda: (logging.error(MARKER), done.set()), ())",
    ),
    "a thread that outlives the step": ("thread = threading.Thread(target=late)", "thread.start()"),
    "a task that outlives the step": ("", "pool.submit(late)"),
    "a warning in a thread": (
        "thread = threading.Thread(target=warnings.warn, args=(MARKER,))",
        "thread.start(); thread.join()",
    ),
}


@pytest.mark.parametrize(("before", "inside"), _LIBRARY_THREADS.values(), ids=_LIBRARY_THREADS.keys())
def test_what_a_thread_of_a_library_logs_is_withheld(before: str, inside: str) -> None:
    done = _run(
        f"{_IN_THREADS}\ndone = threading.Event()\n{before}\n"
        f"guarded(lambda: exec({inside!r}))\nstep_ended.set()\n"
        + ("assert done.wait(10)\n" if "done" in inside else "")
        + "pool.shutdown()\n"
    )
    assert WITHHELD in done.stderr
    assert MARKER not in done.stdout + done.stderr


def test_a_thread_that_handles_content_itself_logs_normally_afterwards() -> None:
    done = _run(f"{_IN_THREADS}\npool.submit(guarded, int).result()\npool.submit(logging.error, 'disk full').result()")
    assert "disk full" in done.stderr


def test_the_main_thread_logs_normally_while_others_handle_content() -> None:
    done = _run(f"{_IN_THREADS}\npool.submit(guarded, int).result()\nlogging.error('disk full')")
    assert "disk full" in done.stderr


def test_a_thread_of_a_process_that_never_handles_content_logs_normally() -> None:
    done = _run(f"{_IN_THREADS}\npool.submit(logging.error, 'disk full').result()")
    assert "disk full" in done.stderr


_UNCAUGHT = {
    "in a thread": "guarded(threading.Thread(target=fail).start)",
    "in a thread after the step": "guarded(int); threading.Thread(target=fail).start()",
    "when an object dies": "guarded(Fragile)",
    "when an object dies after the step": "guarded(int); Fragile()",
    "when a callback fails": "import weakref; guarded(int); f = {1}; r = weakref.ref(f, Fragile()); del f",
    "at exit": "import atexit; guarded(int); atexit.register(fail)",
    "chained": "guarded(int); threading.Thread(target=lambda: exec('try: fail()\\nexcept ValueError: 1 / 0')).start()",
}


@pytest.mark.parametrize("failure", _UNCAUGHT.values(), ids=_UNCAUGHT.keys())
def test_an_exception_that_nothing_catches_is_reported_by_type_and_place(failure: str) -> None:
    done = _run(f"{_IN_THREADS}\n{failure}\ngc.collect()")
    assert "Error, whose text is withheld" in done.stderr
    assert "<string>:" in done.stderr
    assert MARKER not in done.stdout + done.stderr


def test_an_exception_that_ends_the_process_is_reported_by_type_and_place() -> None:
    start = f"from rawless.privacy import guarded\nguarded(int)\nraise ValueError({MARKER!r})"
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "ValueError, whose text is withheld" in done.stderr
    assert "<string>:3 in <module>" in done.stderr
    assert MARKER not in done.stderr


def test_an_error_of_rawless_that_ends_the_process_keeps_its_sentence_and_nothing_else() -> None:
    start = (
        "from rawless.privacy import guarded\nfrom rawless.errors import UserError\nguarded(int)\n"
        f"try:\n    raise ValueError({MARKER!r})\nexcept ValueError:\n    raise UserError('The width is 3, not 4.')"
    )
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "rawless.errors.UserError: The width is 3, not 4.\n"


def test_an_exception_before_any_content_is_reported_as_usual() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import rawless.privacy\nraise ValueError('no such file')"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "ValueError: no such file" in done.stderr


_REPORTED = {
    "a task whose result nobody fetches": "async def main():\n    task = asyncio.create_task(afail())\n"
    "    await asyncio.sleep(0)\n    await asyncio.sleep(0)\n    del task\n    gc.collect()\nasyncio.run(main())",
    "a callback of a loop": "async def main():\n    asyncio.get_running_loop().call_soon(fail)\n"
    "    await asyncio.sleep(0)\n    await asyncio.sleep(0)\nasyncio.run(main())",
    "a callback of a future": "from concurrent.futures import Future\nmade = Future()\n"
    "made.add_done_callback(lambda _: fail())\nmade.set_result(1)",
}


@pytest.mark.parametrize("failure", _REPORTED.values(), ids=_REPORTED.keys())
def test_an_exception_that_the_standard_library_reports_shows_type_and_place_only(failure: str) -> None:
    """It does so in whatever thread notices, perhaps in the main one, long after the step."""
    script = f"import asyncio\n{_IN_THREADS}\nasync def afail():\n    fail()\nguarded(int)\n{failure}\n"
    done = _run(script + "pool.shutdown()\n")
    assert "ValueError, whose text is withheld" in done.stderr
    assert "<string>:" in done.stderr
    assert MARKER not in done.stdout + done.stderr


@pytest.mark.parametrize(("code", "status"), [("MARKER", 1), ("ValueError(MARKER)", 1), ("3", 3), ("None", 0), ("", 0)])
def test_the_exit_that_a_step_asks_for_has_a_status_but_no_text(code: str, status: int) -> None:
    """The interpreter would print the text."""
    start = f"import sys\nfrom rawless.privacy import guarded\nMARKER = {MARKER!r}\n"
    command = [sys.executable, "-c", f"{start}guarded(lambda: sys.exit({code}))"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")
