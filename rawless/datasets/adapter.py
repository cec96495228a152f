"""The encoder with an adapter whose rows a dataset takes where events have no vector by its own encoder."""

from encoders.adapter import Adapter
from encoders.spec import EncoderSpec
from rawless.datasets.spec import DatasetSpec
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import registered


class DatasetAdapter:
    """An encoder with an adapter into the space of a dataset's encoder."""

    def __init__(self, encoder: EncoderSpec, adapter: Adapter) -> None:
        self.encoder = encoder
        self.fingerprint = encoder.fingerprint
        self.target = adapter.target
        """The fingerprint of the dataset's own encoder."""

    @property
    def values(self) -> dict[str, str]:
        """Return the parameters that select its rows, and those of the dataset's encoder, by name."""
        fingerprints = {"adapted_fingerprint": self.fingerprint, "target_fingerprint": self.target}
        return {"adapted_encoder": self.encoder.name, **fingerprints}


def find_adapter(warehouse: Warehouse, spec: DatasetSpec) -> DatasetAdapter | None:
    """Return the adapter that a dataset names, None if it names none.

    Raises UserError unless it is registered and maps into the space of the dataset's encoder.
    """
    if spec.adapted is None:
        return None
    found = _registered(warehouse, spec.adapted)
    if found is None:
        raise UserError(
            f"adapted names {spec.adapted}, which is not registered: run `rawless encoder register`, and then "
            f"`rawless encoder backfill {spec.adapted} --stream {spec.stream}`."
        )
    if found.adapter is None:
        raise UserError(
            f"adapted names {spec.adapted}, which has no adapter: name an encoder that `rawless encoder adapt` made."
        )
    native = _registered(warehouse, spec.encoder)
    if native and native.fingerprint != found.adapter.target:
        raise wrong_space(spec, found.adapter.target)
    return DatasetAdapter(found, found.adapter)


def wrong_space(spec: DatasetSpec, target: str) -> UserError:
    """Return the error for an adapter that maps into the space of another encoder than the dataset's."""
    return UserError(
        f"adapted names {spec.adapted}, which maps into the space of the encoder with the fingerprint {target[:12]}…, "
        f"but that of {spec.encoder} is another: learn an adapter by `rawless encoder adapt` that maps to "
        f"{spec.encoder}, or name the encoder that this one maps to."
    )


def _registered(warehouse: Warehouse, ref: str) -> EncoderSpec | None:
    name, _, version = ref.partition("@")
    return next(iter(registered(warehouse, name, version)), None)
