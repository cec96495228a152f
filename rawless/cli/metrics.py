"""The endpoint for metrics that a command opens if it is asked to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rawless.cli.output import note


@contextmanager
def served_metrics(port: int | None, host: str, is_healthy: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Serve metrics within the block, and say where on stderr, if there is a port. Raises UserError if it is taken."""
    if port is None:
        yield
        return
    from rawless.metering.endpoint import serve_metrics

    with serve_metrics(port, host, is_healthy) as url:
        note(f"Metrics are at {url}/metrics.")
        yield
