"""What the job will be: the warehouse file, and the options that it will be launched with."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines import options
from rawless.errors import UserError
from rawless.events.pubsub import check_name
from rawless.warehouse.config import WarehouseConfig

_ACCELERATOR = re.compile(r"worker_accelerator=type:nvidia-(?:tesla-)?(\w+);count:(\d+)(;install-nvidia-driver)?")

_KEY_FORM = "projects/P/locations/L/keyRings/R/cryptoKeys/K"
_KEY = re.compile(re.sub("[A-Z]$|[A-Z](?=/)", "[^/]+", _KEY_FORM))


@dataclass(frozen=True)
class Wanted:
    """The job as its options describe it; what they leave out is None or 0."""

    config: WarehouseConfig
    file: Path
    arguments: tuple[str, ...]
    project: str
    """Where the job runs."""
    region: str | None = None
    account: str | None = None
    kms_key: str | None = None
    image: str | None = None
    private: bool = False
    """Whether workers have private addresses alone."""
    workers: int = 1
    machine: str | None = None
    gpu: str | None = None
    """As in L4."""
    gpus_each: int = 0
    driver: bool = False
    subscription: str | None = None

    @property
    def runs_a_job(self) -> bool:
        """Whether options of a job were given; else only the warehouse is looked at."""
        return bool(self.arguments)


def wanted(config: WarehouseConfig, file: Path, arguments: Sequence[str], source: str | None) -> Wanted:
    """From the warehouse file and Beam's options. Raises UserError for options that ingest would refuse."""
    subscription = _subscription(source) if source else None
    if not arguments:
        return Wanted(config, file, (), config.project, subscription=subscription)
    given = options.parse(arguments, streaming=True).get_all_options()
    if (key := given["dataflow_kms_key"]) and not _KEY.fullmatch(key):
        raise UserError(f"The Beam option --dataflow_kms_key is {key!r}, but must be {_KEY_FORM}.")
    found = _ACCELERATOR.search(",".join(given["dataflow_service_options"] or ()))
    return Wanted(
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
        gpu=found[1].upper() if found else None,
        gpus_each=int(found[2]) if found else 0,
        driver=bool(found and found[3]),
        subscription=subscription,
    )


def _subscription(source: str) -> str:
    kind, _, name = source.partition(":")
    if kind != "pubsub":
        raise UserError(f"--source is {source!r}, but a job elsewhere reads pubsub: alone.")
    return check_name(name, "subscriptions", "--source")
