"""No library reports anything to its vendor, and no file is written where nobody would look for it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from rawless.audit import sinks
from rawless.telemetry import VARIABLES
from tests.keys import FIXED_KEY

ROOT = Path(__file__).parents[2]
_MODEL = """
<ir_version: 10, opset_import: ["": 20]>
model (float[rows, 384] vector) => (float[rows, 384] answer) { answer = Softmax <axis = 1> (vector) }
"""
_HEAD = "head: topic\nsnapshot: support_topics\nkind: linear\nepochs: 2\n"
_STREAM = str(ROOT / "examples/support_message/stream.yaml")
_SERVICE = f"heads: {{topic: {{stream: '{_STREAM}'}}, imported: {{stream: '{_STREAM}'}}}}\n"
_COMMANDS = r"""
import atexit, json, signal, subprocess, sys, urllib.request
from datetime import UTC, datetime
from pathlib import Path
from onnx import parser
from rawless.cli.main import run

def rawless(*words):
    assert run([str(word) for word in words]) == 0, words

example = Path("examples/support_message")
folder = Path(sys.argv[1])
(folder / "model.onnx").write_bytes(parser.parse_model((folder / "model.txt").read_text()).SerializeToString())
atexit.register(run, ["local", "down"])  # strace ends with the last process
rawless("ingest", "--stream", example / "stream.yaml", "--source", f"jsonl:{example / 'messages.jsonl'}")
rawless("load", "topic_confirmed", example / "topic_confirmed.csv")
rawless("load", "account_closed", example / "account_closed.csv", "--pseudonymise", "customer_id")
rawless("dataset", "build", example / "dataset.yaml", "--as-of", datetime.now(UTC).isoformat())
rawless("head", "train", folder / "head.yaml")
rawless("head", "import", folder / "model.onnx", "--encoder", "minilm@1.0.0", "--as", "imported")
for head in ("topic", "imported"):
    rawless("head", "deploy", head, "--new-layout")
serve = [sys.executable, "-m", "rawless", "serve", str(folder / "serve.yaml"), "--port", "0", "--json"]
with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as service:
    url = json.loads("".join(iter(service.stdout.readline, "}\n")) + "}")["url"]
    for head in ("topic", "imported"):
        request = urllib.request.Request(f"{url}/v1/heads/{head}/predict", b'{"text": "a parcel"}')
        request.add_header("content-type", "application/json")
        assert "abstention" in json.load(urllib.request.urlopen(request))
    service.send_signal(signal.SIGTERM)
