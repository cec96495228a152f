"""The command line: registers every command, and turns errors into messages and exit codes."""

import gc
import logging
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from rawless import broken_process
from rawless import privacy as privacy  # forbids memory dumps of this process, whatever the command
from rawless.cli.commands import (
    audit,
    audit_canary,
    audit_frontier,
    audit_leakage,
    audit_membership,
    audit_readers,
    audit_waive,
    callers,
    console,
    dataset,
    dataset_duplicates,
    demo,
    deploy,
    doctor,
    drift,
    encoder,
    encoder_adapt,
    encoder_adopt,
    encoder_backfill,
    encoder_bake,
    encoder_compare,
    encoder_compose,
    encoder_defend,
    encoder_import,
    encoder_plan,
    encoder_probe,
    encoder_retire,
    encoder_saliency,
    encoder_seal,
    encoder_tune_queries,
    erase,
    head,
    head_compare,
    head_deploy,
    head_import,
    ingest,
    init,
    inspect,
    job,
    load,
    local,
    predict,
    publish,
    replay,
    report,
    search,
    serve,
    sql,
    status,
    stream,
    subjects,
    worker,
)
from rawless.cli.extras import missing_library
from rawless.cli.interrupts import INTERRUPTED
from rawless.cli.output import note, printable
from rawless.errors import RawlessError, UserError
from rawless.local import home

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"rawless {metadata.version('rawless')}, Python {platform.python_version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Turn sensitive images and texts into embeddings at the source, and log only the embeddings."""


app.command("callers")(callers.callers)
app.command("console")(console.console)
app.command("demo")(demo.demo)
app.command("doctor", context_settings={"allow_extra_args": True})(doctor.doctor)
app.command("drift")(drift.drift)
app.command("ingest", context_settings={"allow_extra_args": True})(ingest.ingest)
app.command("init")(init.init)
app.command("inspect")(inspect.inspect)
app.command("erase")(erase.erase)
app.command("load")(load.load)
app.command("predict", context_settings={"allow_extra_args": True})(predict.predict)
app.command("publish")(publish.publish)
app.command("replay", context_settings={"allow_extra_args": True})(replay.replay)
app.command("search")(search.search)
app.command("serve")(serve.serve)
app.command("sql")(sql.sql)
app.command("status")(status.status)
app.command("worker")(worker.worker)
audit.app.command("readers")(audit_readers.readers)
audit.app.command("waive")(audit_waive.waive)
audit.app.command("waivers")(audit_waive.list_waivers)
audit.app.command("leakage")(audit_leakage.leakage)
audit.app.command("membership")(audit_membership.membership)
audit.app.command("canary")(audit_canary.canary)
audit.app.command("frontier")(audit_frontier.frontier)
app.add_typer(audit.app, name="audit")
dataset.app.command("duplicates")(dataset_duplicates.duplicates)
app.add_typer(dataset.app, name="dataset")
encoder.app.command("adapt")(encoder_adapt.adapt)
encoder.app.command("backfill", context_settings={"allow_extra_args": True})(encoder_backfill.backfill)
encoder.app.command("adopt")(encoder_adopt.adopt)
encoder.app.command("roles")(encoder_adopt.roles)
encoder.app.command("bake")(encoder_bake.bake)
encoder.app.command("compare")(encoder_compare.compare)
encoder.app.command("compose")(encoder_compose.compose)
encoder.app.command("defend")(encoder_defend.defend)
encoder.app.command("import")(encoder_import.import_encoder)
encoder.app.command("probe")(encoder_probe.probe)
encoder.app.command("saliency")(encoder_saliency.saliency)
encoder.app.command("seal")(encoder_seal.seal)
encoder.app.command("plan")(encoder_plan.plan)
encoder.app.command("retire")(encoder_retire.retire)
encoder.app.command("tune-queries")(encoder_tune_queries.tune_queries)
app.add_typer(deploy.app, name="deploy")
app.add_typer(encoder.app, name="encoder")
head.app.command("import")(head_import.import_head)
head.app.command("compare")(head_compare.compare)
head.app.command("deploy")(head_deploy.deploy)
head.app.command("rollback")(head_deploy.rollback)
app.add_typer(head.app, name="head")
app.add_typer(job.app, name="job")
app.add_typer(local.app, name="local")
app.add_typer(report.app, name="report")
app.add_typer(stream.app, name="stream")
app.add_typer(subjects.app, name="subjects")


