"""`rawless local up|down|status`: start, stop and find the local servers."""

from typing import TYPE_CHECKING, Any

import typer

from rawless.cli.options import Json
from rawless.cli.output import echo, print_json, progress
from rawless.local import home

if TYPE_CHECKING:
    from rawless.local.stack import Stack

app = typer.Typer(
    help="Control the local servers: BigQuery and Pub/Sub, in one background process.", no_args_is_help=True
)


@app.command()
def up(json: Json = False) -> None:
    """Start the local servers if they are not running."""
    from rawless.local import stack as local_stack

    with progress("Starting the local servers"):
        stack = local_stack.up(home.folder())
    _print_status(stack, json)


@app.command()
def down(json: Json = False) -> None:
    """Stop the local servers. BigQuery's data is kept; Pub/Sub's messages are lost."""
    from rawless.local import stack as local_stack

    stopped = local_stack.down(home.folder())
    if json:
        print_json({"stopped": stopped})
    elif stopped:
        echo("Stopped. BigQuery's data is kept; Pub/Sub's messages are lost.")
    else:
        echo("The local servers are not running.")


@app.command()
def status(json: Json = False) -> None:
    """Show whether the local servers are running, and their addresses."""
    from rawless.local import stack as local_stack

    _print_status(local_stack.find(home.folder()), json)


def _print_status(stack: "Stack | None", json: bool) -> None:
    if json:
        print_json(_status_json(stack))
    elif stack is None:
        echo(f"The local servers are not running (home {home.folder()}). Commands start them when needed.")
    else:
        echo(f"The local servers are running as process {stack.pid} (home {home.folder()}).")
        echo(f"BigQuery: {stack.bigquery.rest}; Google's client in Python: rawless.open().bigquery")
        echo(f"Pub/Sub: {stack.pubsub}; Google's client in Python: rawless.connect.open_pubsub().publisher()")


def _status_json(stack: "Stack | None") -> dict[str, Any]:
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
