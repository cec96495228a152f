"""How many rows of a snapshot are adapted, as its manifest records it."""

from rawless.config import FrozenModel
from rawless.datasets.spec import Split


class AdaptedRows(FrozenModel):
    """How many rows of a snapshot have a vector by an encoder with an adapter, by split."""

    fingerprint: str
    """Of the encoder with the adapter; a row's own fingerprint says which it is of."""
    rows: dict[Split, int]

    @property
    def total(self) -> int:
        """The number of these rows."""
        return sum(self.rows.values())
