"""What this process has recorded for Prometheus."""

from rawless.metering.metric import registry


def measured(name: str, **labels: str) -> float:
    """The value of a series of the process, 0 if it has none yet."""
    return registry.get_sample_value(name, labels) or 0.0
