"""Write the CSV files that options of commands name."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from rawless.errors import UserError
from rawless.files import write_text


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows, the header first, to a file that only its owner can read. Raises UserError."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    try:
        write_text(path, text.getvalue())
    except OSError as error:
        raise UserError(f"The file {path} cannot be written ({type(error).__name__}): name another.") from None