assert service.returncode == 0
from rawless.connect import LOCAL_CONFIG, open_warehouse
from rawless.warehouse.tables import ROLES
client = open_warehouse().client
datasets = {role: getattr(LOCAL_CONFIG, role) for role in ROLES}
print("TABLES", *(f"{role}.{each.table_id}" for role, name in datasets.items() for each in client.list_tables(name)))
"""
_LOADED = {"events.topic_confirmed", "events.account_closed"}
_SYSTEM_CALLS = "prctl,connect,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat"
_TRACED = ("-e", f"trace={_SYSTEM_CALLS}", "-e", "inject=prctl:retval=0")
"""Without the effect of prctl, by which the programs forbid all but root to read the arguments in their memory."""
_ADDRESS = re.compile(r'sin6?_port=htons\((\d+)\).*?(?:inet_addr\(|inet_pton\(AF_INET6, )"([^"]+)"')
_WRITTEN = re.compile(r"(?:open|openat|creat)\(.*(?:O_CREAT|O_WRONLY|O_RDWR|creat\().*= \d+<([^>]+)>")
_FOLDER = re.compile(r'mkdir(?:at)?\((?:\S+<[^>]*>, )?"([^"]+)".*= 0$')
_ANONYMOUS = re.compile(r"#\d+")
"""The name of a file that never had one."""
_DNS = 53


@pytest.mark.full
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_ingest_train_import_and_serve_connect_to_the_local_stack_only(tmp_path: Path) -> None:
    for name, text in {"model.txt": _MODEL, "head.yaml": _HEAD, "serve.yaml": _SERVICE}.items():
        (tmp_path / name).write_text(text)
    # The machine code of Google's SQL analyzer is kept for the user, and would take a minute to compile again. So are
    # converted encoders.
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    kept = [cache / "wasmtime", cache / "rawless" / "encoders"]
    allowed = [tmp_path / "home", tmp_path / "temporary", tmp_path / "model.onnx", *kept]
    (tmp_path / "user").mkdir()
    (tmp_path / "temporary").mkdir()
    environment = {
        "HF_HUB_OFFLINE": "1",
        "HOME": str(tmp_path / "user"),
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "RAWLESS_HOME": str(allowed[0]),
        "RAWLESS_PSEUDONYM_KEY": FIXED_KEY,
        "TMPDIR": str(allowed[1]),
        "XDG_CACHE_HOME": str(cache),
    }  # without CI, which also stops some telemetry
    calls = tmp_path / "calls.txt"
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", *_TRACED, "-o", str(calls)]
    program = [*strace, sys.executable, "-c", _COMMANDS, str(tmp_path)]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert {*_foreign_addresses(calls.read_text(errors="replace"))} == set()
    written = {*_written_paths(calls.read_text(errors="replace"))}
    assert any(path.is_relative_to(allowed[0]) for path in written)
    assert [path for path in written if not any(path.is_relative_to(folder) for folder in allowed)] == []
    assert [*(tmp_path / "user").iterdir()] == []
    roots = {"home": allowed[0], "temporary": allowed[1], "cache": cache, "named": tmp_path}
    names = {_registered_name(path, roots) for path in written if not _ANONYMOUS.fullmatch(path.name)}
    assert len(names) > 10
    assert sorted(name for name in names if sinks.find(name) is None) == []
    (tables,) = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("TABLES")]
    assert {"snapshots.dataset_support_topics", "events.embedding_event_v1"} < {*tables}
    assert sorted(table for table in tables if table not in _LOADED and sinks.find(table) is None) == []


def _registered_name(path: Path, roots: dict[str, Path]) -> str:
    """The name of a file in the registry of sinks: the root that it is below, and the path from there."""
    name = next(name for name, root in roots.items() if path.is_relative_to(root))
    return f"{name}/{path.relative_to(roots[name])}".removesuffix("/.")


def test_what_strace_prints_is_understood() -> None:
    calls = """
1 connect(3<TCP:[1]>, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("203.0.113.9")}, 16) = -1
1 connect(3<UDP:[1]>, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16) = 0
1 connect(3, {sa_family=AF_INET6, sin6_port=htons(9), inet_pton(AF_INET6, "2001:db8::1", 4)}) = 0
1 connect(3<TCP:[1]>, {sa_family=AF_INET, sin_port=htons(4000), sin_addr=inet_addr("127.0.0.1")}, 16) = 0
1 openat(AT_FDCWD</a>, "b/c", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 3</a/b/c>
1 openat(AT_FDCWD</a>, "d", O_RDONLY|O_CLOEXEC) = 3</a/d>
1 openat(AT_FDCWD</a>, "e", O_WRONLY|O_CREAT, 0600) = -1 ENOENT (No such file or directory)
1 mkdir("/f/g", 0700)     = 0
"""
    assert [*_foreign_addresses(calls)] == [("203.0.113.9", 443), ("127.0.0.53", 53), ("2001:db8::1", 9)]
    assert [*_written_paths(calls)] == [Path("/a/b/c"), Path("/f/g")]


def _foreign_addresses(calls: str) -> Iterator[tuple[str, int]]:
    """The addresses and ports that were connected or sent to, but those of this machine, where only DNS is foreign."""
    for port, address in _ADDRESS.findall(calls):
        if not ip_address(address.removeprefix("::ffff:")).is_loopback or int(port) == _DNS:
            yield address, int(port)


def _written_paths(calls: str) -> Iterator[Path]:
    """The files that were opened for writing and the folders that were made, but devices and the kernel's own."""
    for line in calls.splitlines():
        found = _WRITTEN.search(line) or _FOLDER.search(line)
        if found and not found[1].startswith(("/dev/", "/proc/", "/sys/", "/memfd:")):
            yield Path(found[1])


@pytest.mark.slow
@pytest.mark.parametrize("package", ["encoders", "pipelines", "rawless"])
def test_importing_a_package_opts_out_whatever_the_environment_says(package: str) -> None:
    shown = f"import os, {package}; print(*[os.environ[name] for name in {[*VARIABLES]}])"
    done = subprocess.run(
        [sys.executable, "-c", shown], cwd=ROOT, env=os.environ | dict.fromkeys(VARIABLES, "0"), capture_output=True
    )

    assert done.stdout.decode().split() == [*VARIABLES.values()]
