"""Check the stream files and service files that a deployment writes to buckets, and the encoders that they name."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from encoders.catalogue import lookup
from encoders.query_role import refuse_documents
from rawless.deploy.image import ImageContents
from rawless.doctor.finding import Finding
from rawless.errors import UserError
from rawless.events.stream import Stream, load_stream
from rawless.serving.config import load_config

_HEIC = "pillow-heif"
_ADD_HEIC = "add `--extra heic` to the second lock of `make lock`, or remove the format"
_STREAMS = "streams/"
_WAREHOUSE = "warehouse"


def check(objects: Mapping[str, str], contents: ImageContents) -> Iterator[Finding]:
    """Check each stream file with its encoders and what it needs of the image, and each service file.

    Encoders are looked up where the image has them from: among the shipped specs and in the folder that RAWLESS_SPECS
    names.
    """
    with tempfile.TemporaryDirectory(prefix="rawless-deploy-") as temporary:
        folder = Path(temporary)
        for name, content in objects.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        files = sorted(name for name in objects if name.endswith(".yaml"))
        for finding in _check_files(folder, files, contents):
            yield Finding(finding.check, finding.ok, finding.detail.replace(f"{folder}/", ""), finding.command)


def _check_files(folder: Path, names: list[str], contents: ImageContents) -> Iterator[Finding]:
    for name in names:
        if name.startswith(_STREAMS):
            yield from _check_stream(folder, name, contents)
        elif "/" not in name and not name.startswith(_WAREHOUSE):
            yield _check_service(folder, name)


def _check_stream(folder: Path, name: str, contents: ImageContents) -> Iterator[Finding]:
    try:
        stream = load_stream(folder / name)
    except UserError as error:
        yield Finding("stream file", False, str(error))
        return
    yield Finding("stream file", True, f"{name} is valid")
    if "heic" in stream.limits.formats and contents.version(_HEIC) is None:
        yield Finding("image", False, f"{stream.stream} allows heic, for which the image needs {_HEIC}: {_ADD_HEIC}.")
    for ref in stream.encoders:
        yield _check_encoder(stream, ref)


def _check_encoder(stream: Stream, ref: str) -> Finding:
    if ref.endswith((".yaml", ".yml")):
        problem = (
            f"{stream.stream} names the encoder {ref}, a file that no worker has: name it as NAME@VERSION, and build "
            "the image with SPECS=FOLDER, the folder of its spec."
        )
        return Finding("encoder", False, problem)
    try:
        spec = lookup(ref)
        refuse_documents(spec, f"An encoder of the stream {stream.stream}")
        stream.check_modality(ref, spec.modality, spec.reads)
    except UserError as error:
        return Finding("encoder", False, f"{stream.stream}: {error}")
    if not spec.sealed:
        problem = (
            f"{stream.stream}: The encoder {ref} is not sealed: seal it on a machine that has its weights, and name "
            "the folder of its spec as RAWLESS_SPECS here and as SPECS of `make image`."
        )
        return Finding("encoder", False, problem, f"rawless encoder seal {ref} --out specs/{ref}.yaml")
    return Finding("encoder", True, f"{ref} of {stream.stream} is sealed; ENCODERS of `make image` must contain it")


def _check_service(folder: Path, name: str) -> Finding:
    try:
        _, heads = load_config(folder / name)
    except UserError as error:
        return Finding("service file", False, str(error))
    count = f"{len(heads)} head{'' if len(heads) == 1 else 's'}"
    return Finding("service file", True, f"{name} is valid, with {count}")
