"""What Prometheus sees of a service: labels are names of its file and closed codes, never a caller's words."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The metrics of one service."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.requests = Counter("rawless_requests", "Requests.", ("route", "status"), registry=own)
        self.seconds = Histogram(
            "rawless_request_seconds", "From headers to answer.", ("route",), buckets=_SECONDS, registry=own
        )
        self.refusals = Counter("rawless_refusals", "Requests without an answer.", ("route", "reason"), registry=own)
        self.waiting = Gauge("rawless_requests_in_progress", "Requests that are being answered.", registry=own)
        self.abstentions = Counter("rawless_abstentions", "Abstentions.", ("head", "reason"), registry=own)
        self.answers = Counter("rawless_answers", "Answers of heads.", ("head", "version"), registry=own)
        self.shadows = Counter(
            "rawless_shadow_answers", "Shadows beside answers.", ("head", "shadow", "outcome"), registry=own
        )
        self.batches = Histogram("rawless_batch_items", "Items of a batch.", ("encoder",), buckets=_SIZES, registry=own)
        self.current = Gauge("rawless_head_current", "1: what is deployed answers.", ("head",), registry=own)
        self.rows = Counter("rawless_log_rows", "Rows of the log.", ("table", "outcome"), registry=own)
