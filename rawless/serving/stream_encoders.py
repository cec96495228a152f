"""Which encoders answer for the served heads: those that their file names, or those that their stream's pointers do."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from encoders.query_role import refuse_documents
from encoders.spec import EncoderSpec
from rawless.errors import Unavailable, UserError
from rawless.serving.adapted import space_of_vectors
from rawless.serving.config import ServedHead
from rawless.warehouse import stream_pointers
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import registered


class Wanted(NamedTuple):
    """The encoders of a served head that a service loads."""

    live: EncoderSpec
    """The one that is to answer."""
    dual: tuple[EncoderSpec, ...] = ()
    """The ones whose heads are called beside, the one that was changed last first."""

    @property
    def all(self) -> tuple[EncoderSpec, ...]:
        """All of them, the live one first."""
        return (self.live, *self.dual)


class StreamEncoders:
    """The encoders of served heads. Their roles are read again by `refresh`, while other threads use them."""

    def __init__(
        self,
        served: Mapping[str, ServedHead],
        specs: Mapping[str, EncoderSpec],
        warehouse: Warehouse | None,
        report: Callable[[str], None],
    ) -> None:
        """Read the roles. `specs` are the encoders and query towers of the heads by their references.

        Without a warehouse the first encoder of each stream's file is live. `report` takes a message for the operator.
        Raises Unavailable or UserError when the roles cannot be read, and UserError for a query tower where documents
        are encoded, an encoder of another modality than its stream, or `adapted` without an adapter.
        """
        self._warehouse, self._report = warehouse, report
        for head in served.values():
            refuse_documents(specs[head.encoder], f"heads.{head.name}.encoder")
            for ref in (head.encoder, *head.towers):
                head.stream.check_modality(ref, specs[ref].modality, specs[ref].reads)
        self._spaces = {
            specs[head.encoder].fingerprint: space_of_vectors(head, specs[head.encoder])
            for head in served.values()
            if head.adapted
        }
        self._towers = {name: tuple(specs[arm] for arm in head.towers) for name, head in served.items()}
        self._fixed = {name: Wanted(specs[head.encoder]) for name, head in served.items()}
        self._streams = {name: head.stream.stream for name, head in served.items() if head.follows_stream}
        self._specs = {spec.fingerprint: spec for spec in specs.values() if spec.sealed}
        self._following: Mapping[str, Wanted] = {}
        self._reported = ""
        if warehouse:
            self._following = self._read(warehouse)

    def of(self, head: str) -> Wanted:
        """Return the encoders of a served head."""
        return self._following.get(self._streams.get(head, ""), self._fixed[head])

    def towers(self, head: str) -> tuple[EncoderSpec, ...]:
        """Return the encoders of queries that are arms of a served head."""
        return self._towers[head]

    def space_of(self, fingerprint: str) -> str:
        """Return the space as whose vectors heads take those of an encoder, by its fingerprint.

        The claim of a query tower is worth an index only: no head takes its vectors.
        """
        spec = self._specs.get(fingerprint)
        if spec is None or spec.queries_of is not None:
            return fingerprint
        return self._spaces.get(fingerprint, spec.space)

    def refresh(self) -> None:
        """Read the roles again. If that fails, the last known ones stay, which is reported once."""
        if self._warehouse is None:
            return
        try:
            self._following, problem = self._read(self._warehouse), ""
        except UserError as error:
            problem = str(error)
        except Unavailable:
            problem = "the warehouse does not answer"
        if problem and problem != self._reported:
            self._report(f"The roles of encoders cannot be read, so the last known ones stay: {problem}")
        self._reported = problem

    def _read(self, warehouse: Warehouse) -> Mapping[str, Wanted]:
        following = {}
        known = stream_pointers.read_all(warehouse) if self._streams else {}
        for stream in set(self._streams.values()):
            pointers = known.get(stream)
            if pointers is None or pointers.live is None:
                continue
            latest_first = dict.fromkeys(change.fingerprint for change in reversed(pointers.history))
            dual = [fingerprint for fingerprint in latest_first if pointers.roles[fingerprint] == "dual"]
            live, *others = (self._spec(warehouse, fingerprint, stream) for fingerprint in (pointers.live, *dual))
            following[stream] = Wanted(live, tuple(others))
        return following

    def _spec(self, warehouse: Warehouse, fingerprint: str, stream: str) -> EncoderSpec:
        if fingerprint not in self._specs:
            self._specs = self._specs | {spec.fingerprint: spec for spec in registered(warehouse)}
        if fingerprint not in self._specs:
            raise UserError(
                f"An encoder of {stream} has the fingerprint {fingerprint[:12]}, which encoder_v1 does not contain: "
                "register it with `rawless encoder register`."
            )
        refuse_documents(self._specs[fingerprint], f"An encoder with a role in {stream}")
        return self._specs[fingerprint]
