"""The page about scale and cost is up to date, and its figures follow from the published prices."""

import io
import json
import math
import re

import pytest
import torch
from PIL import Image

from benchmarks import capacity, ceilings, scale, scale_limits
from benchmarks.capacity import (
    DRAFTS,
    IMAGES,
    KINDS,
    LARGER,
    LOADS,
    MACHINES,
    PHOTOGRAPHS,
    RATES,
    TEXTS,
    Worker,
    worker,
)
from benchmarks.decoding import SIZE
from benchmarks.known import Basis, Known
from benchmarks.preparing import photograph_of_12_megapixels
from benchmarks.report import RESULTS
from rawless.datasets import cost
from rawless.datasets.cost import GIB
from rawless.warehouse.tables import table

TERRAFORM = scale.PAGE.parent.parent / "terraform"
LABELS = {
    "events",
    "encoder",
    "worker",
    "decoder",
    "machine",
    "precision",
    "payload",
    "dimension",
    "customers",
    "source",
}
LABELS |= {"disk of a worker", "quota", "part", "what"}
"""The columns of what is asked, in which a number is no figure."""
MARKED = re.compile(r"\d[\d,.]*(%| [KMGT]?B)?(/s)?[ᵐᵖᶜᵃ]")


def test_the_page_is_up_to_date() -> None:
    assert scale.PAGE.read_text() == scale.page()


def test_the_deployment_page_has_the_cost_at_rest() -> None:
    assert scale.DEPLOYMENT.read_text() == scale.deployment_page()


def test_every_figure_in_a_table_says_what_it_rests_on() -> None:
    columns: list[str] = []
    for line in scale.page().partition("\n## Sources")[0].splitlines():
        if not line.startswith("|"):
            columns = []
        elif not columns:
            columns = line.strip("| ").split(" | ")
        else:
            for column, cell in zip(columns, line.strip("| ").split(" | "), strict=True):
                assert column in LABELS or not re.search(r"\d", MARKED.sub("", cell)), line


def test_every_figure_names_its_source() -> None:
    for kind, group in capacity.figures().items():
        for name, figure in group.items():
            assert {"value", "unit", "of", "source"} <= set(figure), name
            assert kind not in ("prices", "limits") or figure["source"].startswith("cloud.google.com/"), name
            assert re.fullmatch(r"20\d\d-\d\d", figure.get("looked_up", "2026-11")), name


def test_a_price_that_was_never_looked_up_counts_as_assumed() -> None:
    assert "looked_up" not in capacity.figures()["prices"]["disk_ssd"]
    assert capacity.price("disk_ssd").basis is Basis.ASSUMED
    assert capacity.price("vcpu").basis is Basis.PUBLISHED


@pytest.mark.parametrize(
    ("setting", "file", "pattern"),
    [
        ("disk", "design/variables.tf", r"disk_size_gb += optional\(number, (\d+)\)"),
        ("busy", "design/variables.tf", r"utilization_hint += optional\(number, ([\d.]+)\)"),
        ("log_days", "design/retention.tf", r"log_days += (\d+)"),
    ],
)
def test_a_setting_is_that_of_terraform(setting: str, file: str, pattern: str) -> None:
    found = re.findall(pattern, (TERRAFORM / file).read_text())

    assert {float(each) for each in found} <= {capacity.setting(setting)}


def test_the_machine_with_an_l4_is_terraforms_default() -> None:
    default = re.search(
        r'\n +machine_type += optional\(string, "(.+)"\)', (TERRAFORM / "design/variables.tf").read_text()
    )

    assert default is not None
    assert default[1] == MACHINES["L4"].name == LARGER[0].name


def test_the_cost_at_rest_is_that_of_terraforms_services() -> None:
    variables = (TERRAFORM / "serving" / "variables.tf").read_text()
    sizes = re.findall(r'cpu = "(\d+)", memory = "(\d+)Gi", min = (\d+)', variables)

    assert capacity.setting("service_cpus") == sum(int(cpu) * int(minimum) for cpu, _, minimum in sizes)
    assert capacity.setting("service_memory") == sum(int(memory) * int(minimum) for _, memory, minimum in sizes)


