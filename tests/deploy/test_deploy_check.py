"""`rawless deploy check`, with the variables of a deployment that shares no name with the example."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawless.cli.main import run
from rawless.deploy import configuration, quotas
from rawless.deploy.check import check_image
from rawless.deploy.image import ImageContents, Package
from rawless.deploy.job_file import parse_job_file
from rawless.doctor.finding import Finding
from rawless.doctor.requirements import JobRequirements
from rawless.warehouse.config import WarehouseConfig

ROOT = Path(__file__).parent.parent.parent
TERRAFORM = ROOT / "terraform"
BOOTSTRAP = TERRAFORM / "bootstrap" / "example.tfvars"
STREAM = "stream: ticket\nmodality: text\nencoders: [minilm@1.0.0]\nevent_id: uuid\nsubject: required\n"
OWN_NAMES = {
    "acme-": "shop-",
    "acme.example": "shop.example",
    "europe-west4": "europe-west1",
    "123456789": "987654321",
    "C0abc123d": "C0xyz987w",
    "terraform@": "applier@",
    "delivery@": "starter@",
    "data-scientists@": "analysts@",
    "privacy-office@": "dpo@",
    'attestor ': 'prefix = "emb"\nattestor ',
}  # fmt: skip
"""What another company writes instead of the names in example.tfvars."""
IMAGE = ImageContents((Package("torch", "2.13.0", 1),))
Deployment = Callable[..., Path]
Check = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """Write the variables of a deployment with one stream and without services, and return the file of all roots."""

    def write(stream: str = STREAM, **changed: str) -> Path:
        (tmp_path / "ticket.yaml").write_text(stream, encoding="utf-8")
        text = (TERRAFORM / "example.tfvars").read_text(encoding="utf-8")
        before, rest = text.split("streams = {\n")
        after = rest.split("\n}\n", 1)[1]
        kept = [line for line in after.splitlines() if not line.startswith(("service_file", "callers"))]
        text = "\n".join([before, *kept])
        bootstrap = BOOTSTRAP.read_text(encoding="utf-8")
        for name, own in OWN_NAMES.items():
            assert name in text + bootstrap
            text, bootstrap = text.replace(name, own), bootstrap.replace(name, own)
        (tmp_path / "bootstrap.tfvars").write_text(bootstrap, encoding="utf-8")
        publishers = changed.pop("publishers", '"serviceAccount:desk@shop-front.iam.gserviceaccount.com"')
        fields = "\n".join(f"    {name} = {value}" for name, value in changed.items())
        text += f"""
