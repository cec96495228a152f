"""The lineage of a snapshot: the tables and the encoder that it was built from, and the heads and exports made of it.

`openlineage` writes it as events of OpenLineage (https://openlineage.io): names, times, versions, the SQL that the
manifest contains, and numbers of rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import NAMESPACE_URL, uuid5

from rawless.datasets import column_lineage, snapshot_tables
from rawless.datasets.dataset import Dataset
from rawless.datasets.diff import dataset_of
from rawless.datasets.snapshots import Manifest
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER, Column, table

_EXPORTS, _HEADS = FOLDER / "export_v1" / "of_snapshot.sql", FOLDER / "head_v1" / "of_snapshot.sql"
_SPEC = "https://openlineage.io/spec"
_FACETS = {
    "columnLineage": "1-2-0/ColumnLineageDatasetFacet", "dataSource": "1-0-1/DatasourceDatasetFacet",
    "datasetType": "1-0-1/DatasetTypeDatasetFacet", "inputStatistics": "1-0-0/InputStatisticsInputDatasetFacet",
    "jobType": "2-0-4/JobTypeJobFacet", "nominalTime": "1-0-1/NominalTimeRunFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet", "schema": "1-2-0/SchemaDatasetFacet",
    "sql": "1-1-0/SQLJobFacet", "version": "1-0-1/DatasetVersionDatasetFacet",
}  # fmt: skip
_EVENTS = "embedding_event_v1"
_SUBJECTS = "subject_map_v1"


@dataclass(frozen=True)
class Part:
    """Something that a snapshot was made from, or that was made from it."""

    kind: str
    """table, encoder, snapshot, head or export."""
    namespace: str
    """As OpenLineage names it: `bigquery`, the host of a file, or the registry of the warehouse."""
    name: str
    version: str | None = None
    """Fingerprint of an encoder, id of a snapshot, version of a head."""
    rows: int | None = None
    at: datetime | None = None
    """When it was made."""


@dataclass(frozen=True)
class Lineage:
    """A snapshot between what it was made from and what was made from it."""

    manifest: Manifest
    dataset: Dataset
    snapshot: Part
    inputs: tuple[Part, ...]
    outputs: tuple[Part, ...]
    registry: str
    """The namespace of jobs, encoders and heads: those of one project."""

    @property
    def encoder(self) -> Part:
        """Return the encoder, the last of the inputs."""
        return self.inputs[-1]


def lineage(warehouse: Warehouse, manifest: Manifest) -> Lineage:
    """Return the lineage of a snapshot. Raises Unavailable when BigQuery does not answer."""
    dataset, registry = dataset_of(manifest), f"rawless://{warehouse.config.project}"
    tables = {source.name: warehouse.business_table_id(source.table) for source in dataset.spec.sources}
    tables[_EVENTS] = warehouse.table_id(_EVENTS)
    inputs = [Part("table", "bigquery", tables[name], rows=rows) for name, rows in manifest.sources]
    inputs.append(Part("table", "bigquery", warehouse.table_id(_SUBJECTS)))
    encoder = dataset.spec.encoder.partition("@")[0]
    inputs.append(Part("encoder", registry, f"encoder/{encoder}", manifest.fingerprint))
    snapshot = Part(
        "snapshot", "bigquery", snapshot_tables.table_id(warehouse, manifest.snapshot_id), manifest.snapshot_id,
        manifest.rows, manifest.created_at,
    )  # fmt: skip
    outputs = tuple(_outputs(warehouse, manifest, registry))
    return Lineage(manifest, dataset, snapshot, tuple(inputs), outputs, registry)


def _outputs(warehouse: Warehouse, manifest: Manifest, registry: str) -> Iterator[Part]:
    values = parameters({"snapshot_id": manifest.snapshot_id})
    for row in warehouse.query(warehouse.render(_HEADS), values):
        yield Part("head", registry, f"head/{row['head']}", str(row["version"]), at=row["created_at"])
    for row in warehouse.query(warehouse.render(_EXPORTS), values):
        uri = urlsplit(row["path"])
        yield Part("export", f"{uri.scheme}://{uri.netloc}", unquote(uri.path), at=row["made_at"])


def openlineage(found: Lineage) -> Iterator[dict[str, Any]]:
    """Yield one RunEvent of OpenLineage for the build, and one for each head and export.

    The id of a run follows from what it made, so that sending an event twice is no second run.
    """
    manifest, spec = found.manifest, found.dataset.spec
    yield _event(
        found,
        f"dataset.{spec.dataset}",
        "BUILD",
        inputs=[_input(part) for part in found.inputs],
        output=_snapshot(found),
        made=found.snapshot,
        run={"nominalTime": _facet("nominalTime", nominalStartTime=manifest.as_of.isoformat())},
        job={"sql": _facet("sql", query=_sql(found.dataset), dialect="bigquery")},
    )
    for part in found.outputs:
        is_head = part.kind == "head"
        job = f"head.{part.name.rpartition('/')[2]}" if is_head else f"dataset.{spec.dataset}.export"
        inputs = [found.snapshot, *([found.encoder] if is_head else [])]
        yield _event(
            found, job, part.kind.upper(), inputs=[_input(each) for each in inputs], output=_output(part), made=part
        )


def _event(
    found: Lineage, job_name: str, job_type: str, *, inputs: Sequence[Mapping[str, Any]], output: Mapping[str, Any],
    made: Part, run: Mapping[str, Any] | None = None, job: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    identity = (made.namespace, made.name, made.version, made.at)
    kind = _facet("jobType", processingType="BATCH", integration="RAWLESS", jobType=job_type)
    return {
        "eventType": "COMPLETE",
        "eventTime": (made.at or found.manifest.created_at).isoformat(),
        "producer": _producer(),
        "schemaURL": f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": str(uuid5(NAMESPACE_URL, " ".join(map(str, identity)))), "facets": dict(run or {})},
        "job": {"namespace": found.registry, "name": job_name, "facets": {"jobType": kind, **(job or {})}},
        "inputs": list(inputs),
        "outputs": [output],
    }


def _producer() -> str:
    return f"pkg:pypi/rawless@{version('rawless')}"


def _facet(name: str, /, **fields: Any) -> dict[str, Any]:
    number, _, kind = _FACETS[name].partition("/")
    return {
        "_producer": _producer(),
        "_schemaURL": f"{_SPEC}/facets/{number}/{kind}.json#/$defs/{kind}",
        **fields,
    }


def _named(part: Part) -> dict[str, Any]:
    """Return a dataset of OpenLineage: its name, and what is the same wherever it occurs."""
    facets = {"datasetType": _facet("datasetType", datasetType=_type(part))}
    if part.namespace == "bigquery":
        facets["dataSource"] = _facet("dataSource", name="bigquery", uri="bigquery:")
    if part.version:
        facets["version"] = _facet("version", datasetVersion=part.version)
    return {"namespace": part.namespace, "name": part.name, "facets": facets}


def _type(part: Part) -> str:
    return {"table": "TABLE", "snapshot": "TABLE", "export": "FILE"}.get(part.kind, "MODEL")


def _input(part: Part) -> dict[str, Any]:
    statistics = {} if part.rows is None else {"inputStatistics": _facet("inputStatistics", rowCount=part.rows)}
    return {**_named(part), "inputFacets": statistics}


def _output(part: Part) -> dict[str, Any]:
    statistics = {} if part.rows is None else {"outputStatistics": _facet("outputStatistics", rowCount=part.rows)}
    return {**_named(part), "outputFacets": statistics}


def _snapshot(found: Lineage) -> dict[str, Any]:
    described = _output(found.snapshot)
    described["facets"]["schema"] = _facet("schema", fields=_fields(table("snapshot_v1").columns))
    tables = {part.name.rpartition(".")[2]: part for part in found.inputs if part.kind == "table"}
    fields = column_lineage.of_label(found.dataset) | column_lineage.of_events(found.dataset)
    described["facets"]["columnLineage"] = _facet(
        "columnLineage",
        fields={name: {"inputFields": _input_fields(tables, origins)} for name, origins in sorted(fields.items())},
        dataset=_input_fields(tables, column_lineage.of_rules(found.dataset)),
    )
    return described


def _input_fields(tables: Mapping[str, Part], origins: Sequence[column_lineage.Origin]) -> list[dict[str, Any]]:
    return [
        {"namespace": tables[origin.table].namespace, "name": tables[origin.table].name, "field": origin.column,
         "transformations": [{"type": origin.type, "subtype": origin.subtype}]}
        for origin in origins
    ]  # fmt: skip


def _fields(columns: Sequence[Column]) -> list[dict[str, Any]]:
    return [
        {"name": column.name, "type": column.type, "description": column.description}
        | ({"fields": _fields(column.fields)} if column.fields else {})
        for column in columns
    ]


def _sql(dataset: Dataset) -> str:
    """Return the label and the rules as the manifest contains them."""
    return ";\n".join(f"-- {query.where}\n{query.sql}" for query in (dataset.label, *dataset.rules))