def test_the_price_of_a_worker_is_that_of_its_parts() -> None:
    """Google's pages give 0.749 dollars an hour for n1-standard-4 with a T4, and 1.005 for g2-standard-4, by parts."""
    disk = capacity.setting("disk")

    assert float(MACHINES["T4"].hourly() - disk * capacity.price("disk")) == pytest.approx(0.749, abs=0.001)
    assert float(MACHINES["L4"].hourly() - disk * capacity.price("disk_ssd")) == pytest.approx(1.005, abs=0.001)
    assert float(MACHINES["CPU"].hourly() - disk * capacity.price("disk")) == pytest.approx(
        cost.CPU_WORKER_PER_HOUR, abs=0.001
    )
    assert MACHINES["CPU"].hourly(is_batch=True) < MACHINES["CPU"].hourly()


def test_a_sync_of_the_subject_map_is_linear_in_its_customers() -> None:
    assert capacity.sync_bytes(0, 10**8, 10**8) == 100 * capacity.sync_bytes(0, 10**6, 10**6)


def test_inline_images_cost_the_published_price_of_publishing_and_delivering() -> None:
    """Pub/Sub costs 40 dollars a TiB each way: 7.45 for a million messages of 100 KiB."""
    assert float(capacity.inline(102_400) - capacity.engine(102_400)) == pytest.approx(7.45, abs=0.005)


def test_compute_units_cost_a_fraction_of_the_data_processed() -> None:
    """58 units at 0.089 dollars for the 3,600 GiB of an hour, against 0.018 for each GiB."""
    million = 102_400 * 1e6 / GIB

    assert float(capacity.engine(102_400)) == pytest.approx(58 * 0.089 / 3600 * million)
    assert float(capacity.engine(102_400, at_least_once=False)) == pytest.approx(0.018 * million)


def test_a_claim_check_is_cheaper_from_the_break_even_size_on() -> None:
    size = float(capacity.break_even())

    assert capacity.claim_check(size) < capacity.inline(size)
    assert not capacity.claim_check(size - 1024) < capacity.inline(size - 1024)


def test_a_scan_costs_the_same_as_in_the_page_about_snapshots() -> None:
    names = [column.name for column in table("embedding_event_v1").columns]
    read = 1_000_000 * sum(cost.column_bytes(name, 2048) for name in names)

    assert cost.row_bytes(2048) * 1_000_000 == read
    assert capacity.price("bigquery_scan") == cost.PRICE_PER_TIB
    assert capacity.price("bigquery_storage") == cost.STORAGE_PER_GIB_MONTH
    assert capacity.price("bigquery_write") == cost.WRITE_PER_GIB
    assert read / GIB * float(capacity.price("bigquery_storage")) == pytest.approx(0.31, abs=0.005)


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)
def test_no_throughput_of_a_gpu_is_marked_as_measured(load: capacity.Load) -> None:
    assert worker("CPU", load).throughput.basis is Basis.MEASURED
    for kind in ("T4", "L4"):
        assert worker(kind, load).throughput.basis is Basis.ASSUMED
        assert capacity.ceiling(kind, load, "fp32")[0].basis is Basis.CEILING


def test_no_gpu_is_said_to_exceed_what_its_memory_or_arithmetic_allows() -> None:
    """ResNet-50 in fp32, folded, moves about 240 MB an image: an L4, of 300 GB a second, does about 1,240."""
    most, limit = capacity.ceiling("L4", IMAGES, "fp32")
    half, _ = capacity.ceiling("L4", IMAGES, "fp16")

    assert limit == "memory"
    assert 1_220 < float(most) < 1_260
    assert 1.5 * float(most) < float(half) < 2.5 * float(most)
    assert worker("L4", IMAGES).model < most


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
    model, cores = Known(1000.0, Basis.ASSUMED), Known(2000.0, Basis.MEASURED)
    small = Worker(MACHINES["L4"], TEXTS, model, cores, cores)

    assert small.throughput == 1000 * capacity.setting("busy")
    assert [float(small.workers_for(rate)) for rate in RATES] == [1, 2, 13]
    assert float(small.dollars(100)) == pytest.approx(float(MACHINES["L4"].hourly()) / (100 * 3600) * 1e6)
    assert small.bottleneck == "its GPU"


def test_a_photograph_is_as_large_as_those_of_phones() -> None:
    """About 4 MB, which an enlarged picture without detail would not have."""
    content = photograph_of_12_megapixels()

    assert Image.open(io.BytesIO(content)).size == SIZE
    assert 3_500_000 < len(content) < 5_500_000


