"""Running programs of an image, or of what stands for one."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


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
    "no other encoder": Check(("rawless", "encoder", "show", "not-named@1.0.0"), 2, "'not-named@1.0.0' is unknown"),
}
SERVICE_FILE = """
heads: {topic: {stream: stream.yaml}}
access: {tokens: [{name: test, sha256: "%s", scopes: [encode]}]}
"""
STREAM_FILE = "{stream: message, modality: text, encoders: [our-texts@1.0.0], event_id: uuid}"


def output(*command: str | Path, folder: Path) -> str:
    """Return what a command prints, which must not fail."""
    done = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
