"""`rawless audit …`: the checks of the privacy office. Each command is in a module of its own."""

import typer

app = typer.Typer(help="Search for leaked content, attack embeddings, and list who read what.", no_args_is_help=True)
