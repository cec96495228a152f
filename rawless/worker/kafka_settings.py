"""The file of properties with which a Kafka client connects: only those that can neither log nor run code."""

import fnmatch
from pathlib import Path

from rawless.errors import UserError
from rawless.events.sources.kafka import Topic
from rawless.loopback import is_loopback

_NAMES = """
    security.protocol sasl.mechanism sasl.mechanisms sasl.username sasl.password sasl.kerberos.service.name
    sasl.kerberos.principal sasl.kerberos.keytab sasl.oauthbearer.* ssl.ca.location ssl.ca.pem ssl.certificate.location
    ssl.certificate.pem ssl.key.location ssl.key.pem ssl.key.password ssl.keystore.location ssl.keystore.password
    ssl.cipher.suites ssl.curves.list ssl.sigalgs.list ssl.crl.location
    client.id client.rack client.dns.lookup broker.address.family broker.address.ttl group.instance.id group.protocol
    session.timeout.ms heartbeat.interval.ms max.poll.interval.ms auto.offset.reset isolation.level
    fetch.* queued.* receive.message.max.bytes socket.* reconnect.backoff.* retry.backoff.* topic.metadata.* metadata.*
    connections.max.idle.ms request.timeout.ms check.crcs
"""
_ALLOWED = _NAMES.split()
"""Patterns of names of librdkafka's properties."""
_REFUSED = {
    "debug": "the client would log what it receives",
    "log_level": "the client logs nothing",
    "statistics.interval.ms": "it is for programs that read the client's statistics",
    "plugin.library.paths": "it loads code that is not part of Rawless",
    "ssl.engine.location": "it loads code that is not part of Rawless",
    "ssl.providers": "it loads code that is not part of Rawless",
    "sasl.kerberos.kinit.cmd": "it runs a program",
    "enable.ssl.certificate.verification": "messages could be read on their way",
    "ssl.endpoint.identification.algorithm": "messages could be read on their way",
    "enable.auto.commit": "offsets are committed after rows are written",
    "enable.auto.offset.store": "offsets are committed after rows are written",
    "bootstrap.servers": "--source names the brokers",
    "metadata.broker.list": "--source names the brokers",
    "group.id": "--source names the group",
}
"""Why a property is refused."""


def load_settings(topic: Topic) -> dict[str, str]:
    """Return the properties of the client that reads a topic. Raises UserError, which never contains a value."""
    settings = read_settings(topic.settings) if topic.settings else {}
    protocol = settings.get("security.protocol", "plaintext").lower()
    if not protocol.endswith("ssl") and not all(map(is_loopback, topic.hosts)):
        raise UserError(
            f"The brokers {', '.join(topic.brokers)} are on other machines, and messages would travel there "
            "without encryption: give security.protocol=SSL or SASL_SSL in the file that --kafka-config names."
        )
    return settings


def read_settings(file: Path) -> dict[str, str]:
    """Return the properties in a file, one NAME=VALUE a line. Raises UserError, which never contains a value."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--kafka-config names {file}, but that cannot be read as text in UTF-8 ({type(error).__name__}): check "
            "the path."
        ) from None
    settings: dict[str, str] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith(("#", "!")):
            continue
        name, equals, value = line.partition("=")
        name = name.strip()
        if not equals:
            raise UserError(f"{file}:{number} is not a property: write NAME=VALUE.")
        _check(name, f"{file}:{number}")
        if name in settings:
            raise UserError(f"{file}:{number} gives {name} again: leave one.")
        settings[name] = value.strip()
    return settings


def _check(name: str, place: str) -> None:
    if name in _REFUSED:
        raise UserError(f"{place} gives the property {name}, which is refused: {_REFUSED[name]}. Leave it out.")
    if not any(fnmatch.fnmatchcase(name, pattern) for pattern in _ALLOWED):
        raise UserError(
            f"{place} gives a property that is not allowed: allowed are those of librdkafka by which a client connects "
            "and reads, such as security.protocol and sasl.username."
        )
