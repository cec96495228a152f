"""A stand-in for BigQuery: the part of its HTTP and gRPC interfaces that Rawless uses, over Google's evaluator.

Google's own clients talk to it, so everything above them is the same as with BigQuery. It accepts what Google's
analyzer accepts, and computes what the reference evaluator computes.
"""

import io
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote

import grpc
import pyarrow as pa
import pyarrow.parquet
from google.cloud.bigquery_storage_v1 import types

from rawless.datasets.googlesql import Field
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator, WarehouseConfig
from rawless.warehouse.tables import ROLES, names
from tests.googlesql.analyzer import Refused
from tests.googlesql.database import Answer, Database, Exists, Missing
from tests.googlesql.statements import EVALUATED
from tests.googlesql.values import from_arrow, to_cell

Json = dict[str, Any]
_JOBS = r"/bigquery/v2/projects/(?P<project>[^/]+)/(?:jobs|queries)"
_DATASETS = r"/bigquery/v2/projects/(?P<project>[^/]+)/datasets"
_DATASET = rf"{_DATASETS}/(?P<dataset>[^/]+)"
_TABLE = rf"{_DATASET}/tables/(?P<table>[^/]+)"
_REASONS = {Refused: (400, "invalidQuery"), Missing: (404, "notFound"), Exists: (409, "duplicate")}
_READ = "google.cloud.bigquery.storage.v1.BigQueryRead"
_WRITE = "google.cloud.bigquery.storage.v1.BigQueryWrite"


