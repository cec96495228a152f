"""A stand-in for the provider: it knows the pinned schema, reaches no cloud, and can only validate and plan.

Terraform starts it as it starts any provider, by its plugin protocol. So `terraform validate` and `terraform plan` say
of the real files what they would say with the real provider, as far as a schema goes: unknown attributes, missing ones,
wrong types, references to what is not there. What the provider itself would refuse, only it can tell. What a resource
would be given by the cloud (`id`, `email`) becomes a text that names where it came from.
"""

import base64
import json
import os
import signal
import sys
import threading
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
_TOLD = ("name", "dataset_id", "secret_id", "role_id", "display_name", "service", "project")
"""What a made-up id tells of its resource: the first of these that it has."""
_COOKIE = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
"""Terraform sets it for its plugins, so that a person who runs one by hand is told."""


def _messages() -> tuple[Any, Any]:
    sys.path.insert(0, str(_FOLDER))
    messages, stubs = grpc.protos_and_services("tfplugin5.proto")
    return messages, stubs


proto, services = _messages()


def _schema(found: dict[str, Any]) -> Any:
    return proto.Schema(block=_block(found))


def _block(found: dict[str, Any]) -> Any:
    attributes = [
        proto.Schema.Attribute(
            name=name,
            type=json.dumps(kind).encode(),
            required=mode == "required",
            optional=mode == "optional",
            # A provider fills in much that may be set too; which, the bindings do not say.
            computed=mode == "computed" or name == "id",
        )
        for name, (kind, mode) in found["attributes"].items()
    ]
    return proto.Schema.Block(attributes=attributes, block_types=[_nested(*each) for each in found["blocks"].items()])


def _nested(name: str, found: dict[str, Any]) -> Any:
    single = found["nesting"] == "struct"
    return proto.Schema.NestedBlock(
        type_name=name,
        block=_block(found),
        nesting=_NESTING[found["nesting"]],
        min_items=int(found["required"] and not single),
        max_items=0 if found["many"] or single else 1,
    )


class Provider(services.ProviderServicer):  # type: ignore[name-defined]
    """Answers what Terraform asks."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self._schemas = schemas

    def GetSchema(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's names
        """All that there is."""
        return proto.Schemas(
            provider=proto.Schema(block=proto.Schema.Block()),
            resource_schemas={name: _schema(found) for name, found in self._schemas["resource"].items()},
            data_source_schemas={name: _schema(found) for name, found in self._schemas["data"].items()},
        )

    def PrepareProviderConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Nothing is configured."""
        return proto.PreparedConfig(prepared_config=request.config)

    def ValidateResourceTypeConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Terraform held it to the schema already."""
        return proto.Diagnostics()

    ValidateDataSourceConfig = ValidateResourceTypeConfig

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Nothing is configured."""
        return proto.Diagnostics()

    def PlanResourceChange(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The resource as it is written, and what the cloud would add."""
        planned = self._filled("resource", request.type_name, request.proposed_new_state.msgpack)
        return proto.PlannedChange(planned_state=planned, legacy_type_system=True)

    def ReadDataSource(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Likewise."""
        return proto.Data(state=self._filled("data", request.type_name, request.config.msgpack))

    def Stop(self, request: Any, context: Any) -> Any:  # noqa: N802
        """There is nothing to stop."""
        return proto.Nothing()

    def _filled(self, kind: str, type_name: str, packed: bytes) -> Any:
        value = msgpack.unpackb(packed, ext_hook=msgpack.ExtType, raw=False)
        if value is not None:  # else the resource is to be destroyed
            for name, (type_, mode) in self._schemas[kind][type_name]["attributes"].items():
                if value[name] is None and type_ == "string" and (mode == "computed" or name == "id"):
                    value[name] = _given(type_name, name, value)
        return proto.DynamicValue(msgpack=msgpack.packb(value))


def _given(type_name: str, name: str, value: dict[str, Any]) -> str:
    """What the cloud would give, as far as a reader of the plan needs it."""
    if type_name == "google_service_account" and isinstance(value["project"], str):
        email = f"{value['account_id']}@{value['project']}.iam.gserviceaccount.com"
        return {"email": email, "member": f"serviceAccount:{email}"}.get(name, email)
    if name == "number":
        return "123456789012"
    told = next((value[each] for each in _TOLD if isinstance(value.get(each), str)), "")
    kind = "serviceAccount:" if name in ("member", "writer_identity") else ""
    return f"{kind}{type_name}/{told}/{name}"


def _certificate() -> tuple[bytes, bytes]:
    """A fresh key and certificate of this machine's own: Terraform talks to its plugins by TLS alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
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
    return private, made.public_bytes(serialization.Encoding.PEM)


def _controller(ended: threading.Event) -> Any:
    """By which Terraform ends a plugin."""

    def shutdown(_: bytes, __: Any) -> bytes:
        ended.set()
        return b""

    return grpc.method_handlers_generic_handler(
        "plugin.GRPCController", {"Shutdown": grpc.unary_unary_rpc_method_handler(shutdown)}
    )


def serve(provider: str) -> None:
    """Be the plugin of that name until Terraform ends it."""
    if os.environ.get("TF_PLUGIN_MAGIC_COOKIE") != _COOKIE:
        sys.exit("This is started by terraform: see terraform/checks/plan.py.")
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
