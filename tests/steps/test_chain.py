"""A chain runs bundles through steps as Beam would."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

from rawless.steps.chain import Chain
from rawless.steps.meter import NoMeter
from rawless.steps.step import Step
from rawless.warehouse.rows import RejectionRow


def _rejection(message_id: str) -> RejectionRow:
    return RejectionRow("s", None, None, None, message_id, "parse", "internal", "0", None, datetime.now(UTC))


class Keeps(Step[Any, Any]):
    """Keeps elements until the end of the bundle, then yields them under its name, or rejects those named so."""

    output: ClassVar[type[Any]] = str

    def __init__(self, name: str, *, yields: bool = True) -> None:
        self._name, self._yields, self.bundles = name, yields, list[list[Any]]()

    def setup(self, meter: Any) -> None:
        self.bundles = []

    def start(self) -> None:
        self.bundles.append([])

    def process(self, element: Any) -> Iterator[Any]:
        self.bundles[-1].append(element)
        yield from ()

    def finish(self) -> Iterator[Any]:
        for element in self.bundles[-1] if self._yields else ():
            yield _rejection(f"{self._name}:{element}") if str(element).endswith(self._name) else element


def test_elements_and_rejections_of_every_step_are_passed_on_within_the_bundle() -> None:
    first, second, sink = Keeps("a"), Keeps("b"), Keeps("rejections", yields=False)
    chain = Chain([first, second], sink)
    chain.setup(NoMeter())

    chain.run(["1a", "2b", "3"])
    chain.run(["4"])

    assert second.bundles == [["2b", "3"], ["4"]]
    assert [[row.message_id for row in bundle] for bundle in sink.bundles] == [["a:1a", "b:2b"], []]