def test_a_job_logs_nothing_for_an_event() -> None:
    assert capacity.measured("preparing", "logs", "for an event") == 0


@pytest.mark.parametrize("part", ["preparing", "throughput", "worker"])
def test_results_are_of_a_machine_with_as_many_cores_as_a_cpu_worker(part: str) -> None:
    machine = json.loads((RESULTS / f"{part}.json").read_text())["machine"]

    assert f" {capacity.MEASURED_CORES} cores," in machine
    assert MACHINES["CPU"].cpus == capacity.MEASURED_CORES


def test_photographs_are_limited_by_the_cores_that_decode_them() -> None:
    for kind in ("T4", "L4"):
        assert worker(kind, PHOTOGRAPHS).bottleneck == worker(kind, DRAFTS).bottleneck == "its cores"
    speeds = [float(worker(machine, PHOTOGRAPHS).throughput) for machine in LARGER]
    assert speeds[-1] == pytest.approx(4 * speeds[0])


def test_half_precision_never_costs_more_and_makes_images_cheaper() -> None:
    def dollars(machine: capacity.Machine, load: capacity.Load, precision: capacity.Precision) -> float:
        return float(worker(machine, load, precision).lowest_dollars)

    small, large = LARGER[:2]
    assert min(dollars(each, IMAGES, "fp16") for each in (small, large)) < dollars(small, IMAGES, "fp32")
    assert dollars(small, TEXTS, "fp16") <= dollars(small, TEXTS, "fp32")


def test_photographs_cost_their_decoding_and_inline_images_their_messages() -> None:
    for load in (IMAGES, PHOTOGRAPHS, DRAFTS):
        workers = min(float(worker(kind, load).dollars(1_000)) for kind in KINDS)
        assert (workers > float(capacity.transfer(load))) is (load is not IMAGES)


def test_a_region_takes_89_000_texts_or_18_000_images_a_second() -> None:
    """300 MB a second through the Storage Write API, whose quota in a multi-region is ten times that."""
    assert float(capacity.limit_rates(TEXTS)["write"]) == pytest.approx(89_000, rel=0.01)
    assert float(capacity.limit_rates(IMAGES)["write"]) == pytest.approx(18_000, rel=0.01)
    for load in (TEXTS, IMAGES):
        assert next(iter(capacity.limit_rates(load))) == "write"


@pytest.mark.parametrize(
    ("quota", "raised"),
    [
        ("NVIDIA_L4_GPUS", [TEXTS.name, IMAGES.name]),
        ("`CPUS`", [load.name for load in LOADS]),
        ("concurrent connections", [PHOTOGRAPHS.name, DRAFTS.name]),
        ("append_bytes_region", []),
        ("subscribers', in a large region", []),
        ("subscribers', in a medium region", [IMAGES.name]),
        ("google_egress_bandwidth", [PHOTOGRAPHS.name, DRAFTS.name]),
    ],
)
def test_the_page_says_which_quotas_10_000_events_a_second_need(quota: str, raised: list[str]) -> None:
    (row,) = [line for line in scale.page().splitlines() if line.startswith("|") and quota in line]
    cells = row.strip("| ").split(" | ")[2:]

    assert [load.name for load, cell in zip(LOADS, cells, strict=True) if "raise" in cell] == raised


@pytest.mark.parametrize("backfill", [*scale_limits.backfills()], ids=lambda each: f"{each.source} {each.kind}")
def test_a_backfill_has_the_fewest_workers_that_end_before_the_session(backfill: capacity.Backfill) -> None:
    throughput = float(worker(backfill.kind, backfill.load, is_batch=True).throughput)
    splits, workers = float(backfill.splits), math.ceil(backfill.workers)

    def hours(workers: int) -> float:
        return math.ceil(splits / workers) * (backfill.events / splits / throughput) / 3600

    assert hours(workers) == pytest.approx(float(backfill.hours))
    assert hours(workers) <= 6
    assert workers == 1 or hours(workers - 1) > 6
    worked = backfill.events / throughput / 3600
    assert float(backfill.worker_dollars) > 0.999 * worked * float(MACHINES[backfill.kind].hourly(is_batch=True))
