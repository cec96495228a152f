"""The page of scale and cost is what its script says, and its arithmetic is that of the published prices."""

import re

import pytest

from benchmarks import capacity, scale
from benchmarks.capacity import GIB, KINDS, LOADS, RATES, Worker, assumed, worker
from rawless.datasets import cost


def test_the_page_is_what_the_script_writes() -> None:
    assert scale.PAGE.read_text() == scale.page()


def test_the_readme_says_what_each_part_costs_at_rest() -> None:
    readme = (scale.PAGE.parent.parent / "README.md").read_text()

    assert scale.at_rest().split("\n\n", 1)[1] in readme


def test_what_rests_is_what_terraform_makes() -> None:
    variables = (scale.PAGE.parent.parent / "terraform" / "serving" / "variables.tf").read_text()
    sizes = re.findall(r'cpu = "(\d+)", memory = "(\d+)Gi", min = (\d+)', variables)

    assert assumed("service_cpus") == sum(int(cpu) * int(least) for cpu, _, least in sizes)
    assert assumed("service_memory") == sum(int(memory) * int(least) for _, memory, least in sizes)


def test_inline_pictures_cost_what_is_published_both_ways() -> None:
    """Pub/Sub at 40 dollars a TiB each way: 7.45 a million of 100 KiB; the rest is Streaming Engine's."""
    engine = 102_400 * 1e6 / 1e9 * capacity.price("streaming_engine")

    assert capacity.inline(102_400) - engine == pytest.approx(7.45, abs=0.005)


def test_a_claim_check_is_cheaper_from_the_crossing_on() -> None:
    at = capacity.crossing()

    assert capacity.claim_check(at) < capacity.inline(at)
    assert capacity.claim_check(at - 1024) >= capacity.inline(at - 1024)


def test_a_scan_costs_what_reading_a_snapshot_is_told_to() -> None:
    read = cost.reading(1_000_000, 2048).vectors

    assert capacity.row_bytes(2048) * 1_000_000 == read
    assert capacity.price("bigquery_scan") == cost.PRICE_PER_TIB
    assert read / GIB * capacity.price("bigquery_storage") == pytest.approx(0.31, abs=0.005)


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.encoder)
def test_only_the_cpu_stands_as_measured(load: capacity.Load) -> None:
    page = scale.page()

    for kind in KINDS:
        found = worker(kind, load)
        (line,) = [
            each for each in page.splitlines() if each.startswith(f"| {load.encoder} | {kind} |") and "its" in each
        ]
        assert line.endswith(
            "| measured |" if kind == "CPU" else f"ASSUMPTION: {found.ratio:.0f} times the measured two cores |"
        )


def test_workers_and_dollars_are_of_whole_workers() -> None:
    """At a small rate one worker is paid for, however little it does."""
    small = Worker("L4", LOADS[0], 1.0, model=1000.0, host=2000.0)

    assert small.carries == 1000 * assumed("busy")
    assert [small.needed(rate) for rate in RATES] == [1, 13, 1250]
    assert small.dollars(100) == pytest.approx(1.01 / (100 * 3600) * 1e6)
    assert small.bound == "its GPU"


def test_every_figure_names_its_source() -> None:
    for kind, group in capacity.figures().items():
        for name, each in group.items():
            assert {"value", "unit", "of", "source"} <= set(each), name
            assert kind == "assumed" or each["source"].startswith("cloud.google.com/"), name
