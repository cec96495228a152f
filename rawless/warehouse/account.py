"""Who changes a table, for the records that name an account."""

import os
import pwd

from rawless.warehouse.client import Warehouse


def local_account(warehouse: Warehouse) -> str | None:
    """Return the name of this process's user for the local warehouse, None on Google Cloud.

    There, `SESSION_USER()` in a statement is the account as BigQuery knows it. Variables such as USER can be set by
    anyone, so the name is that of the process's owner.
    """
    return user_name() if warehouse.emulator is not None else None


def user_name() -> str:
    """Return the name of the user that owns this process, or the number if it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid-{os.geteuid()}"