def main() -> None:
    """Run the command line and exit.

    0: done; 1: a dependency failed; 2: the user's mistake; 3: drift, or another job than described; 130: interrupted.
    """
    # Libraries log to stderr; Rawless prints itself what a user must know.
    logging.basicConfig(level=logging.CRITICAL)
    # BigQuery's client would import IPython where that is installed, to show progress in notebooks.
    sys.modules["tqdm.notebook"] = None  # type: ignore[assignment]
    code = run(sys.argv[1:])
    # An orderly exit would wait for, or crash on, threads of a job that still run or hang.
    if code == INTERRUPTED or broken_process.is_broken():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    gc.freeze()  # otherwise the interpreter scans every object again before it exits
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code. An error becomes one sentence on stderr, never a traceback."""
    # Importing Beam and torch creates millions of objects, none of them garbage; scanning them again and again would
    # take seconds.
    gc.set_threshold(100_000, 50, 50)
    is_first = _unnamed_home() is None
    try:
        return _run(arguments)
    finally:
        if is_first and (made := _unnamed_home()):
            note(
                f"Note: {made} is new, and has a local warehouse and a pseudonym key of its own: to use those of "
                f"another folder, run commands in it or below, or set {home.HOME_VARIABLE}."
            )


def _unnamed_home() -> Path | None:
    """Return the home folder, unless RAWLESS_HOME names it; None without one."""
    try:
        return None if os.environ.get(home.HOME_VARIABLE) else home.existing()
    except OSError:  # the current folder was deleted
        return None


def _run(arguments: list[str]) -> int:
    try:
        result = _call(arguments)
        code = result if isinstance(result, int) else 0
        return _fail("Stopped.", code) if code == INTERRUPTED else code
    except (typer.Abort, KeyboardInterrupt):
        return _fail("Stopped.", INTERRUPTED)
    except typer.TyperException as error:
        message = error.format_message().replace("Value error, ", "")
        return _fail(f"{message.rstrip('.')}; see --help.", 2) if message else 2  # without a command, help was printed
    except UserError as error:
        return _fail(str(error), 2)
    except RawlessError as error:
        return _fail(str(error), 1)
    except BrokenPipeError:
        return 1
    except ImportError as error:
        missing = missing_library(error, _command(arguments))
        return _fail(str(missing), 2) if missing else _fail_internally(error)
    except OSError as error:
        return _fail(f"A file or connection could not be read or written ({type(error).__name__}, {error.errno}).", 1)
    except Exception as error:  # noqa: BLE001 - its text may hold content
        return _fail_internally(error)


def _call(arguments: list[str]) -> object:
    """Run one command and return its result, or the status with which a library ends the process."""
    try:
        return app(arguments, standalone_mode=False)
    except SystemExit as leaving:
        if isinstance(leaving.code, int | None):
            return leaving.code
    raise RuntimeError("a library ended the process with a text, which the interpreter would print")


def _command(arguments: list[str]) -> str:
    """Return the command that these arguments name, with its group if it has one."""
    groups = {group.name for group in app.registered_groups}
    return " ".join(arguments[: 2 if arguments[0] in groups else 1])


def _fail_internally(error: Exception) -> int:
    return _fail(f"Internal error ({type(error).__name__}); please report it with the command that you ran.", 1)


def _fail(message: str, code: int) -> int:
    print(printable(f"Error: {message}" if code != INTERRUPTED else message), file=sys.stderr)
    return code
