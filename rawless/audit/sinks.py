"""The registry of sinks: everything that Rawless writes to, what it is, and how a search for content reaches it.

Tests compare it with what the commands really write: tables and views, files, output, metrics and routes. To add a
place to which something is written, add its sink here.
"""

from dataclasses import dataclass
from functools import cache
from re import escape, fullmatch
from typing import Literal

from rawless.metering.labels import ENCODER
from rawless.metering.metric import in_smaller_unit
from rawless.metering.table import METRICS
from rawless.warehouse.tables import names, table

Kind = Literal["table", "metadata", "queries", "file", "output", "metric", "http", "process", "message"]


@dataclass(frozen=True)
class Sink:
    """One kind of place to which something is written."""

    code: str
    kind: Kind
    what: str
    where: tuple[str, ...]
    """Patterns of its names, in which * stands for any text.

    Tables are named ROLE.TABLE by the role of their dataset; files ROOT/PATH, where ROOT is home, temporary, cache, or
    named for a path that an option names; metrics beam/NAME, process_metric/NAME or service/NAME; routes METHOD PATH.
    """
    searched: str
    """How a search reaches it, as the end of a sentence."""
    writers: tuple[str, ...] = ()
    """The modules that write to it, for files and output."""
    by_hand: str | None = None
    """The command that shows it where the audit cannot reach it."""


_READ = "row by row, as the account that runs the audit"
_FILES = "as files, in all formats that the search reads"
_SEEN_BY_JOB = "while the audit runs the job itself"

