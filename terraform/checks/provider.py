"""A stand-in for Google's provider: it has the pinned schema, contacts no cloud, and creates nothing.

Terraform starts it like any provider, through its plugin protocol. Hence `terraform validate` and `terraform plan` find
in the real files what they would find with the real provider, as far as a schema can tell: unknown or missing
attributes, wrong types, invalid references. They do not find what the provider itself would reject. Values that the
cloud would assign to a resource (`id`, `email`) become texts that name the resource. An apply stores what was planned,
and a read returns what is stored, except where the real provider is known to read something else.
"""

import base64
import json
import os
import signal
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import msgpack
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_FOLDER = Path(__file__).parent
_NESTING = {"struct": 1, "list": 2, "set": 3}
_NAMING_ATTRIBUTES = ("name", "dataset_id", "secret_id", "role_id", "display_name", "service", "project")
"""A made-up id contains the first of these attributes that its resource has."""
_READ_BACK: dict[str, dict[str, Any]] = {
    "google_dataflow_flex_template_job": {
        "num_workers": 0,
        "max_workers": 0,
        "machine_type": None,
        "temp_location": None,
        "staging_location": None,
        "sdk_container_image": None,
    }
}
"""What the real provider reads of a resource, whatever was written.

Its Read looks up numWorkers, maxNumWorkers, tempLocation and the like among the options that a job reports, but the
names of Beam's Python SDK are in snake case (terraform-provider-google#19909, #23797, magic-modules#14038).
"""
_COOKIE = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
"""Terraform sets it for its plugins, so that a plugin notices when it is started by hand."""


def _messages() -> tuple[Any, Any]:
    sys.path.insert(0, str(_FOLDER))
    messages, stubs = grpc.protos_and_services("tfplugin5.proto")
    return messages, stubs


proto, services = _messages()


def _schema(schema: dict[str, Any]) -> Any:
    return proto.Schema(block=_block(schema))


def _block(schema: dict[str, Any]) -> Any:
    attributes = [
        proto.Schema.Attribute(
            name=name,
            type=json.dumps(kind).encode(),
            required=mode == "required",
            optional=mode == "optional",
            # A provider also computes many optional attributes, but the bindings do not say which.
            computed=mode == "computed" or name == "id",
        )
        for name, (kind, mode) in schema["attributes"].items()
    ]
    blocks = [_nested_block(name, block) for name, block in schema["blocks"].items()]
    return proto.Schema.Block(attributes=attributes, block_types=blocks)


def _nested_block(name: str, schema: dict[str, Any]) -> Any:
    single = schema["nesting"] == "struct"
    return proto.Schema.NestedBlock(
        type_name=name,
        block=_block(schema),
        nesting=_NESTING[schema["nesting"]],
        min_items=int(schema["required"] and not single),
        max_items=0 if schema["many"] or single else 1,
    )


