"""`rawless local up|down|status`: the local servers."""

from typing import Any

import typer

from rawless.cli.options import Json
from rawless.cli.output import print_json, progress, say
from rawless.local import home
from rawless.local import stack as local_stack
from rawless.local.stack import Stack

app = typer.Typer(help="The local servers: BigQuery and Pub/Sub, in one background process.", no_args_is_help=True)


def _described(stack: Stack | None) -> dict[str, Any]:
    if stack is None:
        return {"running": False, "home": str(home.folder())}
    return {
        "running": True,
        "home": str(home.folder()),
        "pid": stack.pid,
        "bigquery_rest": stack.bigquery.rest,
        "bigquery_grpc": stack.bigquery.grpc,
        "pubsub": stack.pubsub,
    }


def _print(stack: Stack | None, json: bool) -> None:
    if json:
        print_json(_described(stack))
    elif stack is None:
        say(f"Not running (home {home.folder()}). Any command that needs it starts it.")
    else:
        say(f"Running as process {stack.pid} (home {home.folder()}).")
        say(f"For other Google clients: export BIGQUERY_EMULATOR_HOST={stack.bigquery.rest}")
        say(f"                          export PUBSUB_EMULATOR_HOST={stack.pubsub}")


@app.command()
def up(json: Json = False) -> None:
    """Start the local servers, unless they run."""
    with progress("Starting the local servers"):
        stack = local_stack.up(home.folder())
    _print(stack, json)


@app.command()
def down(json: Json = False) -> None:
    """Stop the local servers. BigQuery's data stays; Pub/Sub's messages do not."""
    stopped = local_stack.down(home.folder())
    if json:
        print_json({"stopped": stopped})
    else:
        say(
            "Stopped; BigQuery's data stays, Pub/Sub's messages do not." if stopped else "Nothing to stop: not running."
        )


@app.command()
def status(json: Json = False) -> None:
    """Say whether the local servers run, and where."""
    _print(local_stack.find(home.folder()), json)
