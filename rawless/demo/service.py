"""Write the service file that serves the demo's heads, and the stream files that it names."""

from pathlib import Path
from typing import Any

import yaml

from rawless.demo import digits, texts
from rawless.local import home

_STREAMS: dict[str, dict[str, Any]] = {"digit": digits.STREAM, "text_kind": texts.STREAM}
_RULES: dict[str, Any] = {"minimum_confidence": 0.5}


def write_service_file() -> Path:
    """Write the service file and its stream files into the home folder, and return the service file's path."""
    folder = home.folder() / "service"
    folder.mkdir(exist_ok=True)
    for stream in _STREAMS.values():
        (folder / f"{stream['stream']}.yaml").write_text(yaml.safe_dump(stream, sort_keys=False))
    heads = {name: {"stream": f"{stream['stream']}.yaml", "rules": _RULES} for name, stream in _STREAMS.items()}
    file = folder / "serve.yaml"
    file.write_text(yaml.safe_dump({"heads": heads}, sort_keys=False))
    return file