class Provider(services.ProviderServicer):  # type: ignore[name-defined]
    """The provider's part of the plugin protocol."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self._schemas = schemas

    def GetSchema(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's names
        """Return the schema of every resource and data source."""
        return proto.Schemas(
            provider=proto.Schema(block=proto.Schema.Block()),
            resource_schemas={name: _schema(schema) for name, schema in self._schemas["resource"].items()},
            data_source_schemas={name: _schema(schema) for name, schema in self._schemas["data"].items()},
        )

    def PrepareProviderConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Accept any configuration."""
        return proto.PreparedConfig(prepared_config=request.config)

    def ValidateResourceTypeConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Report nothing: Terraform has already validated the configuration against the schema."""
        return proto.Diagnostics()

    ValidateDataSourceConfig = ValidateResourceTypeConfig

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Ignore the configuration."""
        return proto.Diagnostics()

    def PlanResourceChange(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Plan the resource as it is written, with made-up values for what the cloud would assign."""
        planned = self._fill("resource", request.type_name, request.proposed_new_state.msgpack)
        return proto.PlannedChange(planned_state=planned, legacy_type_system=True)

    def ApplyResourceChange(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Return what was planned as what now exists."""
        return proto.AppliedResource(new_state=request.planned_state, legacy_type_system=True)

    def UpgradeResourceState(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Return the stored state: there is one version of each schema only."""
        return proto.UpgradedResource(upgraded_state=proto.DynamicValue(json=request.raw_state.json))

    def ReadResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Return the resource as it was applied, but for what the real provider reads otherwise."""
        value = _unpack(request.current_state.msgpack) | _READ_BACK.get(request.type_name, {})
        return proto.ReadBack(new_state=_pack(value))

    def ReadDataSource(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Return the data source as it is written, with made-up values for what the cloud would return."""
        return proto.Data(state=self._fill("data", request.type_name, request.config.msgpack))

    def Stop(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Do nothing: no operation is ever in progress."""
        return proto.Nothing()

    def _fill(self, kind: str, type_name: str, packed: bytes) -> Any:
        value = _unpack(packed)
        if value is not None:  # None means that the resource is to be destroyed
            for name, (type_, mode) in self._schemas[kind][type_name]["attributes"].items():
                if value[name] is None and type_ == "string" and (mode == "computed" or name == "id"):
                    value[name] = _assigned_value(type_name, name, value)
        return _pack(value)


def _unpack(packed: bytes) -> Any:
    return msgpack.unpackb(packed, ext_hook=msgpack.ExtType, raw=False)


def _pack(value: Any) -> Any:
    return proto.DynamicValue(msgpack=msgpack.packb(value))


def _assigned_value(type_name: str, name: str, value: dict[str, Any]) -> str:
    """A made-up value for an attribute that the cloud would assign, as far as the checks need it."""
    if type_name == "google_service_account" and isinstance(value["project"], str):
        email = f"{value['account_id']}@{value['project']}.iam.gserviceaccount.com"
        return {"email": email, "member": f"serviceAccount:{email}"}.get(name, email)
    if name == "number":
        return str(zlib.crc32(value["project_id"].encode()))
    label = next((value[key] for key in _NAMING_ATTRIBUTES if isinstance(value.get(key), str)), "")
    kind = "serviceAccount:" if name in ("member", "writer_identity") else ""
    return f"{kind}{type_name}/{label}/{name}"


def _certificate() -> tuple[bytes, bytes]:
    """A new private key and self-signed certificate, because Terraform connects to its plugins by TLS only."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)


def _controller(ended: threading.Event) -> Any:
    """The service by which Terraform stops a plugin."""

    def shutdown(_: bytes, __: Any) -> bytes:
        ended.set()
        return b""

    return grpc.method_handlers_generic_handler(
        "plugin.GRPCController", {"Shutdown": grpc.unary_unary_rpc_method_handler(shutdown)}
    )


def serve(provider: str) -> None:
    """Run as the plugin of a provider until Terraform stops it."""
    if os.environ.get("TF_PLUGIN_MAGIC_COOKIE") != _COOKIE:
        sys.exit("This plugin is started by Terraform: see terraform/checks/plan.py.")
    schemas = json.loads((_FOLDER / "schema.json").read_text(encoding="utf-8"))["providers"][provider]
    key, certificate = _certificate()
    server = grpc.server(ThreadPoolExecutor(16))
    services.add_ProviderServicer_to_server(Provider(schemas), server)
    ended = threading.Event()
    server.add_generic_rpc_handlers((_controller(ended),))
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    server.start()
    der = base64.b64encode(x509.load_pem_x509_certificate(certificate).public_bytes(serialization.Encoding.DER))
    print(f"1|5|tcp|127.0.0.1:{port}|grpc|{der.decode().rstrip('=')}", flush=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ended.wait()
    server.stop(grace=1).wait()


if __name__ == "__main__":
    serve(sys.argv[1])
