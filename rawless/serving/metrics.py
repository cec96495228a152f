"""Prometheus metrics of a service, beside those of its process (`rawless.metering`).

Their labels are names from its file and closed codes, never a caller's data.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one service."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("rawless_requests", "Requests by HTTP status.", ("route", "status"), registry=registry)
        self.seconds = Histogram(
            "rawless_request_seconds", "Time from the headers to the response.", ("route",), buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self.refusals = Counter(
            "rawless_refusals", "Failed requests and items.", ("route", "reason"), registry=registry
        )
        self.in_progress = Gauge("rawless_requests_in_progress", "Requests in progress.", registry=registry)
        self.abstentions = Counter("rawless_abstentions", "Abstentions.", ("head", "reason"), registry=registry)
        self.answers = Counter("rawless_answers", "Answers by version.", ("head", "version"), registry=registry)
        self.shadows = Counter(
            "rawless_shadow_answers", "Answers of shadow heads.", ("head", "shadow", "outcome"), registry=registry
        )
        self.current = Gauge(
            "rawless_head_current", "1 if the deployed version answers, 0 if it was rejected.", ("head",),
            registry=registry,
        )  # fmt: skip
        self.live = Gauge(
            "rawless_live_encoder", "1 for the encoder that answers.", ("stream", "encoder"), registry=registry
        )
        self.follows = Gauge(
            "rawless_stream_current", "1 if the stream's live encoder answers, 0 if another one does.", ("stream",),
            registry=registry,
        )  # fmt: skip
        self.duals = Counter(
            "rawless_dual_answers", "Answers of heads of another encoder beside.", ("head", "encoder", "outcome"),
            registry=registry,
        )  # fmt: skip
        self.index_events = Gauge("rawless_index_events", "Events of an index.", ("index",), registry=registry)
        self.index_bytes = Gauge("rawless_index_bytes", "Memory of an index.", ("index",), registry=registry)
        self.index_recall = Gauge(
            "rawless_index_recall_ratio", "Of the nearest events, those that a search finds.", ("index", "queries"),
            registry=registry,
        )  # fmt: skip
        self.rows = Counter("rawless_log_rows", "Rows of the prediction log.", ("table", "outcome"), registry=registry)
