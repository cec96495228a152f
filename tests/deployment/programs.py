"""Running programs of an image, or of what stands for one."""

import re
import select
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 120


@dataclass(frozen=True)
class Check:
    """A command in the image, how it must end, and what it must say."""

    words: tuple[str, ...]
    code: int
    says: str


CHECKS = {
    "the worker without Beam": Check(("rawless", "worker", "--help"), 0, "--stream"),
    "the services": Check(("rawless", "serve", "--help"), 0, "--role"),
    "the launcher's file": Check(("python", "/template/launch.py"), 2, "The template's parameters are not valid"),
    "an encoder of the user": Check(("rawless", "encoder", "show", "our-texts@1.0.0", "--json"), 0, '"sealed": true'),
    "no other encoder": Check(("rawless", "encoder", "seal", "not-named@1.0.0"), 2, "'not-named@1.0.0' is unknown"),
}
SERVICE_FILE = """
heads: {topic: {stream: stream.yaml}}
access: {tokens: [{name: test, sha256: "%s", scopes: [encode]}]}
"""
STREAM_FILE = "{stream: message, modality: text, encoders: [our-texts@1.0.0], event_id: uuid}"


@contextmanager
def serving(words: Sequence[str | Path], variables: Mapping[str, str], **options: Any) -> Iterator[str]:
    """The URL of a service that was started."""
    with subprocess.Popen(words, env=variables, stdout=subprocess.PIPE, text=True, **options) as process:
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], SECONDS)[0], "the service says nothing"
            (url,) = re.findall(r"Serving topic at (\S+) ", process.stdout.readline())
            yield url
        finally:
            process.terminate()


def output(*command: str | Path, folder: Path) -> str:
    """Return what a command prints, which must not fail."""
    done = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
