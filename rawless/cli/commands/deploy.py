"""`rawless deploy check`: everything about a deployment that can be known without a cloud."""

from pathlib import Path
from typing import Annotated

import typer

from rawless.cli.findings import print_findings
from rawless.cli.options import Json
from rawless.cli.output import echo, progress, warn

app = typer.Typer(help="Check deployments before they are applied.", no_args_is_help=True)
_VIOLATED = 3


@app.callback()
def _group() -> None:
    """Check deployments before they are applied."""


@app.command()
def check(
    variables: Annotated[
        Path, typer.Option("--vars", help="The file of variables that every `terraform apply` gets: FILE.tfvars.")
    ],
    bootstrap: Annotated[
        Path, typer.Option("--bootstrap-vars", help="The file of variables that the bootstrap gets beside it.")
    ],
    terraform: Annotated[Path, typer.Option(help="The folder terraform of a checkout of Rawless.")] = Path("terraform"),
    quotas: Annotated[
        list[Path] | None,
        typer.Option(
            help="A region or project as `gcloud compute regions describe REGION` or `gcloud compute project-info "
            "describe` prints it; may be repeated.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Plan a deployment without a cloud, and check everything that can be known of it.

    Specs of encoders are also looked for in the folder that RAWLESS_SPECS names. The exit code is 3 if a check fails.
    """
    from rawless.deploy.check import check_deployment

    with progress("Checking"):
        findings = check_deployment(terraform, variables, bootstrap, quotas or ())
    print_findings(findings, json=json)
    if not quotas:
        warn("Quotas were not compared: pass what gcloud prints of the region and the project as --quotas.")
    failed = sum(not finding.ok for finding in findings)
    if failed:
        raise typer.Exit(_VIOLATED)
    if not json:
        echo(f"All {len(findings)} checks passed; what only Google can refuse is checked by `rawless doctor`.")
