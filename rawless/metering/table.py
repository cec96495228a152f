"""The metrics of jobs, workers and services, each with its name, unit, labels and help.

docs/metrics.md lists them, and tests compare it with this table. A name ends with the unit, as Prometheus has it; a
runner of jobs has whole numbers, so that it is given milliseconds and percent.
"""

from collections.abc import Iterable

from rawless.metering.labels import ABSTENTION, CAUSE, ENCODER, GPU, QUEUE, REASON, STAGE, TABLE
from rawless.metering.metric import Count, Distribution, Level, Metric

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LONG_SECONDS = (1, 5, 15, 60, 300, 900, 3_600, 21_600, 86_400, 604_800)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_ROWS = (1, 3, 10, 30, 100, 300, 1_000, 3_000)
_BYTES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
_SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)


def _oldest(ages: Iterable[float]) -> float:
    return max(ages, default=0.0)


READ = Count("read", "Events that were read.")
DROPPED_ATTRIBUTES = Count("dropped_attributes", "Attributes and fields that no stream allows, which were dropped.")
EMBEDDINGS = Count("embeddings", "Rows of embeddings that were written.", ENCODER)
PREDICTIONS = Count("predictions", "Rows of predictions that a batch job wrote.", ENCODER)
ABSTAINED = Count("abstained", "Those of them that are abstentions.", ENCODER, ABSTENTION)
REJECTED = Count("rejected", "Events that were rejected.", ENCODER, STAGE, REASON)
CONTENT_UNCHANGED = Count("content_unchanged", "Results that were remembered and not computed again.", ENCODER)
CONTENT_NEW = Count("content_new", "Results that were computed, in a stream that remembers contents.", ENCODER)
LAG = Distribution("lag_seconds", "From the time of an event to its embedding.", _LONG_SECONDS, ENCODER)

QUEUE_ITEMS = Level("queue_items", "What waits in a queue: objects, items of an encoder, or rows.", ENCODER, QUEUE)
QUEUE_OLDEST = Level(
    "queue_oldest_seconds", "How long the oldest in a queue has waited.", ENCODER, QUEUE, combine=_oldest
)
EVENTS_IN_PROGRESS = Level("events_in_progress", "Events that were given to the encoders and have no row yet.")
BYTES_IN_PROGRESS = Level("bytes_in_progress", "The content of these events.")

FETCH = Distribution("fetch_seconds", "Reading the objects that one event names.", _SECONDS)
FETCHED_BYTES = Distribution("fetched_bytes", "The size of what was read for one event.", _BYTES)

PREPARE = Distribution("prepare_seconds", "Decoding one image, or tokenizing one text.", _SECONDS, ENCODER)
DECODE = Distribution("decode_seconds", "Decoding one image in a child process, without waiting for one.", _SECONDS)
DECODER_STARTS = Count("decoder_starts", "Child processes for decoding that were started.")
DECODER_DEATHS = Count("decoder_deaths", "Child processes for decoding that ended although this one did not.", CAUSE)

BATCH_ITEMS = Distribution("batch_items", "Items of a batch.", _ITEMS, ENCODER)
BATCH_FILL = Distribution(
    "batch_fill_ratio", "The cost of a batch with its padding, of what its budget allows.", _SHARES, ENCODER
)
BATCH_PADDING = Distribution("batch_padding_ratio", "Padding, of the cost of a batch.", _SHARES, ENCODER)
ENCODE = Distribution("encode_seconds", "Running one batch, with waiting for the processor.", _SECONDS, ENCODER)
UNAVAILABLE = Count(
    "unavailable_items", "Items that failed by no fault of their own, whose events are delivered again.", ENCODER
)

APPEND = Distribution("append_seconds", "From sending a request of rows to its response.", _SECONDS, TABLE)
APPEND_ROWS = Distribution("append_rows", "Rows of a request.", _ROWS, TABLE)
APPEND_RETRIES = Count("append_retries", "Rows that were sent again, after an error or beside a refused row.", TABLE)
APPEND_CONNECTIONS = Level("append_connections", "Open connections to a table.", TABLE)
APPEND_OPENED = Count("append_opened", "Connections to a table that were opened.", TABLE)

PROCESS_STARTS = Count("process_starts", "Worker processes that started; more than workers were added are restarts.")
GPU_USE = Level("gpu_use_ratio", "The share of time in which a GPU computed.", GPU)
GPU_MEMORY_USED = Level("gpu_memory_used_bytes", "Memory of a GPU that any process uses.", GPU)
GPU_MEMORY_TOTAL = Level("gpu_memory_total_bytes", "Memory of a GPU.", GPU)
GPU_MEMORY_TORCH = Level("gpu_memory_torch_bytes", "Memory of a GPU that this process's tensors use.", GPU)

METRICS: tuple[Metric, ...] = tuple(each for each in list(globals().values()) if isinstance(each, Metric))
LEVELS = tuple(each for each in METRICS if isinstance(each, Level))