class Stand:
    """The interfaces as functions: what each request of HTTP or gRPC does to a database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._jobs: dict[str, tuple[Json, Answer]] = {}
        self._uploads: dict[str, Json] = {}
        self._reads: dict[str, tuple[str, list[str], str]] = {}
        self._routes: list[tuple[str, str, Callable[..., Json]]] = [
            ("POST", f"/upload{_JOBS}", self._start_upload),
            ("PUT", r"/upload/(?P<upload>\w+)", self._load),
            ("POST", _JOBS, self._insert_job),
            ("GET", rf"{_JOBS}/(?P<job>[^/]+)", self._job),
            ("POST", _DATASETS, lambda body, **_: body),
            ("GET", _DATASET, lambda body, **names: {"datasetReference": {f"{name}Id": names[name] for name in names}}),
            ("DELETE", _DATASET, self._delete_dataset),
            ("GET", rf"{_DATASET}/routines/(?P<routine>[^/]+)", self._routine),
            ("POST", rf"{_DATASET}/tables", self._create_table),
            ("GET", rf"{_DATASET}/tables", self._list_tables),
            ("GET", _TABLE, self._table),
            ("PATCH", _TABLE, self._update_table),
            ("DELETE", _TABLE, self._delete_table),
            ("GET", rf"{_TABLE}/data", self._list_rows),
        ]

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, Json]:
        """Return the status and the answer to a request of HTTP. Handlers of GET get its query in place of a body."""
        path, _, query = target.partition("?")
        for verb, pattern, handle in self._routes:
            if verb == method and (match := re.fullmatch(pattern, path)):
                given = (
                    dict(parse_qsl(query)) if verb == "GET" else body if verb == "PUT" else json.loads(body or b"{}")
                )
                try:
                    with self._lock:
                        return 200, handle(
                            body=given, **{name: unquote(part) for name, part in match.groupdict().items()}
                        )
                except tuple(_REASONS) as error:
                    return _REASONS[type(error)][0], {"error": _error(error)}
        return 501, {"error": {"code": 501, "message": f"The stand-in for BigQuery answers no {method} {path}"}}

    def _insert_job(self, project: str, body: Json) -> Json:
        configuration, job_id = body["configuration"], body.get("jobReference", {}).get("jobId")
        if job_id in self._jobs:
            raise Exists(f"Already Exists: Job {project}:{job_id}")
        query = configuration["query"]
        default = query.get("defaultDataset")
        where = f"{default['projectId']}.{default['datasetId']}" if default else None
        given = (query["query"], query.get("queryParameters", ()), where)
        if configuration.get("dryRun"):
            answer = self.database.dry_run(*given)
            return self._resource(body, answer)
        try:
            answer, failure = self.database.execute(*given), None
        except tuple(_REASONS) as error:
            answer, failure = Answer("SELECT"), _error(error)["errors"][0]
        resource = self._resource(body, answer)
        if failure:
            resource["status"] |= {"errorResult": failure, "errors": [failure]}
        self._jobs[resource["jobReference"]["jobId"]] = resource, answer
        return resource

    def _resource(self, body: Json, answer: Answer) -> Json:
        query: Json = {"totalBytesProcessed": "0", "totalBytesBilled": "0", "statementType": answer.kind}
        if answer.changed is not None:
            query["numDmlAffectedRows"] = str(answer.changed)
        if body["configuration"].get("dryRun"):
            query["schema"] = {"fields": list(answer.fields)}
        return {
            "jobReference": {**body.get("jobReference", {"jobId": f"job-{next(self._numbers)}"}), "location": "EU"},
            "configuration": body["configuration"],
            "status": {"state": "DONE"},
            "statistics": {"totalBytesProcessed": "0", "creationTime": "0", "query": query},
        }

    def _job(self, project: str, job: str, body: Json) -> Json:
        """Return a job, with the rows of a query: one answer serves both requests of the client."""
        resource, answer = self._jobs[job]
        if failure := resource["status"].get("errorResult"):
            raise Refused(failure["message"])
        result: Json = {**resource, "jobComplete": True}
        if answer.changed is not None:
            result["numDmlAffectedRows"] = str(answer.changed)
        if answer.rows is not None:
            result |= {"schema": {"fields": list(answer.fields)}, "totalRows": str(len(answer.rows))}
            result["rows"] = [to_cell(row)["v"] for row in self.database.values(answer)]
        return result

    def _start_upload(self, project: str, body: Json) -> Json:
        upload = f"upload{next(self._numbers)}"
        self._uploads[upload] = body
        return {"location": f"/upload/{upload}"}

    def _load(self, upload: str, body: bytes) -> Json:
        job = self._uploads.pop(upload)
        load = job["configuration"]["load"]
        table_id = ".".join(load["destinationTable"][f"{part}Id"] for part in ("project", "dataset", "table"))
        rows = pyarrow.parquet.read_table(io.BytesIO(body)).to_pylist()
        if load.get("writeDisposition") == "WRITE_TRUNCATE":
            self.database.find(table_id).rows.clear()
        self.database.append(table_id, [from_arrow(row) for row in rows])
        resource = self._resource(job, Answer("LOAD"))
        resource["statistics"]["load"] = {"outputRows": str(len(rows))}
        return resource

    def _delete_dataset(self, project: str, dataset: str, body: Json) -> Json:
        for table_id in [each for each in self.database.tables if each.startswith(f"{project}.{dataset}.")]:
            self.database.drop(table_id)
        return {}

    def _routine(self, project: str, dataset: str, routine: str, body: Json) -> Json:
        name = f"{project}.{dataset}.{routine}"
        if name not in self.database.functions:
            raise Missing(f"Not found: Routine {name}")
        reference = {"projectId": project, "datasetId": dataset, "routineId": routine}
        return {"routineReference": reference, "definitionBody": self.database.functions[name].query}

    def _create_table(self, project: str, dataset: str, body: Json) -> Json:
        reference = body["tableReference"]
        return self.database.create(f"{project}.{dataset}.{reference['tableId']}", body).resource

    def _table(self, project: str, dataset: str, table: str, body: Json) -> Json:
        resource = self.database.find(f"{project}.{dataset}.{table}").resource
        reference = {"projectId": project, "datasetId": dataset, "tableId": table}
        return {"numRows": "0", **resource, "tableReference": reference, "id": f"{project}:{dataset}.{table}"}

    def _update_table(self, project: str, dataset: str, table: str, body: Json) -> Json:
        self.database.find(f"{project}.{dataset}.{table}").resource.update(body)
        return self._table(project, dataset, table, {})

    def _delete_table(self, project: str, dataset: str, table: str, body: Json) -> Json:
        self.database.drop(f"{project}.{dataset}.{table}")
        return {}

    def _list_tables(self, project: str, dataset: str, body: Json) -> Json:
        prefix = f"{project}.{dataset}."
        names = [each.removeprefix(prefix) for each in self.database.tables if each.startswith(prefix)]
        return {"tables": [self._table(project, dataset, name, {}) for name in names]}

    def _list_rows(self, project: str, dataset: str, table: str, body: Json) -> Json:
        found = self.database.find(f"{project}.{dataset}.{table}")
        names = (
            body["selectedFields"].split(",") if "selectedFields" in body else [each["name"] for each in found.fields]
        )
        rows = [{name: row[name] for name in row if name in names} for row in self.database.values(found)]
        return {"totalRows": str(len(rows)), "rows": [to_cell(row)["v"] for row in rows]}

    # The interfaces of gRPC.

    def append_rows(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        """Append batches of Arrow, each at once."""
        for request in requests:
            _, project, _, dataset, _, name, *_ = request.write_stream.split("/")
            message = request.arrow_rows.rows.serialized_record_batch
            schema = pa.ipc.read_schema(pa.py_buffer(request.arrow_rows.writer_schema.serialized_schema))
            rows = pa.ipc.read_record_batch(pa.py_buffer(message), schema).to_pylist()
            with self._lock, _aborting(context):
                self.database.append(f"{project}.{dataset}.{name}", rows)
            yield types.AppendRowsResponse(append_result=types.AppendRowsResponse.AppendResult())

    def create_session(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Begin to read a table."""
        session = request.read_session
        _, project, _, dataset, _, name = session.table.split("/")
        options = session.read_options
        columns = list(options.selected_fields)
        number = f"read-{next(self._numbers)}"
        with self._lock, _aborting(context):
            fields = {each["name"]: each for each in self.database.find(f"{project}.{dataset}.{name}").fields}
        schema = pa.schema([_arrow_field(fields[column]) for column in columns])
        self._reads[number] = f"{project}.{dataset}.{name}", columns, options.row_restriction
        serialized = types.ArrowSchema(serialized_schema=schema.serialize().to_pybytes())
        return types.ReadSession(name=number, arrow_schema=serialized, streams=[types.ReadStream(name=number)])

    def read_rows(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Send all rows in a batch, none if there are none."""
        table_id, columns, restriction = self._reads[request.read_stream]
        with self._lock, _aborting(context):
            rows = self.database.read(table_id, columns, restriction)
            fields = {each["name"]: each for each in self.database.find(table_id).fields}
        if rows:
            schema = pa.schema([_arrow_field(fields[column]) for column in columns])
            batch = pa.RecordBatch.from_pylist(rows, schema).serialize().to_pybytes()
            arrow = types.ArrowRecordBatch(serialized_record_batch=batch, row_count=len(rows))
            yield types.ReadRowsResponse(arrow_record_batch=arrow, row_count=len(rows))


def _error(error: Exception) -> Json:
    code, reason = next(each for kind, each in _REASONS.items() if isinstance(error, kind))
    return {"code": code, "message": str(error), "errors": [{"reason": reason, "message": str(error)}]}


@contextmanager
def _aborting(context: grpc.ServicerContext) -> Iterator[None]:
    try:
        yield
    except Missing as error:
        context.abort(grpc.StatusCode.NOT_FOUND, str(error))
    except Refused as error:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))


_ARROW = {
    "STRING": pa.string(), "JSON": pa.string(), "TIMESTAMP": pa.timestamp("us", "UTC"), "FLOAT": pa.float64(),
    "FLOAT64": pa.float64(), "INTEGER": pa.int64(), "INT64": pa.int64(), "BOOLEAN": pa.bool_(), "BOOL": pa.bool_(),
    "BYTES": pa.binary(), "DATE": pa.date32(), "DATETIME": pa.timestamp("us"),
}  # fmt: skip


def _arrow_field(field: Field) -> pa.Field:
    is_struct = field["type"] in ("RECORD", "STRUCT")
    kind = pa.struct([_arrow_field(each) for each in field["fields"]]) if is_struct else _ARROW[field["type"]]
    return pa.field(field["name"], pa.list_(kind) if field.get("mode") == "REPEATED" else kind)


class StandIn:
    """A server of its own, and the warehouse in it."""

    def __init__(self, database: Database, emulator: Emulator) -> None:
        self._database = database
        config = WarehouseConfig.model_validate({"project": EVALUATED, **{role: role for role in ROLES}})
        self._warehouse = Warehouse(config, emulator, retry_seconds=5.0)
        self._warehouse.ensure()

    def empty_warehouse(self) -> Warehouse:
        """Return the warehouse with Rawless's own tables only, and no rows."""
        own = {self._warehouse.table_id(name) for name in names()}
        self._database.keep(own)
        return self._warehouse


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    stand: Stand

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        status, answer = self.stand.answer(self.command, self.path, body)
        content = json.dumps(answer).encode()
        self.send_response(status)
        if location := answer.get("location"):
            self.send_header("location", f"http://{self.headers['host']}{location}")
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - the library's names

    def log_message(self, *arguments: Any) -> None:
        """Print nothing."""


@contextmanager
def standing_in() -> Iterator[StandIn]:
    """Start a stand-in for BigQuery for the context."""
    database = Database()
    with serving(database) as emulator:
        yield StandIn(database, emulator)


@contextmanager
def serving(database: Database) -> Iterator[Emulator]:
    """Serve a database on ports of this machine within the context, for Google's clients."""
    stand = Stand(database)
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"stand": stand}))
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((_handlers(stand),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield Emulator(f"http://127.0.0.1:{http.server_port}", f"127.0.0.1:{port}")
    finally:
        server.stop(None).wait()
        http.shutdown()
        http.server_close()
        thread.join()


def _handlers(stand: Stand) -> grpc.GenericRpcHandler:
    methods = {
        f"{_WRITE}/AppendRows": (grpc.stream_stream_rpc_method_handler, stand.append_rows, types.AppendRowsRequest),
        f"{_READ}/CreateReadSession": (
            grpc.unary_unary_rpc_method_handler,
            stand.create_session,
            types.CreateReadSessionRequest,
        ),
        f"{_READ}/ReadRows": (grpc.unary_stream_rpc_method_handler, stand.read_rows, types.ReadRowsRequest),
    }

    class Handlers(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            if found := methods.get(details.method.lstrip("/")):
                make, handle, request = found
                return make(handle, request.deserialize, lambda answer: type(answer).serialize(answer))
            return None

    return Handlers()
