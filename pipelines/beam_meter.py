"""`BeamMeter`: what steps and this process record, as metrics of Beam."""

from apache_beam.metrics import Metrics

from rawless.metering.metric import in_smaller_unit, keep_for_runner, take
from rawless.metering.table import LEVELS, PROCESS_STARTS
from rawless.steps.meter import ProcessMeter

_NAMESPACE = "rawless"


def namespace(encoder: str | None) -> str:
    """Return the metrics namespace of one encoder (name@version); for None, that of metrics of the whole job."""
    return f"{_NAMESPACE}/{encoder}" if encoder else _NAMESPACE


class BeamMeter(ProcessMeter):
    """Records for Beam and for Prometheus. To be used in the threads that process bundles."""

    def count(self, name: str, amount: int = 1, encoder: str | None = None) -> None:
        """See `Meter.count`."""
        super().count(name, amount, encoder)
        Metrics.counter(namespace(encoder), name).inc(amount)

    def observe(self, name: str, value: float, encoder: str | None = None) -> None:
        """See `Meter.observe`. Beam's distributions are of whole numbers."""
        super().observe(name, value, encoder)
        name, value = in_smaller_unit(name, value)
        Metrics.distribution(namespace(encoder), name).update(round(value))

    def start(self) -> None:
        """Keep what this process records beside its steps, for `forward`."""
        if keep_for_runner():
            PROCESS_STARTS.add(1)

    def forward(self) -> None:
        """Give Beam what all threads of this process recorded since the last call: it belongs to no single bundle."""
        for value in take(LEVELS):
            if value.is_count:
                Metrics.counter(namespace(value.encoder), value.name).inc(value.amount)
            else:
                Metrics.distribution(namespace(value.encoder), value.name).update(value.amount)
