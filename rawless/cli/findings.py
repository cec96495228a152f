"""Print the results of checks, each on a line with the command that fixes it on the next one."""

from collections.abc import Sequence
from dataclasses import asdict

from rawless.cli.output import echo, print_json
from rawless.doctor.finding import Finding


def print_findings(findings: Sequence[Finding], *, json: bool) -> None:
    """Print the results of checks on stdout, as JSON or as lines."""
    if json:
        print_json([asdict(finding) for finding in findings])
        return
    for finding in findings:
        echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.check}: {finding.detail}")
        if finding.command:
            echo(f"     {finding.command}")
