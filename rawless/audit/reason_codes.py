"""Reasons and tickets of the privacy office's records: codes of closed lists and ids by a pattern, never free text."""

import re
from enum import StrEnum
from typing import TypeVar

from rawless.errors import UserError

_TICKET = re.compile(r"[A-Z][A-Z0-9]{0,9}-[0-9]{1,9}|[A-Z]{2,9}[0-9]{1,10}")


class WaiverReason(StrEnum):
    """Why an encoder may pass a leakage gate that refuses it."""

    ACCEPTED_RISK = "accepted_risk"
    AUDIT_PENDING = "audit_pending"
    MIGRATION = "migration"
    MITIGATED_ELSEWHERE = "mitigated_elsewhere"
    TEST_DATA = "test_data"


class InspectionReason(StrEnum):
    """Why a person looks at an item in its source system."""

    CUSTOMER_REQUEST = "customer_request"
    DATA_QUALITY = "data_quality"
    LEGAL_OBLIGATION = "legal_obligation"
    MISCLASSIFICATION = "misclassification"
    REJECTION = "rejection"
    SECURITY_INCIDENT = "security_incident"


Code = TypeVar("Code", bound=StrEnum)


def parse_reason(value: str, codes: type[Code]) -> Code:
    """Return the reason with this code. Raises UserError without the value, which somebody may have written freely."""
    try:
        return codes(value)
    except ValueError:
        raise UserError(f"--reason is not one of the codes {', '.join(codes)}: name one of them.") from None


def check_ticket(value: str) -> str:
    """Return the id of a ticket. Raises UserError, without the value, if it is none."""
    if not _TICKET.fullmatch(value):
        raise UserError("--ticket is not the id of a ticket, such as PRIV-123 or INC0012345: give its id only.")
    return value
