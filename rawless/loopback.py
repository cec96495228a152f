"""The addresses at which only this machine is reached."""

import ipaddress
import os
from urllib.parse import urlsplit

from rawless.errors import UserError

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""The names that a local caller uses."""
_STORAGE_ENDPOINT = "API_ENDPOINT_OVERRIDE"
"""Also names another address of Google's, over https."""


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by name or by address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACK


def emulator_address(variable: str) -> str | None:
    """Return the address of an emulator that an environment variable names, None if it is not set.

    Clients send content to an emulator without encryption, so it must be on this machine. Raises UserError otherwise.
    """
    address = os.environ.get(variable)
    if not address:
        return None
    try:
        host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
    except ValueError:
        host = ""
    if not is_loopback(host):
        raise UserError(
            f"{variable} is {address}, but must name an emulator on this machine, such as 127.0.0.1:8085: requests to "
            "it are not encrypted. Change it, or unset it to use Google Cloud or the local stack."
        )
    return address


def check_storage_address() -> None:
    """Raise UserError if an environment variable directs Google's storage library to an emulator on another machine."""
    is_storage_emulated()


def is_storage_emulated() -> bool:
    """Return whether Google's storage library is directed to an emulator. Raises UserError if on another machine."""
    named = [emulator_address("STORAGE_EMULATOR_HOST")]
    if not os.environ.get(_STORAGE_ENDPOINT, "").lower().startswith("https://"):
        named.append(emulator_address(_STORAGE_ENDPOINT))
    return any(named)
