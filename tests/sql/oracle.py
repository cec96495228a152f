"""Snapshots of small random warehouses, computed in plain Python from what the documentation says."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

AS_OF = datetime(2026, 2, 1, tzinfo=UTC)
SCALE = 1_000_000
Fingerprint = Callable[[str], int]
"""FARM_FINGERPRINT, which is given: a hash has no meaning of its own."""
Fact = dict[str, Any]


@dataclass(frozen=True)
class Delivery:
    """One delivery of an event. Times are hours relative to the as-of."""

    event: str
    person: str | None
    origin: str
    occurred: int
    logged: int
    channel: str | None

    @property
    def occurred_at(self) -> datetime:
        return at(self.occurred)

    @property
    def attributes(self) -> list[dict[str, str]]:
        return [{"key": "channel", "value": self.channel}] if self.channel else []


@dataclass
class World:
    """The contents of a warehouse, and a dataset."""

    deliveries: list[Delivery]
    tables: dict[str, list[Fact]]
    """Rows of business tables; times are hours relative to the as-of, None if unknown."""
    erased: dict[str, int]
    """Until which hour deliveries of a pseudonym are erased."""
    persons: dict[str, str]
    """The person of each pseudonym in the subject map."""
    label: str
    label_parameters: dict[str, Any]
    maturity: int
    rules: list[tuple[str, dict[str, Any]]]
    split: dict[str, Any]


@dataclass
class Example:
    """What a snapshot could contain: one event, or two for a pair."""

    example_id: str
    deliveries: list[Delivery]
    persons: list[str | None]
    label: str | None
    removed_by: str | None = None
    splits: list[str] = field(default_factory=list)


def at(hour: int) -> datetime:
    return AS_OF + timedelta(hours=hour)


def kind_of_label(label: str) -> str:
    return {"same_topic": "pair", "churned": "subject"}.get(label, "event")


class Oracle:
    """Computes the snapshot of a world."""

    def __init__(self, world: World, fingerprint: Fingerprint) -> None:
        self.world, self._fingerprint = world, fingerprint
        self.events = self._eligible()
        self.examples = list({"event": self._of_events, "pair": self._of_pairs, "subject": self._of_subjects}[
            kind_of_label(world.label)
        ]())  # fmt: skip
        self.lines = self._lines()

    def _person(self, key: str | None) -> str | None:
        return self.world.persons.get(key, key) if key else None

    def _eligible(self) -> dict[str, Delivery]:
        """Return the delivery that counts of each event: the first, and none of a service once one was ingested."""
        chosen: dict[str, Delivery] = {}
        by_event = defaultdict(list)
        for delivery in self.world.deliveries:
            if delivery.occurred <= 0:
                by_event[delivery.event].append(delivery)
        for event, deliveries in by_event.items():
            ingested = min((each.logged for each in deliveries if each.origin == "ingest"), default=None)
            for origin in ("serving", "ingest"):
                left = [each for each in deliveries if each.origin == origin and not self._is_erased(each)]
                first = min(left, key=lambda each: (each.logged, self._row_hash(each)), default=None)
                superseded = origin == "serving" and ingested is not None and ingested <= 0
                if first and first.logged <= 0 and not superseded:
                    chosen[event] = first
        return chosen

    def _is_erased(self, delivery: Delivery) -> bool:
        until = self.world.erased.get(delivery.person or "")
        return until is not None and min(delivery.occurred, delivery.logged) <= until

    def _row_hash(self, delivery: Delivery) -> int:
        def text(value: str | None) -> str:
            return "-" if value is None else f"{len(value.encode())}:{value}"

        attributes = "".join(text(each["key"]) + text(each["value"]) for each in delivery.attributes)
        micros = int(delivery.occurred_at.timestamp()) * SCALE
        return self._fingerprint(f"{text(delivery.person)}6:minilm5:1.0.0{micros};{attributes}")

    def _facts(self, table: str) -> list[Fact]:
        """Return the rows of a table that were known at the as-of, with persons."""
        rows = [row for row in self.world.tables[table] if row["known"] is not None and row["known"] <= 0]
        return [{**row, "person": self._person(row.get("subject_key"))} for row in rows]

    def _given(self) -> Iterable[tuple[Any, str | None, int]]:
        """Yield key, label and hour of each given label."""
        values, name = self.world.label_parameters, self.world.label
        if name in ("confirmed", "same_topic", "churned"):
            for row in self._facts(name):
                key = {"confirmed": row.get("event_id"), "churned": row["person"]}.get(
                    name, (row.get("left_event_id"), row.get("right_event_id"))
                )
                yield key, row["value"], row["known"]
        elif name == "decision_with_reversal":
            yield from ((row["event_id"], row["decision"], row["known"]) for row in self._facts("decisions"))
            for row in self._facts("reversals"):
                yield row["event_id"], values.get("reversed"), row["known"]
        elif name == "agreement_of_reviewers":
            yield from self._agreements(values["reviewers"])
        else:
            for event, delivery in self.events.items():
                until = delivery.occurred + values["days"] * 24
                person = self._person(delivery.person)
                known = any(
                    person and row["person"] == person and delivery.occurred <= row["known"] < until
                    for row in self._facts("outcomes")
                )
                yield event, "spam" if known else "ham", until

    def _agreements(self, least: int) -> Iterable[tuple[str, str | None, int]]:
        last: dict[tuple[str, str], Fact] = {}
        # Of one time the first in the order of texts counts, of which NULL is before all.
        order = sorted(self._facts("reviews"), key=lambda row: (-row["known"], row["verdict"] or ""))
        for row in order:
            last.setdefault((row["event_id"], row["reviewer"]), row)
        for event in {event for event, _ in last}:
            rows = [row for (other, _), row in last.items() if other == event]
            verdicts = {row["verdict"] for row in rows}
            if len(rows) >= least and len(verdicts) == 1 and None not in verdicts:
                yield event, *verdicts, max(row["known"] for row in rows)

    def _latest(self) -> dict[Any, tuple[str | None, int, str | None]]:
        """Return the latest label of each key with its hour, and why it does not count, if it does not."""
        by_key = defaultdict(list)
        for key, label, hour in self._given():
            if hour <= 0:
                by_key[key].append((hour, label))
        latest = {}
        for key, labels in by_key.items():
            newest = max(hour for hour, _ in labels)
            values = {label for hour, label in labels if hour == newest}
            problem = "labelled" if values == {None} else "unambiguous" if len(values) > 1 else None
            latest[key] = (min((value for value in values if value), default=None), newest, problem)
        return latest

    def _late(self, *deliveries: Delivery) -> str | None:
        return "mature" if max(each.occurred for each in deliveries) > -self.world.maturity else None

    def _of_events(self) -> Iterable[Example]:
        latest = self._latest()
        for event, delivery in self.events.items():
            label, _, problem = latest.get(event, (None, 0, "labelled"))
            yield self._example(event, [delivery], label, problem or self._late(delivery))
        for event in latest.keys() - self.events.keys() - {None}:
            yield self._example(f"no {event}", [], None, "eligible")

    def _of_pairs(self) -> Iterable[Example]:
        for (left, right), (label, _, problem) in self._latest().items():
            ends = [self.events[event] for event in (left, right) if event in self.events]
            if left == right:
                problem = "different_events"
            elif len(ends) < 2:
                problem = "eligible"
            else:
                problem = problem or self._late(*ends)
            yield self._example(json.dumps([left, right], separators=(",", ":")), ends, label, problem)

    def _of_subjects(self) -> Iterable[Example]:
        """Yield an example for each label of each person; an event is that of the first label that counts."""
        window = self.world.label_parameters["window"] * 24
        by_event: dict[str, list[tuple[bool, int, Example]]] = defaultdict(list)
        for person, hour, label, problem in self._labels_of_persons():
            events = [
                each
                for each in self.events.values()
                if person and self._person(each.person) == person and hour - window < each.occurred <= hour
            ]
            last = min(events, key=lambda each: (-each.occurred, each.event), default=None)
            if last is None:
                yield self._example(f"nothing of {person} at {hour}", [], label, "event_in_window")
                continue
            example = self._example(last.event, [last], label, problem or self._late(last))
            by_event[last.event].append((example.removed_by is not None, hour, example))
        for labelled in by_event.values():
            (*_, first), *others = sorted(labelled, key=lambda each: each[:2])
            yield first
            for _, hour, other in others:
                other.example_id = f"{other.example_id} at {hour}"
                other.removed_by = other.removed_by or "first_label_of_event"
                yield other

    def _labels_of_persons(self) -> Iterable[tuple[str | None, int, str | None, str | None]]:
        """Yield person, hour, label and problem; a label that is withdrawn by the next one takes that one with it."""
        times: dict[str | None, dict[int, set[str | None]]] = defaultdict(lambda: defaultdict(set))
        for person, label, hour in self._given():
            if hour <= 0:
                times[person][hour].add(label)
        for person, by_hour in times.items():
            hours = sorted(by_hour)
            for place, hour in enumerate(hours):
                values = by_hour[hour]
                following = by_hour[hours[place + 1]] if place + 1 < len(hours) else set()
                if values == {None} and place:
                    continue
                problem = "labelled" if {None} in (values, following) else "unambiguous" if len(values) > 1 else None
                yield person, hour, min((value for value in values if value), default=None), problem

    def _example(self, name: str, deliveries: list[Delivery], label: str | None, problem: str | None) -> Example:
        return Example(name, deliveries, [self._person(each.person) for each in deliveries], label, problem)

    def _lines(self) -> list[tuple[str, int]]:
        """Return the ledger: the examples that each line removed. Marks the examples on the way."""
        kind, split = kind_of_label(self.world.label), self.world.split
        first = {
            "event": ("eligible",),
            "pair": ("different_events", "eligible"),
            "subject": ("event_in_window",),
        }[kind]
        names = [*first, "labelled", "unambiguous", "mature", *(["first_label_of_event"] if kind == "subject" else [])]
        lines = [(name, sum(each.removed_by == name for each in self.examples)) for name in names]
        for name, values in self.world.rules:
            lines.append((name, self._apply(name, values)))
        if split.get("without_subject") == "drop":
            lines.append(("without_subject", self._remove("without_subject", lambda each: None in each.persons)))
        if split.get("gap"):
            bounds = [split["validation_from"], split["test_from"]]
            is_close = lambda each: any(  # noqa: E731
                bound - split["gap"] <= delivery.occurred < bound for delivery in each.deliveries for bound in bounds
            )
            lines.append(("gap", self._remove("gap", is_close)))
        for each in self.left():
            pairs = zip(each.deliveries, each.persons, strict=True)
            each.splits = [self._split(delivery, person) for delivery, person in pairs]
        if kind == "pair":
            lines.append(("split_pairs", self._remove("split_pairs", lambda each: len(set(each.splits)) > 1)))
        return lines

    def left(self) -> list[Example]:
        """Return the examples that no line has removed."""
        return [each for each in self.examples if each.removed_by is None]

    def _remove(self, name: str, condition: Callable[[Example], bool]) -> int:
        removed = [each for each in self.left() if condition(each)]
        for each in removed:
            each.removed_by = name
        return len(removed)

    def _split(self, delivery: Delivery, person: str | None) -> str:
        split = self.world.split
        if split["by"] == "time":
            if delivery.occurred >= split["test_from"]:
                return "test"
            return "validation" if delivery.occurred >= split["validation_from"] else "train"
        bucket = self._share(f"{split['salt']}:{person or f'event:{delivery.event}'}")
        return "train" if bucket < 0.6 else "validation" if bucket < 0.6 + 0.2 else "test"

    def _share(self, text: str) -> float:
        return self._fingerprint(text) % SCALE / SCALE

    def _apply(self, name: str, values: dict[str, Any]) -> int:
        """Remove what a rule removes: all examples with an event that it does not keep."""
        without = {"require_consent": "drop"}.get(name, "keep")
        if name in ("attribute_in", "occurred_within", "sample"):
            without = "judge"
        rows = [
            (each.example_id, delivery, person, each.label)
            for each in self.left()
            for delivery, person in zip(each.deliveries, each.persons, strict=True)
        ]
        kept = set(getattr(self, f"_{name}")(rows, **values))

        def is_removed(each: Example) -> bool:
            for delivery, person in zip(each.deliveries, each.persons, strict=True):
                is_kept = (each.example_id, delivery.event) in kept
                if without == "keep" and person is not None and not is_kept:
                    return True
                if without == "drop" and (person is None or not is_kept):
                    return True
                if without == "judge" and not is_kept:
                    return True
            return False

        return self._remove(name, is_removed)

    def _latest_of(self, table: str | None) -> dict[str, int]:
        """Return the last hour of each person in a table."""
        hours: dict[str, int] = {}
        for row in self._facts(table) if table else ():
            if row["person"]:
                hours[row["person"]] = max(row["known"], hours.get(row["person"], row["known"]))
        return hours

    # The rules, each as the (example, event) that it keeps among rows of example, delivery, person and label.

    def _attribute_in(self, rows: Sequence[Any], attribute: str, values: list[str]) -> Iterable[tuple[str, str]]:
        return [(name, each.event) for name, each, *_ in rows if each.channel in values]

    def _cap_per_subject(self, rows: Sequence[Any], events: int, salt: str) -> Iterable[tuple[str, str]]:
        by_person = defaultdict(list)
        for name, each, person, _ in rows:
            by_person[person].append((self._fingerprint(f"{salt}:{each.event}"), each.event, name))
        return [(name, event) for ranked in by_person.values() for _, event, name in sorted(ranked)[:events]]

    def _exclude_closed_accounts(
        self, rows: Sequence[Any], closed: str = "account_closed", reopened: str | None = None
    ) -> Iterable[tuple[str, str]]:
        closures, openings = self._latest_of(closed), self._latest_of(reopened)
        return [
            (name, each.event)
            for name, each, person, _ in rows
            if person not in closures or openings.get(person, closures[person]) > closures[person]
        ]

    def _exclude_subjects(self, rows: Sequence[Any], subjects: str) -> Iterable[tuple[str, str]]:
        excluded = self._latest_of(subjects)
        return [(name, each.event) for name, each, person, _ in rows if person not in excluded]

    def _occurred_within(self, rows: Sequence[Any], days: int) -> Iterable[tuple[str, str]]:
        return [(name, each.event) for name, each, *_ in rows if each.occurred >= -24 * days]

    def _one_label_only(self, rows: Sequence[Any]) -> Iterable[tuple[str, str]]:
        labels = defaultdict(set)
        for _, _, person, label in rows:
            labels[person].add(label)
        return [(name, each.event) for name, each, person, _ in rows if person and len(labels[person]) == 1]

    def _require_consent(
        self, rows: Sequence[Any], given: str = "consent_given", withdrawn: str | None = None
    ) -> Iterable[tuple[str, str]]:
        consents, withdrawals = self._latest_of(given), self._latest_of(withdrawn)
        return [
            (name, each.event)
            for name, each, person, _ in rows
            if person in consents and withdrawals.get(person, consents[person] - 1) < consents[person]
        ]

    def _sample(self, rows: Sequence[Any], share: float, salt: str) -> Iterable[tuple[str, str]]:
        return [(name, each.event) for name, each, *_ in rows if self._share(f"{salt}:{name}") < share]
