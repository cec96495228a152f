"""Check whether the encoders of a stream pass its leakage gate."""

import shlex
from collections.abc import Iterator

from rawless.doctor.finding import Finding
from rawless.doctor.google import Google
from rawless.doctor.requirements import JobRequirements
from rawless.errors import UserError
from rawless.events.stream import load_stream
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import resolve
from rawless.warehouse.leakage_gate import GATE_TABLES, gated_metrics


def check(_: Google, job: JobRequirements) -> Iterator[Finding]:
    """Check each limit of the stream for each of its encoders. A stream without a gate is no failure."""
    if job.stream is None:
        return
    stream, warehouse = load_stream(job.stream), Warehouse(job.config)
    if warning := stream.leakage_warning():
        yield Finding("gate", True, warning)
        return
    try:
        metrics = gated_metrics(warehouse, stream, {ref: resolve(lambda: warehouse, ref) for ref in stream.encoders})
    except UserError as error:  # the other checks still say what is missing
        project, dataset = warehouse.dataset_id("audit").split(".")
        yield Finding("gate", False, str(error), f"bq head {project}:{dataset}.{GATE_TABLES[0]}")
        return
    for metric in metrics:
        command = metric.command(is_local=False)
        for option, file in (("--stream", job.stream), ("--warehouse", job.file)):
            command = command.replace(f"{option} FILE", f"{option} {shlex.quote(str(file))}")
        detail = metric.explain(is_local=False)
        yield Finding("gate", True, detail) if metric.passes else Finding("gate", False, detail, command)
