"""Prepare a job of a stream, whatever runs it: everything that can be checked is checked before it starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from encoders.encoder import Device
from encoders.image_formats import check_installed
from encoders.load import load, refuse_unsealed
from encoders.query_role import refuse_documents
from encoders.release import needs_key
from encoders.spec import EncoderSpec
from encoders.weights import check_local_files
from rawless.connect import JOB_TABLES, open_existing_warehouse, open_key_source, open_warehouse
from rawless.errors import UserError
from rawless.events.stream import Stream
from rawless.loopback import check_storage_address
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import is_registered, register, resolve
from rawless.warehouse.leakage_gate import GATE_TABLES, enforce_gate
from rawless.warehouse.stream_pointers import refuse_retired


@dataclass(frozen=True)
class Job:
    """What the steps of a job need besides the events. It can be pickled: it contains names only, and no key."""

    stream: Stream
    encoders: tuple[EncoderSpec, ...]
    key: KeySource
    warehouse: Warehouse
    warnings: Sequence[str] = ()
    """What whoever starts the job should know, such as the waivers by which its encoders pass the leakage gate."""


def check_objects(stream: Stream) -> None:
    """Raise UserError if the events of a stream may name objects in an emulator on another machine."""
    if any(prefix.startswith("gs://") for prefix in stream.uri_prefixes):
        check_storage_address()


def open_job_warehouse(stream: Stream, file: Path | None, *, creates: bool) -> Warehouse:
    """Open the warehouse of a stream's job. `creates` says whether tables that a warehouse file's lacks are created.

    Raises UserError for a file that is not valid and, unless they are created, for a table that is missing or differs.
    """
    if creates or file is None:
        return open_warehouse(file)
    return open_existing_warehouse(file, (*JOB_TABLES, *(GATE_TABLES if stream.leakage else ())))


def prepare_job(stream: Stream, warehouse: Warehouse, device: Device | None, *, registers: bool) -> Job:
    """Return the job of a stream, which runs elsewhere if `device` is None. Raises UserError if it cannot run.

    `registers` says whether encoders that are not in the warehouse are added to it.
    """
    check_installed(stream.limits.formats)
    specs = tuple(resolve(lambda: warehouse, ref) for ref in stream.encoders)
    for spec in specs:
        stream.check_modality(spec.ref, spec.modality, spec.reads)
        refuse_documents(spec, f"An encoder of the stream {stream.stream}")
    by_ref = dict(zip(stream.encoders, specs, strict=True))
    refuse_retired(warehouse, stream.stream, by_ref)
    warnings = enforce_gate(warehouse, stream, by_ref)
    for spec in specs:
        check_encoder(warehouse, spec, device, registers=registers)
    if len({spec.fingerprint for spec in specs}) < len(specs):
        raise UserError(f"{stream.stream} names the same encoder under different names: {', '.join(stream.encoders)}.")
    key = open_key_source(warehouse)
    if stream.subject != "none" or stream.unchanged or any(map(needs_key, specs)):
        key.load()
    return Job(stream, specs, key, warehouse, warnings)


def check_encoder(warehouse: Warehouse, spec: EncoderSpec, device: Device | None, *, registers: bool) -> None:
    """Load the encoder of a job, and register it if that may be done. Raises UserError if a job cannot use it.

    For a job that runs elsewhere (`device` is None) nothing is loaded: its workers find out whether their files are
    complete and return the golden probe. Those that are on this machine must be the ones that the spec names.
    """
    refuse_unsealed(spec)
    if device is None:
        check_local_files(spec)
    else:
        load(spec, device)  # complete, and returning its golden probe
    if registers:
        register(warehouse, spec)
    elif not is_registered(warehouse, spec):  # a job's account may only read that table
        raise UserError(f"{spec.ref} is not registered: run `rawless encoder register {spec.ref} --warehouse FILE`.")