streams = {{
  ticket = {{
    file = "{tmp_path / "ticket.yaml"}"
    accelerator = ""
    machine_type = "n2-standard-4"
    publishers = [{publishers}]
{fields}
  }}
}}
"""
        path = tmp_path / "own.tfvars"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def check(capfd: pytest.CaptureFixture[str]) -> Check:
    """Run the command with --json, and return its exit code and what it found."""

    def look(variables: Path, *options: str) -> tuple[int, list[dict[str, Any]]]:
        capfd.readouterr()
        bootstrap = variables.with_name("bootstrap.tfvars")
        files = ["--vars", str(variables), "--bootstrap-vars", str(bootstrap), "--terraform", str(TERRAFORM)]
        code = run(["deploy", "check", *files, "--json", *options])
        return code, json.loads(capfd.readouterr().out)

    return look


@pytest.mark.full
def test_a_deployment_with_names_of_its_own_passes_every_check(deployment: Deployment, check: Check) -> None:
    code, found = check(deployment())

    assert [each for each in found if not each["ok"]] == []
    assert code == 0
    assert {
        "plan",
        "grants",
        "policies",
        "perimeters",
        "jobs",
        "second plan",
        "job file",
        "stream file",
        "encoder",
    } <= {each["check"] for each in found}


@pytest.mark.full
def test_what_is_wrong_with_a_deployment_is_found_in_one_run(
    deployment: Deployment, check: Check, tmp_path: Path
) -> None:
    quota_file = tmp_path / "region.json"
    quota = {"metric": "CPUS", "limit": 8.0, "usage": 0.0}
    quota_file.write_text(json.dumps({"kind": "compute#region", "name": "europe-west1", "quotas": [quota]}))
    unsealed = STREAM.replace("ticket\nmodality: text", "ticket\nmodality: image").replace("minilm", "resnet50")

    code, found = check(deployment(unsealed, utilization_hint="0.125"), "--quotas", str(quota_file))

    failed = {each["check"]: each["detail"] for each in found if not each["ok"]}
    assert code == 3
    assert "the template's pattern for dataflow_service_options refuses" in failed["jobs"]
    assert failed["encoder"].startswith("ticket: The encoder resnet50@1.0.0 is not sealed: seal it on a machine")
    assert failed["quota"] == "The quota CPUS in europe-west1 is 8 with 0 used, but the job may need 16 more."
    assert failed.keys() == {"jobs", "encoder", "quota"}


@pytest.mark.full
def test_a_deployment_that_terraform_refuses_fails_with_its_message(deployment: Deployment, check: Check) -> None:
    code, found = check(deployment(min_workers='"many"'))

    (plan,) = found
    assert code == 3
    assert (plan["check"], plan["ok"]) == ("plan", False)
    assert "a number is required" in plan["detail"]


def _refusal(capfd: pytest.CaptureFixture[str], *arguments: str, bootstrap: Path = BOOTSTRAP) -> str:
    capfd.readouterr()
    code = run(["deploy", "check", "--bootstrap-vars", str(bootstrap), *arguments])
    printed, message = capfd.readouterr()
    assert (code, printed) == (2, "")
    return message


def test_variables_that_do_not_exist_are_the_users_mistake(capfd: pytest.CaptureFixture[str]) -> None:
    message = _refusal(capfd, "--vars", "none.tfvars", "--terraform", str(TERRAFORM))

    assert message.startswith("Error: --vars is none.tfvars, which is no file: copy terraform/example.tfvars")


def test_the_variables_of_the_bootstrap_are_needed_too(capfd: pytest.CaptureFixture[str]) -> None:
    example = str(TERRAFORM / "example.tfvars")

    message = _refusal(capfd, "--vars", example, "--terraform", str(TERRAFORM), bootstrap=Path("none.tfvars"))

    assert message.startswith("Error: --bootstrap-vars is none.tfvars, which is no file: copy terraform/bootstrap/")


def test_a_folder_without_the_checks_is_the_users_mistake(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    message = _refusal(capfd, "--vars", str(TERRAFORM / "example.tfvars"), "--terraform", str(tmp_path))

    assert f"--terraform is {tmp_path}, which is not the folder terraform of a checkout of Rawless: clone" in message


def test_without_terraform_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")

    message = _refusal(capfd, "--vars", str(TERRAFORM / "example.tfvars"), "--terraform", str(TERRAFORM))

    assert message == "Error: Terraform is not installed: install version 1.9 or newer, and put it on the PATH.\n"


def test_a_stream_that_names_the_file_of_an_encoder_is_refused() -> None:
    stream = STREAM.replace("minilm@1.0.0", "own/encoder.yaml")

    valid, encoder = configuration.check({"streams/ticket-1.yaml": stream}, IMAGE)

    assert valid == Finding("stream file", True, "streams/ticket-1.yaml is valid")
    assert not encoder.ok
    assert encoder.detail.startswith("ticket names the encoder own/encoder.yaml, a file that no worker has: name it as")


def test_an_encoder_of_another_modality_than_its_stream_is_found() -> None:
    stream = STREAM.replace("modality: text", "modality: image")

    _, encoder = configuration.check({"streams/ticket-1.yaml": stream}, IMAGE)

    assert not encoder.ok
    assert "The modality of stream ticket is image, but its encoder minilm@1.0.0 takes text" in encoder.detail


def test_a_format_whose_library_is_not_in_the_image_is_found() -> None:
    stream = STREAM.replace("text", "image").replace("minilm", "resnet18") + "limits: {formats: [jpeg, heic]}\n"

    missing = [finding for finding in configuration.check({"streams/ticket-1.yaml": stream}, IMAGE) if not finding.ok]
    with_it = ImageContents((*IMAGE.packages, Package("pillow-heif", "1.8.0", 1)))
    found = configuration.check({"streams/ticket-1.yaml": stream}, with_it)

    assert missing[0].check == "image"
    assert missing[0].detail.startswith("ticket allows heic, for which the image needs pillow-heif: add `--extra heic`")
    assert "image" not in {finding.check for finding in found}


def test_jobs_with_a_gpu_need_torch_with_cuda_in_the_image() -> None:
    (missing,) = check_image(IMAGE, JOBS)
    cuda = Package("nvidia-cuda-runtime", "13.0.96", 2_000_000_000)
    (found,) = check_image(ImageContents((*IMAGE.packages, cuda)), JOBS)

    assert missing.detail == (
        "Jobs ask for NVIDIA L4, but torch 2.13.0 in requirements.worker.lock has no CUDA: run `make lock`."
    )
    assert found == Finding("image", True, "2 packages of 2.0 GB, torch 2.13.0 with CUDA 13.0")


def test_a_service_file_that_names_a_stream_file_which_is_not_written_is_found() -> None:
    service = "heads:\n  topic: {stream: streams/ticket.yaml}\n"

    found = {finding.check: finding for finding in configuration.check({"orchestrator.yaml": service}, IMAGE)}

    assert found["service file"].detail == "The stream file streams/ticket.yaml does not exist: check the path."


CONFIG = WarehouseConfig(project="shop-vectors", events="e", snapshots="s", builds="b", subjects="u", audit="a")
GPUS = "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:5xx,min_num_workers=1"


def _job(name: str, machine: str, workers: int, service_options: str = "") -> JobRequirements:
    request = {
        "projectId": "shop-raw",
        "location": "europe-west1",
        "launchParameter": {
            "jobName": f"emb-{name}",
            "containerSpecGcsPath": "gs://config/templates/emb.json",
            "parameters": {"dataflow_service_options": service_options} if service_options else {},
            "environment": {
                "machineType": machine,
                "numWorkers": 1,
                "maxWorkers": workers,
                "additionalUserLabels": {"app": "emb", "stream": name},
            },
        },
    }
    return quotas.requirements(parse_job_file(json.dumps(request).encode(), f"jobs/{name}.json"), CONFIG)


JOBS = [
    _job("photo", "g2-standard-4", 3, GPUS),
    _job("scan", "g2-standard-4", 2, GPUS),
    _job("text", "n2-standard-4", 4),
]


@pytest.fixture
def described(tmp_path: Path) -> list[quotas.Description]:
    """A region and a project, from files in the two formats in which gcloud prints them."""
    region = tmp_path / "region.json"
    limits = {"CPUS": (24, 4), "N2_CPUS": (16, 0), "NVIDIA_L4_GPUS": (4, 0), "DISKS_TOTAL_GB": (4096, 0)}
    metrics = [{"metric": name, "limit": limit, "usage": used} for name, (limit, used) in limits.items()]
    description = {"kind": "compute#region", "name": "europe-west1", "quotas": metrics, "status": "UP"}
    region.write_text(json.dumps(description), encoding="utf-8")
    project = tmp_path / "project.yaml"
    project.write_text(
        "kind: compute#project\nname: shop-raw\nquotas:\n- limit: 8.0\n  metric: GPUS_ALL_REGIONS\n  usage: 0.0\n",
        encoding="utf-8",
    )
    return [quotas.read(region), quotas.read(project)]


def test_quotas_are_compared_with_what_all_jobs_need_together(described: list[quotas.Description]) -> None:
    found = {finding.detail: finding for finding in quotas.check(described, JOBS)}

    assert sorted(detail for detail, finding in found.items() if finding.ok) == [
        "CPUS in europe-west1: 20 needed, 20 of 24 free",
        "GPUS_ALL_REGIONS in all regions: 5 needed, 8 of 8 free",
        "N2_CPUS in europe-west1: 16 needed, 16 of 16 free",
    ]
    (missing,) = [finding for finding in found.values() if not finding.ok]
    assert missing.detail == ("The quota NVIDIA_L4_GPUS in europe-west1 is 4 with 0 used, but the job may need 5 more.")
    assert "--quota-id=NVIDIA-L4-GPUS-per-project-region --preferred-value=5" in missing.command


def test_the_number_at_the_end_of_a_custom_machine_type_is_its_memory(described: list[quotas.Description]) -> None:
    jobs = [_job("text", "n2-custom-4-16384", 2), _job("log", "custom-2-5120-ext", 1)]

    assert sorted(finding.detail for finding in quotas.check(described, jobs)) == [
        "CPUS in europe-west1: 2 needed, 20 of 24 free",
        "N2_CPUS in europe-west1: 8 needed, 16 of 16 free",
    ]


def test_a_region_and_a_project_that_no_file_describes_are_named(described: list[quotas.Description]) -> None:
    found = [*quotas.check(described[:1], JOBS), *quotas.check(described[1:], JOBS)]

    assert [finding.detail for finding in found if "No --quotas file" in finding.detail] == [
        "No --quotas file describes the project shop-raw, which limits its GPUs.",
        "No --quotas file describes the region europe-west1 of shop-raw.",
    ]


def test_a_file_that_describes_no_quotas_is_the_users_mistake(
    deployment: Deployment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "zone.json"
    file.write_text('{"kind": "compute#zone", "name": "a", "quotas": []}', encoding="utf-8")

    message = _refusal(capfd, "--vars", str(deployment()), "--terraform", str(TERRAFORM), "--quotas", str(file))

    assert message.startswith(f"Error: The quotas file {file}: kind is 'compute#zone', but the rule is")
