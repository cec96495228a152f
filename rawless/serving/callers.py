"""Ids of the callers of a service, which logged rows contain instead of a token's digest or an account's name."""

import hmac
from typing import NamedTuple

from rawless.privacy.pseudonyms import PseudonymKey
from rawless.serving.config import AccessConfig

PURPOSE = "rawless caller of a service"
"""Derives the secret of the ids from the pseudonym key."""
KEY_DIGITS = 16


class Caller(NamedTuple):
    """A caller that the service file lists."""

    name: str
    kind: str
    caller_key: str


class CallerKeys:
    """Computes the ids of callers. A reader of the rows cannot, who knows or guesses what callers there are."""

    def __init__(self, key: PseudonymKey) -> None:
        self._secret = key.derive(PURPOSE)

    def of(self, credential: str) -> str:
        """Return the id of a credential: a token's SHA-256, or the e-mail address of a Google account."""
        return hmac.digest(self._secret, credential.encode(), "sha256").hex()[:KEY_DIGITS]


def list_callers(access: AccessConfig, key: PseudonymKey) -> list[Caller]:
    """Return the callers of a service with their ids, in the order of its file."""
    keys = CallerKeys(key)
    tokens = [Caller(token.name, "token", keys.of(token.sha256)) for token in access.tokens]
    accounts = access.google.accounts if access.google else ()
    return tokens + [Caller(account, "google", keys.of(account)) for account in accounts]
