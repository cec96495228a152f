"""The page about scale and cost is up to date, and its figures follow from the published prices."""

import re

import pytest

from benchmarks import capacity, scale
from benchmarks.capacity import GIB, KINDS, LOADS, RATES, Worker, assumed, worker
from rawless.datasets import cost
from rawless.warehouse.tables import table


def test_the_page_is_up_to_date() -> None:
    assert scale.PAGE.read_text() == scale.page()


def test_the_deployment_page_has_the_cost_at_rest() -> None:
    page = (scale.PAGE.parent / "deploy.md").read_text()

    assert scale.at_rest().split("\n\n", 1)[1] in page


def test_the_cost_at_rest_is_that_of_terraforms_services() -> None:
    variables = (scale.PAGE.parent.parent / "terraform" / "serving" / "variables.tf").read_text()
    sizes = re.findall(r'cpu = "(\d+)", memory = "(\d+)Gi", min = (\d+)', variables)

    assert assumed("service_cpus") == sum(int(cpu) * int(minimum) for cpu, _, minimum in sizes)
    assert assumed("service_memory") == sum(int(memory) * int(minimum) for _, memory, minimum in sizes)


def test_a_sync_of_the_subject_map_is_linear_in_its_customers() -> None:
    assert capacity.sync_bytes(0, 10**8, 10**8) == 100 * capacity.sync_bytes(0, 10**6, 10**6)


def test_inline_images_cost_the_published_price_of_publishing_and_delivering() -> None:
    """Pub/Sub costs 40 dollars a TiB each way: 7.45 for a million messages of 100 KiB."""
    engine = 102_400 * 1e6 / 1e9 * capacity.price("streaming_engine")

    assert capacity.inline(102_400) - engine == pytest.approx(7.45, abs=0.005)


def test_a_claim_check_is_cheaper_from_the_break_even_size_on() -> None:
    size = capacity.break_even()

    assert capacity.claim_check(size) < capacity.inline(size)
    assert capacity.claim_check(size - 1024) >= capacity.inline(size - 1024)


def test_a_scan_costs_the_same_as_in_the_page_about_snapshots() -> None:
    names = [column.name for column in table("embedding_event_v1").columns]
    read = 1_000_000 * sum(cost.column_bytes(name, 2048) for name in names)

    assert capacity.row_bytes(2048) * 1_000_000 == read
    assert capacity.price("bigquery_scan") == cost.PRICE_PER_TIB
    assert read / GIB * capacity.price("bigquery_storage") == pytest.approx(0.31, abs=0.005)


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.encoder)
def test_only_the_cpu_is_marked_as_measured(load: capacity.Load) -> None:
    page = scale.page()

    for kind in KINDS:
        estimate = worker(kind, load)
        prefix = f"| {load.encoder} | {kind} |"
        (line,) = [line for line in page.splitlines() if line.startswith(prefix) and "its" in line]
        assert line.endswith(
            "| measured |" if kind == "CPU" else f"ASSUMPTION: {estimate.ratio:.0f} times the measured two cores |"
        )


def test_the_cost_is_that_of_whole_workers() -> None:
    """At a small rate one worker is paid for, however idle it is."""
    small = Worker("L4", LOADS[0], 1.0, model=1000.0, host=2000.0)

    assert small.throughput == 1000 * assumed("busy")
    assert [small.workers_for(rate) for rate in RATES] == [1, 13, 1250]
    assert small.dollars(100) == pytest.approx(1.01 / (100 * 3600) * 1e6)
    assert small.bottleneck == "its GPU"


def test_every_figure_names_its_source() -> None:
    for kind, group in capacity.figures().items():
        for name, figure in group.items():
            assert {"value", "unit", "of", "source"} <= set(figure), name
            assert kind == "assumed" or figure["source"].startswith("cloud.google.com/"), name
