"""`BeamMeter`: what steps record, as metrics of Beam."""

from apache_beam.metrics import Metrics

_NAMESPACE = "rawless"


def namespace(encoder: str | None) -> str:
    """Return the metrics namespace of one encoder (name@version); for None, that of metrics of the whole job."""
    return f"{_NAMESPACE}/{encoder}" if encoder else _NAMESPACE


class BeamMeter:
    """See `rawless.steps.meter.Meter`. To be used in the threads that process bundles."""

    def count(self, name: str, amount: int = 1, encoder: str | None = None) -> None:
        """See `Meter.count`."""
        Metrics.counter(namespace(encoder), name).inc(amount)

    def observe(self, name: str, value: float, encoder: str | None = None) -> None:
        """See `Meter.observe`. Beam's distributions are of whole numbers."""
        Metrics.distribution(namespace(encoder), name).update(int(value))