_FILE_SINKS = (
    Sink(
        "local_database", "file", "the local BigQuery: rows, catalogue, log of writes and uploads",
        ("home/bigquery", "home/bigquery/*"), _FILES,
        ("rawless.local.bigquery", "rawless.warehouse.load", "rawless.warehouse.subjects"),
    ),
    Sink(
        "local_log", "file", "the output of the local servers", ("home/local.log",), _FILES, ("rawless.local.stack",),
    ),
    Sink(
        "local_state", "file", "addresses, locks, the record of accesses and the pseudonym key of the local stack",
        ("home", "home/.gitignore", "home/local.*", "home/pseudonym.key", "home/.*"), _FILES,
        (
            "rawless.local.accesses", "rawless.local.home", "rawless.local.server", "rawless.local.stack",
            "rawless.privacy.pseudonyms",
        ),
    ),
    Sink(
        "heads", "file", "heads: models, manifests, domains, evaluations and deployments",
        ("home/heads", "home/heads/*"), _FILES,
        ("rawless.heads.artefact", "rawless.heads.deployment"),
    ),
    Sink(
        "reports", "file", "HTML reports, and maps", ("home/reports", "home/reports/*", "named/*.html"), _FILES,
        ("rawless.report.document",),
    ),
    Sink(
        "demo_files", "file", "the demo's dataset, head and service files",
        ("home/datasets", "home/datasets/*", "home/service", "home/service/*"), _FILES,
        ("rawless.demo.datasets", "rawless.demo.heads", "rawless.demo.service"),
    ),
    Sink(
        "crash_record", "file",
        "what processes were encoding when they died: HMACs of contents under a secret, counts and times",
        ("temporary/rawless-crashes-*",), _FILES, ("rawless.steps.crash_record",),
    ),
    Sink(
        "temporary_files", "file", "temporary files of commands and libraries", ("temporary", "temporary/*"), _FILES,
        (
            "encoders.huggingface_folder", "rawless.audit.formats.source", "rawless.cli.commands.demo",
            "rawless.cli.flex_template", "rawless.demo.digits", "rawless.demo.run", "rawless.demo.texts",
            "rawless.deploy.configuration",
            "rawless.heads.importing.saved_model", "rawless.heads.importing.tensorflow_converter",
            "rawless.local.stack",
        ),
    ),
    Sink(
        "caches", "file",
        "machine code of the SQL analyzer, weights that were downloaded, and networks that were converted",
        ("cache/wasmtime", "cache/wasmtime/*", "cache/rawless", "cache/rawless/*"), _FILES,
        ("encoders.runtimes.conversion_cache", "encoders.weight_sources", "encoders.weight_sources.object_storage"),
    ),
    Sink(
        "named_files", "file",
        "files that options name: exports, specs and weights of encoders, heads, certificates, charts, the first files "
        "of a project with the events that `rawless init --events` makes of a source, which contain its content, and "
        "the pictures that a leakage audit draws, which show content",
        ("named/*",), "with --folder, as files",
        (
            "encoders.adapter_map", "encoders.bake", "encoders.derive", "encoders.importing.spec_file",
            "encoders.query_tower", "rawless.audit.leakage.contact_sheet", "rawless.cli.commands.audit_frontier",
            "rawless.cli.commands.encoder_probe", "rawless.cli.commands.encoder_saliency",
            "rawless.cli.commands.erase", "rawless.cli.csv_file", "rawless.datasets.export",
            "rawless.scaffold.plan",
        ),
        "rawless audit canary … --folder FOLDER",
    ),
    Sink(
        "buckets", "file", "buckets of jobs and services: temporary files, staging, templates and heads", ("gs/*",),
        "with --bucket, object by object", (), "rawless audit canary … --bucket gs://BUCKET",
    ),
)  # fmt: skip
_OTHER_SINKS = (
    Sink("table_metadata", "metadata", "what INFORMATION_SCHEMA shows: names, descriptions, labels, views, routines",
         ("metadata/*",), "through the API of BigQuery"),
    Sink("query_history", "queries", "statements, parameters and errors of jobs, as in INFORMATION_SCHEMA.JOBS",
         ("queries/*",), "through the API of BigQuery", (),
         "bq ls --jobs --all --min_creation_time=MILLISECONDS --format=prettyjson --project_id PROJECT"),
    Sink("output", "output", "what commands and workers print", ("output/*",), _SEEN_BY_JOB,
         ("rawless.api.progress", "rawless.cli.flex_template", "rawless.cli.main", "rawless.cli.output",
          "rawless.cli.progress_display",
          "rawless.demo.streaming", "rawless.heads.importing.trial")),
    Sink("log_records", "output", "records of all loggers, at all levels, also those that are not printed",
         ("logs/*",), _SEEN_BY_JOB,
         ("encoders.driver", "encoders.runtimes", "encoders.runtimes.cuda",
          "rawless.datasets.query_policy.validate_query", "rawless.steps.crash_record")),
    Sink("cloud_logging", "output", "logs of the projects in Cloud Logging", ("cloud/logs",),
         "through the API of Cloud Logging, all entries since the start", (),
         "gcloud logging read 'timestamp>=\"START\"' --project PROJECT --format json"),
    Sink("summary", "metric", "the summary that a job prints of its counters", ("summary/*",), _SEEN_BY_JOB),
    Sink("job_metrics", "metric", "counters and distributions of jobs",
         tuple(f"beam/{in_smaller_unit(each.name)[0]}{'.*' if {*each.labels} - {ENCODER} else ''}" for each in METRICS),
         "in the summary of a job that the audit runs, and through the API of Cloud Monitoring", (),
         "gcloud monitoring time-series list --filter 'metric.type=\"dataflow.googleapis.com/job/user_counter\"'"),
    Sink("process_metrics", "metric", "metrics of each process for Prometheus",
         (*(f"process_metric/{each.exposed_name.removesuffix('_total')}" for each in METRICS),
          "process_metric/process_*"),
         "with --service, and by the tests, which search what a process exposes", (), "curl http://HOST:PORT/metrics"),
    Sink("service_metrics", "metric", "metrics of services for Prometheus",
         ("service/rawless_requests", "service/rawless_request_seconds", "service/rawless_refusals",
          "service/rawless_requests_in_progress", "service/rawless_abstentions", "service/rawless_answers",
          "service/rawless_shadow_answers", "service/rawless_head_current",
          "service/rawless_log_rows", "service/rawless_live_encoder", "service/rawless_stream_current",
          "service/rawless_dual_answers", "service/rawless_index_events", "service/rawless_index_bytes",
          "service/rawless_index_recall_ratio"),
         "with --service, at GET /metrics"),
    Sink("service_pages", "http", "what services tell about themselves",
         ("GET /health", "GET /ready", "GET /healthz", "GET /readyz", "GET /openapi.json", "GET /metrics",
          "GET /docs", "GET /docs/*",
          "GET /v1/heads", "GET /v1/models", "GET /v1/encoders"),
         "with --service", (), "rawless audit canary … --service URL"),
    Sink("service_answers", "http", "answers to requests with content, which only their caller receives",
         ("POST /v1/heads/*/predict", "POST /v1/heads/*/score", "POST /v1/streams/*/encoders/*",
          "POST /v1/models/*/answer", "POST /v1/models/*/rank/*"),
         "by the tests, since the audit sends no content to services"),
    Sink("console_pages", "http", "the pages of `rawless console`: names, numbers, classes and codes, no ids of events",
         ("CONSOLE /", "CONSOLE /streams", "CONSOLE /encoders", "CONSOLE /datasets", "CONSOLE /heads",
          "CONSOLE /audits", "CONSOLE /enter", "CONSOLE /console.css", "CONSOLE /icon.svg"),
         "by the tests, since only a browser that followed the link can read them"),
    Sink("local_servers", "http", "the local BigQuery and Pub/Sub, whose state is the database and memory",
         ("LOCAL *",), "as tables and files"),
    Sink("processes", "process", "arguments and environment of every process of this user", ("process/*",),
         "in /proc, while the audit runs", (), "sudo cat /proc/PID/environ"),
    Sink("worker_disks", "process", "disks and shuffle storage of Dataflow's workers", ("cloud/disks",),
         "by nobody: Google deletes them with the job, and the graph check forbids steps that would use them"),
    Sink("messages", "message", "messages that wait in topics and subscriptions: raw, as the producer sent them",
         ("cloud/messages",), "by nobody, since they are the source"),
)  # fmt: skip
_TABLE_SINKS = (
    Sink("snapshots", "table", "snapshots of datasets", ("snapshots.snapshot_*",), _READ),
    Sink("dataset_views", "table", "views that read the snapshot that the name of a dataset means",
         ("snapshots.dataset_*",), "by their definition; their rows are those of snapshots"),
    Sink("source_copies", "table", "copies of business tables", ("builds.copy_*",), _READ),
    Sink("build_tables", "table", "working tables of builds", ("builds.build_*",), _READ),
    Sink("subject_staging", "table", "working tables of `rawless subjects sync`", ("subjects.subject_sync_*",), _READ),
    Sink("business_tables", "table", "tables that `rawless load` or the business writes", ("business.*",), _READ),
    Sink("unregistered_tables", "table", "tables in the datasets of Rawless that this version does not know",
         ("unknown.*",), _READ),
)  # fmt: skip


@cache
def sinks() -> tuple[Sink, ...]:
    """Return all sinks."""
    own = (Sink(name, "table", table(name).description, (f"{table(name).dataset}.{name}",), _READ) for name in names())
    return (*own, *_TABLE_SINKS, *_FILE_SINKS, *_OTHER_SINKS)


def sink(code: str) -> Sink:
    """Return the sink with a code."""
    return next(each for each in sinks() if each.code == code)


@cache
def find(name: str) -> Sink | None:
    """Return the first sink to which a name belongs, or None if it is not registered."""
    return next((each for each in sinks() if any(_matches(pattern, name) for pattern in each.where)), None)


def _matches(pattern: str, name: str) -> bool:
    return fullmatch(escape(pattern).replace(r"\*", ".*"), name) is not None


def find_table(role: str | None, name: str) -> Sink:
    """Return the sink of a live table in the dataset of a role, or in another dataset, which has none."""
    if role is not None and (known := find(f"{role}.{name}")):
        return known
    return sink("business_tables" if role in (None, "events") else "unregistered_tables")
