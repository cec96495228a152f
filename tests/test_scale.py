"""The page about scale and cost is up to date, and its figures follow from the published prices."""

import math
import re

import pytest
import torch

from benchmarks import capacity, ceilings, scale
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

    assert cost.row_bytes(2048) * 1_000_000 == read
    assert capacity.price("bigquery_scan") == cost.PRICE_PER_TIB
    assert capacity.price("bigquery_storage") == cost.STORAGE_PER_GIB_MONTH
    assert capacity.price("bigquery_write") == cost.WRITE_PER_GIB
    assert capacity.price("cpu_worker") == cost.CPU_WORKER_PER_HOUR
    assert read / GIB * capacity.price("bigquery_storage") == pytest.approx(0.31, abs=0.005)


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.encoder)
def test_only_the_cpu_is_marked_as_measured(load: capacity.Load) -> None:
    page = scale.page()

    for kind in KINDS:
        estimate = worker(kind, load)
        prefix = f"| {load.encoder} | {kind} |"
        (line,) = [line for line in page.splitlines() if line.startswith(prefix) and "its" in line]
        assert line.endswith("| measured |" if kind == "CPU" else "ASSUMPTION: 40% of the ceiling |")
        assert kind == "CPU" or f"| {estimate.ceiling:,.0f} |" in line


def test_no_gpu_is_said_to_exceed_what_its_memory_or_arithmetic_allows() -> None:
    """ResNet-50 in fp32 moves about 330 MB an image: an L4, of 300 GB a second, does about 900."""
    most, limit = capacity.ceiling("L4", LOADS[1], "fp32")
    folded, _ = capacity.ceiling("L4", LOADS[1], "fp32, folded")
    half, _ = capacity.ceiling("L4", LOADS[1], "fp16, folded")

    assert limit == "memory"
    assert 880 < most < 910
    assert 1_200 < folded < 1_250
    assert 2 * most < half < 3 * most
    assert worker("L4", LOADS[1]).model < most


def test_bytes_and_operations_of_a_network_are_counted_as_by_hand() -> None:
    """A convolution of 8 by 8 pixels, its normalisation, and an activation in place, in fp32."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4), torch.nn.ReLU(inplace=True)).eval()

    found = ceilings.count_network(network, (torch.zeros(1, 3, 8, 8),), "fp32")

    pixels = 8 * 8 * 4
    assert found.activations == (3 + 4) * pixels + 2 * 4 * pixels + 2 * 4 * pixels
    assert found.operations == 2 * 3 * 4 * 8 * 8
    assert found.weights == 4 * (3 * 4 + 4 + 4 * 4) + 8  # and the number of batches


def test_the_cost_is_that_of_whole_workers() -> None:
    """At a small rate one worker is paid for, however idle it is."""
    small = Worker("L4", LOADS[0], 3000.0, model=1000.0, host=2000.0)

    assert small.throughput == 1000 * assumed("busy")
    assert [small.workers_for(rate) for rate in RATES] == [1, 13, 1250]
    assert small.dollars(100) == pytest.approx(1.01 / (100 * 3600) * 1e6)
    assert small.bottleneck == "its GPU"


@pytest.mark.parametrize("backfill", [*scale.backfills()], ids=lambda each: f"{each.source} {each.kind}")
def test_a_backfill_has_the_fewest_workers_that_end_before_the_session(backfill: capacity.Backfill) -> None:
    throughput = worker(backfill.kind, backfill.load).throughput

    def hours(workers: int) -> float:
        return math.ceil(backfill.splits / workers) * (backfill.events / backfill.splits / throughput) / 3600

    assert hours(backfill.workers) == pytest.approx(backfill.hours)
    assert backfill.hours <= 6 < hours(backfill.workers - 1)
    worked = backfill.events / throughput / 3600
    assert backfill.worker_dollars > 0.999 * worked * capacity.price(f"{backfill.kind.lower()}_worker")


def test_every_figure_names_its_source() -> None:
    for kind, group in capacity.figures().items():
        for name, figure in group.items():
            assert {"value", "unit", "of", "source"} <= set(figure), name
            assert kind in ("assumed", "published") or figure["source"].startswith("cloud.google.com/"), name
