"""The addresses at which only this machine is reached."""

import ipaddress

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""The names that a local caller uses."""


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by name or by address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACK
