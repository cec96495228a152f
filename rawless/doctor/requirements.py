"""Parse what a job requires from the warehouse file and its Beam options."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rawless.errors import UserError
from rawless.events.pubsub import check_name
from rawless.warehouse.config import WarehouseConfig

_ACCELERATOR = re.compile(
    r"worker_accelerator=type:nvidia-(?:tesla-)?(\w+);count:(\d+)(;install-nvidia-driver(?::5xx)?)?"
)
DRIVER = ";install-nvidia-driver:5xx"
"""What requests a driver of the branches 5xx: torch needs 580, or 535 with the libcuda that the image contains."""

_KEY_FORM = "projects/P/locations/L/keyRings/R/cryptoKeys/K"
_KEY = re.compile(re.sub("[A-Z]$|[A-Z](?=/)", "[^/]+", _KEY_FORM))


@dataclass(frozen=True)
class JobRequirements:
    """The job that the options describe; what they leave out is None or 0."""

    config: WarehouseConfig
    file: Path
    arguments: tuple[str, ...]
    project: str
    """The project that the job runs in."""
    region: str | None = None
    account: str | None = None
    kms_key: str | None = None
    image: str | None = None
    private: bool = False
    """Whether workers have private addresses only."""
    workers: int = 1
    machine: str | None = None
    disk: int | None = None
    """The size in GB of a worker's boot disk."""
    gpu: str | None = None
    """The GPU's model, such as L4."""
    gpus_per_worker: int = 0
    driver: str = ""
    """What of the accelerator's option requests the driver, such as `DRIVER`; empty if nothing does."""
    subscription: str | None = None
    stream: Path | None = None
    """The file of the stream whose leakage gate is checked."""

    @property
    def runs_a_job(self) -> bool:
        """Whether options of a job were given; otherwise only the warehouse is checked."""
        return bool(self.arguments)


def parse_requirements(
    config: WarehouseConfig, file: Path, arguments: Sequence[str], source: str | None
) -> JobRequirements:
    """Return what a job with these Beam options requires. Raises UserError for options that `ingest` refuses."""
    subscription = _subscription(source) if source else None
    if not arguments:
        return JobRequirements(config, file, (), config.project, subscription=subscription)
    from pipelines import options  # imports Beam, which a check of the warehouse does not need

    parsed = options.parse(arguments, streaming=True)
    given = parsed.get_all_options()
    if given["sdk_container_image"]:
        options.check_image(parsed, config.worker_image)
    if (key := given["dataflow_kms_key"]) and not _KEY.fullmatch(key):
        raise UserError(f"The Beam option --dataflow_kms_key is {key!r}, but must be {_KEY_FORM}.")
    accelerator = _ACCELERATOR.search(",".join(given["dataflow_service_options"] or ()))
    return JobRequirements(
        config=config,
        file=file,
        arguments=tuple(arguments),
        project=given["project"] or config.project,
        region=given["region"],
        account=given["service_account_email"],
        kms_key=key,
        image=given["sdk_container_image"],
        private=given["use_public_ips"] is False,
        workers=given["max_num_workers"] or given["num_workers"] or 1,
        machine=given["machine_type"],
        disk=given["disk_size_gb"],
        gpu=accelerator[1].upper() if accelerator else None,
        gpus_per_worker=int(accelerator[2]) if accelerator else 0,
        driver=(accelerator[3] or "") if accelerator else "",
        subscription=subscription,
    )


def _subscription(source: str) -> str:
    kind, _, name = source.partition(":")
    if kind != "pubsub":
        raise UserError(f"--source is {source!r}, but a job on Dataflow reads only from pubsub:.")
    return check_name(name, "subscriptions", "--source")
