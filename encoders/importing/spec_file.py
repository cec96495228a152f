"""Writing a spec as a YAML file that a person can read: each value with the file that it came from."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from encoders.importing.decisions import DEFAULT, Decisions
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.files import write_text

_FIRST = ("name", "version", "modality", "architecture", "weights", "preprocessing", "layer", "pooling", "dense")
_ADVICE = "# Every field but the probe is part of the fingerprint: to change one, import again under another version."
_LAST = ("tolerance", "defence", "adapter", "training_domain", "parent")


def write_spec(path: Path, spec: EncoderSpec, decisions: Decisions, source: str, *, force: bool) -> None:
    """Write a sealed spec to a file. Raises UserError if the file exists and `force` is false, or cannot be written."""
    check_free(path, force=force)
    _write(path, render(spec, decisions, source))


def write_sealed(path: Path, spec: EncoderSpec, *, force: bool) -> None:
    """Write a sealed spec that was no import to a file. Raises UserError as `write_spec` does."""
    check_free(path, force=force)
    _write(path, _text(spec, Decisions(), f"# {spec.ref}, sealed with the files whose digests it names."))


def _write(path: Path, text: str) -> None:
    try:
        write_text(path, text, mode=0o644)
    except OSError as error:
        raise UserError(f"--out names {path}, which cannot be written ({type(error).__name__}): correct it.") from None


def check_free(path: Path, *, force: bool) -> None:
    """Raise UserError if there is already a file at the path and `force` is false, or if it is no path of a spec."""
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"--out names {path}, but the file of a spec ends in .yaml: correct it.")
    if path.exists() and not force:
        raise UserError(f"{path} exists already: name another file with --out, or replace it with --force.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"--out names {path}, but its folder does not exist: create it, or correct the option.")


def render(spec: EncoderSpec, decisions: Decisions, source: str) -> str:
    """Return the text of the file of an import."""
    source = ascii(source)[1:-1]
    return _text(spec, decisions, f"# {spec.ref}, imported from {source}; beside each value is where it came from.")


def _text(spec: EncoderSpec, decisions: Decisions, title: str) -> str:
    """Return the title, the identity of the spec in the order of the shipped specs, then its probe."""
    identity = spec.identity()
    middle = [name for name in identity if name not in (*_FIRST, *_LAST)]
    ordered = {name: identity[name] for name in (*_FIRST, *middle, *_LAST) if name in identity}
    ordered["probe"] = spec.model_dump(mode="json")["probe"]
    return "\n".join([title, _ADVICE, *_lines(ordered, decisions, "", "")]) + "\n"


def _lines(fields: Mapping[str, Any], decisions: Decisions, path: str, indent: str) -> Iterator[str]:
    for name, value in fields.items():
        field = f"{path}{name}"
        origin = decisions.origin(field)
        comment = f"  # {origin}" if origin and origin != DEFAULT else "  # by default" if origin else ""
        if isinstance(value, dict) and value:
            yield f"{indent}{_inline(name)}:{comment}"
            yield from _lines(value, decisions, f"{field}.", f"{indent}  ")
        elif name == "parts":  # whole specs
            yield f"{indent}{name}:"
            for part in value:
                first, *rest = _lines(part, decisions, f"{field}.", f"{indent}  ")
                yield from (f"{indent}- {first.removeprefix(f'{indent}  ')}", *rest)
        else:
            yield f"{indent}{_inline(name)}: {_inline(value)}{comment}"


def _inline(value: Any) -> str:
    """Return a value as YAML on one line."""
    dumped = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=math.inf, sort_keys=False)
    return dumped.strip()[1:-1]
