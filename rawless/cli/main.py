"""The command line: every command, and what becomes of an error."""

import gc
import logging
import os
import sys

import typer

from rawless.cli.commands import (
    dataset,
    demo,
    doctor,
    encoder,
    encoder_bake,
    head,
    head_deploy,
    head_import,
    ingest,
    load,
    local,
    publish,
    replay,
    report,
    search,
    serve,
    sql,
    stream,
    subjects,
)
from rawless.errors import RawlessError, UserError

_INTERRUPTED = 130

# Beam and torch make millions of objects when they are imported, none of them garbage: looked through again and again,
# they take seconds more.
gc.set_threshold(100_000, 50, 50)

app = typer.Typer(
    help="Turns sensitive images and texts into embeddings where they arise, and logs only the embeddings.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("doctor", context_settings={"allow_extra_args": True})(doctor.doctor)
app.command("ingest", context_settings={"allow_extra_args": True})(ingest.ingest)
app.command("load")(load.load)
app.command("publish")(publish.publish)
app.command("replay", context_settings={"allow_extra_args": True})(replay.replay)
app.command("search")(search.search)
app.command("serve")(serve.serve)
app.command("sql")(sql.sql)
app.add_typer(dataset.app, name="dataset")
encoder.app.command("bake")(encoder_bake.bake)
app.add_typer(encoder.app, name="encoder")
head.app.command("import")(head_import.import_head)
head.app.command("deploy")(head_deploy.deploy)
head.app.command("rollback")(head_deploy.rollback)
app.add_typer(head.app, name="head")
app.add_typer(local.app, name="local")
app.add_typer(report.app, name="report")
app.add_typer(stream.app, name="stream")
app.add_typer(subjects.app, name="subjects")


def main() -> None:
    """Run the command line and exit: 0 done, 1 a fault outside, 2 the user's mistake, 130 interrupted."""
    # Libraries talk on stderr; what a user must know, Rawless says itself.
    logging.basicConfig(level=logging.CRITICAL)
    code = run(sys.argv[1:])
    if code == _INTERRUPTED:  # threads of a job may still run, which an orderly exit would wait for or crash on
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    gc.freeze()  # else the interpreter looks through all of them once more before it ends
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code. An error is one sentence on stderr, never a traceback."""
    try:
        result = app(arguments, standalone_mode=False)
        code = result if isinstance(result, int) else 0
        return _told("Stopped.", code) if code == _INTERRUPTED else code
    except (typer.Abort, KeyboardInterrupt):
        return _told("Stopped.", _INTERRUPTED)
    except typer.TyperException as error:
        sentence = error.format_message()
        return _told(f"{sentence.rstrip('.')}; see --help.", 2) if sentence else 2  # no command: help was shown
    except UserError as error:
        return _told(str(error), 2)
    except RawlessError as error:
        return _told(str(error), 1)
    except BrokenPipeError:
        return 1
    except OSError as error:
        return _told(f"Something could not be read or written ({type(error).__name__}, {error.errno}).", 1)
    except Exception as error:  # noqa: BLE001 - its text may hold content
        return _told(f"Rawless met a fault of its own ({type(error).__name__}); please report the command.", 1)


def _told(sentence: str, code: int) -> int:
    print(f"Error: {sentence}" if code != _INTERRUPTED else sentence, file=sys.stderr)
    return code
