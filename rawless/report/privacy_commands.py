"""The commands that check what the report on privacy says, with the files that the report was made with."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from rawless.warehouse.client import Warehouse


class Commands:
    """Writes commands that a reader can run as they are, but for words in capitals."""

    def __init__(
        self, warehouse: Warehouse, warehouse_file: Path | None, streams: Mapping[str, str], since_days: int
    ) -> None:
        """`streams` has the stream files by the streams' names."""
        self._warehouse, self._streams, self._since = warehouse, streams, f"{since_days}d"
        self._options = ["--warehouse", str(warehouse_file)] if warehouse_file else []

    def canary(self, stream: str | None) -> str:
        """Return the command that sends markers through a stream and searches for them."""
        return self._line("audit", "canary", *self._of_stream(stream))

    def leakage(self, encoder: str, stream: str | None) -> str:
        """Return the command that attacks the vectors of an encoder."""
        of_stream = self._of_stream(stream) if stream else []
        return self._line("audit", "leakage", "--encoder", encoder, "--aux", "FILE", *of_stream)

    def membership(self, head: str) -> str:
        """Return the command that tells which rows a head was trained on."""
        return self._line("audit", "membership", head)

    def gate(self, stream: str) -> str:
        """Return the command that says whether the limits of a stream hold."""
        return self._line("stream", "check", self._streams.get(stream, "FILE"))

    def waivers(self) -> str:
        """Return the command that lists the waivers."""
        return self._line("audit", "waivers")

    def readers(self) -> str:
        """Return the command that lists who read which table."""
        return self._line("audit", "readers", "--since", self._since)

    def inspections(self) -> str:
        """Return the command that counts inspections."""
        return self._rows("inspection_v1", "stream", columns="stream, reason, inspected_by, inspected_at")

    def erasure(self, certificate_id: str) -> str:
        """Return the command that lists the objects of an erasure."""
        return self._rows("erasure_v1", "erased_at", f'certificate_id = "{certificate_id}"')

    def erasures(self) -> str:
        """Return the command that lists the objects of all erasures."""
        return self._rows("erasure_v1", "certificate_id, erased_at")

    def exports(self) -> str:
        """Return the command that lists the exports."""
        return self._rows("export_v1", "made_at DESC")

    def doctor(self) -> str:
        """Return the command that checks the deployment."""
        return self._line("doctor")

    def report(self, stream: str | None = None) -> str:
        """Return the command that makes this report, with the file of one more stream."""
        given = [word for file in self._streams.values() for word in ("--stream", file)]
        more = ["--stream", "FILE"] if stream else []
        return self._line("report", "privacy", *given, *more, "--since", self._since)

    def by_section(self, heads: Iterable[str]) -> dict[str, list[str]]:
        """Return the commands of each section; `heads` are those that were attacked."""
        streams: list[str | None] = [*self._streams] or [None]
        return {
            "canary": [self.canary(stream) for stream in streams],
            "leakage": [
                *(self.leakage("ENCODER", stream) for stream in streams),
                *(self.membership(head) for head in heads),
            ],
            "gates": [self.gate(stream) for stream in self._streams] or [self.gate("")],
            "waivers": [self.waivers()],
            "readers": [self.readers()],
            "inspections": [self.inspections()],
            "retention": [self.doctor()],
            "erasures": [self.erasures()],
            "exports": [self.exports()],
            "side-doors": [self.report()],
        }

    def _of_stream(self, stream: str | None) -> list[str]:
        return ["--stream", self._streams.get(stream or "", "FILE")]

    def _rows(self, table: str, order: str, condition: str = "", columns: str = "*") -> str:
        name, where = self._warehouse.table_id(table), f" WHERE {condition}" if condition else ""
        query = f"SELECT {columns} FROM `{name}`{where} ORDER BY {order}"  # noqa: S608 - it is shown, not run
        return self._line("sql", query)

    def _line(self, *words: str) -> str:
        return shlex.join(["rawless", *words, *self._options])
