"""Each extra: what it is for can be imported and run without other libraries, and what it lacks is named."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deployment.extras import ROOT, extras_of_users, hide_libraries, requirements

Run = Callable[..., subprocess.CompletedProcess[str]]

IMPORT_ALL = """
import importlib, json, pkgutil, sys
promised, excepted = json.loads(sys.argv[1]), tuple(json.loads(sys.argv[2]))
names = set(promised)
for name in promised:
    found = importlib.import_module(name)
    names |= {each.name for each in pkgutil.walk_packages(getattr(found, "__path__", ()), f"{name}.")}
failed = {}
for name in sorted(names):
    if not name.startswith(excepted or "-") and not name.endswith("__main__"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            failed[name] = str(error)
print(json.dumps([len(names), failed]))
"""
PROMISED = {
    "": ["rawless.cli", "rawless.extras", "rawless.privacy.raw", "rawless.config", "rawless.client"],
    "warehouse": ["rawless.warehouse", "rawless.connect", "encoders.catalogue", "rawless.metering"],
    "heads": ["rawless.heads.session", "rawless.heads.registry", "rawless.heads.readers", "rawless.heads.publish"],
    "science": [
        *("rawless.warehouse", "rawless.datasets", "rawless.local", "rawless.metering", "rawless.connect"),
        *("rawless.heads", "rawless.report", "rawless.lifecycle.drift", "rawless.lifecycle.lineage"),
        *("rawless.events.stream", "rawless.audit.erasure", "rawless.audit.readers", "rawless.audit.waivers"),
        *("rawless.audit.inspection", "encoders.catalogue", "encoders.image_formats.heic"),
        *("rawless.api.home", "rawless.console", "rawless.overview", "rawless.scaffold"),
    ],
    "train": ["rawless.heads", "rawless.datasets", "rawless.report"],
    "encode": ["encoders"],
    "ingest": [
        *("pipelines", "encoders", "rawless.worker", "rawless.events", "rawless.steps", "rawless.job"),
        *("rawless.warehouse", "rawless.privacy", "rawless.deploy", "rawless.connect", "rawless.doctor"),
    ],
    "serve": ["rawless.serving", "rawless.warehouse", "rawless.connect", "encoders"],
    "deploy": ["rawless.deploy"],
    "audit": ["rawless.audit", "rawless.lifecycle"],
    "demo": ["rawless.demo"],
}
"""Modules, and those of packages below them, by the extra with which they can be imported."""
NOT_PROMISED = {
    "science": [
        *(f"rawless.heads.{name}" for name in ("baselines", "comparison", "domain", "evaluate", "examples", "fit")),
        *(f"rawless.heads.{name}" for name in ("feed_forward", "head_comparison", "head_kind", "kinds.", "mislabels")),
        *(f"rawless.heads.{name}" for name in ("modules", "onnx_graph", "out_of_scope", "paired_rows", "reevaluate")),
        *(f"rawless.heads.{name}" for name in ("seen", "torch_dataset", "train_spec", "training")),
        *("rawless.report.encoder_map", "rawless.report.encoder_page"),
    ],
    "train": ["rawless.report.encoder_map", "rawless.report.encoder_page"],
    "ingest": ["rawless.worker.kafka", "rawless.deploy.check"],
}
HEAVY_EXTRAS = {"audit", "demo", "encode", "ingest", "serve", "train"}
HEAVY = {"torch", "apache-beam", "transformers", "openvino", "torchvision"}
LACKING = {
    "ingest --stream a.yaml --source jsonl:a": "ingest",
    "worker --stream a.yaml --source pubsub:projects/a/subscriptions/b": "ingest",
    "replay --stream a.yaml --reason empty_text --source jsonl:a": "ingest",
    "serve a.yaml": "serve",
    "callers a.yaml": "serve",
    "sql SELECT": "science",
    "dataset list": "science",
    "head list": "science",
    "report privacy": "science",
    "stream check a.yaml": "science",
    "head train a.yaml": "train",
    "encoder list": "science",
    "encoder seal minilm@1.0.0": "encode,science",
    "encoder bake --into a minilm@1.0.0": "encode,warehouse",
    "audit leakage --encoder minilm@1.0.0 --aux a": "audit",
    "audit waivers": "science",
    "deploy check --vars a --bootstrap-vars b": "deploy",
    "job status a.json": "deploy",
    "demo": "demo",
}
"""Commands, and the extras that an installation without any is told to install."""
RUN_ALL = """
import json, sys
from rawless.cli.main import run
for line in json.loads(sys.argv[1]):
    print(f"{run(line.split(' '))}", file=sys.stderr)
"""


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """Runs Python with the wheel, and with the libraries of some extras only."""

    def run(extras: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / (extras or "base")
        if not folder.exists():
            hide_libraries(folder, extras)
        variables = {**os.environ, "PYTHONPATH": f"{folder}:{installed}", "RAWLESS_HOME": str(tmp_path / "home")}
        done = subprocess.run(
            [sys.executable, "-P", *arguments], env=variables, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.mark.parametrize(
    "extra", [pytest.param(each, marks=pytest.mark.full if each in HEAVY_EXTRAS else ()) for each in PROMISED]
)
def test_what_an_extra_promises_needs_no_other_library(extra: str, run: Run) -> None:
    done = run(extra, "-c", IMPORT_ALL, json.dumps(PROMISED[extra]), json.dumps(NOT_PROMISED.get(extra, [])))
    count, failed = json.loads(done.stdout.splitlines()[-1])

    assert failed == {}
    assert count >= len(PROMISED[extra])


def test_a_client_and_a_scientist_install_neither_beam_nor_torch() -> None:
    science = requirements("science")

    assert len(requirements("")) < 30
    assert "numpy" not in requirements("")
    assert not HEAVY & science
    assert not [name for name in science if name.startswith(("nvidia-", "cuda-"))]


def test_a_service_has_no_beam_and_a_job_no_web_server() -> None:
    assert "apache-beam" not in requirements("serve")
    assert not {"fastapi", "uvicorn", "bqemulator"} & requirements("ingest")


def test_all_has_every_library_that_users_can_install() -> None:
    assert requirements("all") == requirements(",".join(sorted(extras_of_users())))


def test_the_page_says_what_each_extra_is_for() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")

    assert [extra for extra in sorted(extras_of_users()) if f"`{extra}`" not in page] == []


def test_a_command_without_its_libraries_says_what_to_install(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("{head: topic, snapshot: topics, kind: linear}")
    done = run("", "-c", RUN_ALL, json.dumps(list(LACKING)))

    lines = done.stderr.splitlines()
    assert len(lines) == 2 * len(LACKING), done.stderr
    for (command, extras), sentence, code in zip(LACKING.items(), lines[::2], lines[1::2], strict=True):
        assert sentence.startswith("Error: `rawless " + command.split(" ", maxsplit=1)[0]), command
        assert sentence.endswith(f"which is not installed: run `pip install 'rawless[{extras}]'`."), command
        assert code == "2", command


def test_a_scientist_needs_nothing_of_encoders_for_a_healthy_machine(run: Run, own_home: Path) -> None:
    code = "import os, sys; os.environ['RAWLESS_HOME'] = sys.argv.pop(); from rawless.cli.main import main; main()"
    done = run("science", "-c", code, "doctor", str(own_home))

    assert "FAIL" not in done.stdout
    assert "text encoder: Not checked. An encoder needs torch, which is not installed: run `pip" in done.stdout


def test_a_library_of_another_extra_than_the_command_needs_is_named_by_its_own(run: Run) -> None:
    code = "from rawless.heads.head_kind import HeadKind"
    explained = (
        f"from rawless.cli.extras import missing_library\ntry:\n    {code}\n"
        "except ImportError as error:\n    print(missing_library(error, 'head show'))"
    )
    done = run("science", "-c", explained)

    assert done.stdout.strip() == (
        "`rawless head show` needs torch, which is not installed: run `pip install 'rawless[train]'`."
    )


def test_a_public_name_without_its_libraries_is_an_import_error_that_says_what_to_install(run: Run) -> None:
    code = (
        "import rawless\ntry:\n    rawless.open\nexcept ImportError as error:\n"
        "    print(error, isinstance(error, rawless.UserError))"
    )
    done = run("", "-c", code)

    assert done.stdout.strip() == (
        "rawless.open needs pandas, which is not installed: run `pip install 'rawless[science]'`. True"
    )


def test_a_module_that_no_extra_brings_is_not_explained(run: Run) -> None:
    code = (
        "from rawless.extras import explain\ntry:\n    import no_such_module\nexcept ImportError as error:\n"
        "    print(explain(error, 'It'))\n"
        "try:\n    from json import no_such_name\nexcept ImportError as error:\n    print(explain(error, 'It'))"
    )

    assert run("", "-c", code).stdout.split() == ["None", "None"]
