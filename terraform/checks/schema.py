"""Extract the pinned schema of the providers: `python -m terraform.checks.schema` writes `schema.json`.

Package registries do not offer providers, but bindings generated from their schemas: the wheels of
cdktf-cdktf-provider-google and -google-beta contain a file for each resource with the type of every attribute and
whether it is required. Only the resources that terraform/ uses are kept.
"""

import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parent.parent
FILE = Path(__file__).parent / "schema.json"
BINDINGS = "16.12.1"
VERSION = "6.50.0"
PROVIDERS = ("google", "google-beta")
MISTAKEN = ("google_dataflow_flex_template_job",)
"""Types that the files do not use, so that a test can show what would be wrong with them."""

_BETA = re.compile(r'^resource "(google_\w+)" "\w+" \{\n +provider += google-beta$', re.MULTILINE)
_USED = re.compile(r'^(resource|data) "(google_\w+)"', re.MULTILINE)
# How a binding's JavaScript describes attributes and blocks that can be set, and attributes that can only be read.
_ENTRY = re.compile(
    r"^ +(\w+): \{\n +value: (?P<value>.*),\n +isBlock: (?P<block>\w+),\n +type: \"(?P<kind>\w+)\",\n"
    r" +storageClassType: \"(?P<storage>\w+)\",",
    re.MULTILINE,
)
_READ = re.compile(
    r"// (\w+) - computed: true, optional: false, required: false\n +get \w+\(\) \{\n +return this\.(\w+)"
)
_FUNCTION = re.compile(r"^function (\w+)ToHclTerraform\(struct\) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_SET_FROM = re.compile(r"(?:struct\.|struct!\.|this\._)(\w+)")
_NESTED = re.compile(r"(\w+)ToHclTerraform")
# How its declarations describe required attributes.
_INTERFACE = re.compile(r"^export interface (\w+)(?: extends [\w.]+)? \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_REQUIRED = re.compile(r"^ +readonly (\w+):", re.MULTILINE)
_SIMPLE = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}


def used_types(tree: Path) -> dict[str, set[str]]:
    """Return the types of resources and data sources in the files of a tree, by kind."""
    types: dict[str, set[str]] = {"resource": set(), "data": set()}
    for path in tree.rglob("*.tf"):
        for kind, name in _USED.findall(path.read_text(encoding="utf-8")):
            types[kind].add(name)
    return types


class Binding:
    """A resource's binding: its JavaScript and its declarations."""

    def __init__(self, script: str, declarations: str) -> None:
        self._functions = dict(_FUNCTION.findall(script))
        self._required = {name: set(_REQUIRED.findall(body)) for name, body in _INTERFACE.findall(declarations)}
        self._main = script[script.rindex("static generateConfigForImport") :]

    def schema(self) -> dict[str, Any]:
        """Return the attributes with their types and modes, and the blocks."""
        config = next(iter(self._required))  # the interface of the resource itself comes first
        schema = self._level(self._main[self._main.index("synthesizeHclAttributes") :], config)
        for name, getter in _READ.findall(self._main):
            schema["attributes"].setdefault(name, [_getter_type(getter), "computed"])
        return {kind: dict(sorted(schema[kind].items())) for kind in ("attributes", "blocks")}

    def _level(self, entries: str, interface: str) -> dict[str, Any]:
        required = self._required.get(interface, set())
        attributes: dict[str, Any] = {}
        blocks: dict[str, Any] = {}
        for entry in _ENTRY.finditer(entries):
            source = _SET_FROM.search(entry["value"])
            is_required = source is not None and source[1] in required
            nested = _NESTED.search(entry["value"])
            if entry["block"] == "true" and nested and nested[1] in self._functions:
                inner = self._level(self._functions[nested[1]], nested[1][0].upper() + nested[1][1:])
                many = "listMapperHcl" in entry["value"]
                blocks[entry[1]] = {"nesting": entry["kind"], "many": many, "required": is_required, **inner}
            else:
                mode = "required" if is_required else "optional"
                attributes[entry[1]] = [_type(entry["kind"], entry["storage"]), mode]
        return {"attributes": dict(sorted(attributes.items())), "blocks": dict(sorted(blocks.items()))}


def _type(kind: str, storage: str) -> Any:
    if kind == "simple":
        return _SIMPLE[storage]
    element = re.sub(r"(List|Map)$", "", storage)
    return [kind, _SIMPLE.get(element, "dynamic")]


def _getter_type(getter: str) -> Any:
    """The type that a getter of the binding returns."""
    for word, kind in (("Number", "number"), ("Boolean", "bool"), ("List", ["list", "string"]), ("String", "string")):
        if f"get{word}Attribute" in getter:
            return kind
    return ["map", "string"] if "Map" in getter else "string"


def _bindings(provider: str, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Name, script and declarations of every resource in a provider's wheel."""
    wheel = f"cdktf-cdktf-provider-{provider}=={BINDINGS}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), wheel]
    subprocess.run(command, check=True)
    (path,) = folder.glob(f"*{provider.replace('-', '_')}-{BINDINGS}*.whl")
    with zipfile.ZipFile(path) as archive:
        (name,) = [member for member in archive.namelist() if member.endswith(".jsii.tgz")]
        packed = io.BytesIO(archive.read(name))
    yield from _resources(packed)


def _resources(packed: IO[bytes]) -> Iterator[tuple[str, str, str]]:
    texts: dict[str, dict[str, str]] = {}
    with tarfile.open(fileobj=packed) as tar:
        for member in tar:
            *_, name, file_name = ("", *member.name.split("/"))
            if file_name in ("index.js", "index.d.ts") and (file := tar.extractfile(member)):
                texts.setdefault(name, {})[file_name] = file.read().decode()
    for name, files in texts.items():
        if len(files) == 2:
            yield name, files["index.js"], files["index.d.ts"]


def extract(tree: Path) -> dict[str, Any]:
    """Return the schema of the types that a tree uses, by provider and kind.

    Raises SystemExit when no provider has a type.
    """
    required = used_types(tree)
    required["resource"].update(MISTAKEN)
    schemas: dict[str, dict[str, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for provider in PROVIDERS:
            types: dict[str, dict[str, Any]] = {"resource": {}, "data": {}}
            schemas[provider] = types
            for name, script, declarations in _bindings(provider, Path(folder)):
                kind = "data" if name.startswith("data-google-") else "resource"
                match = re.search(r'tfResourceType = "(\w+)"', script)
                if match and match[1] in required[kind]:
                    types[kind][match[1]] = Binding(script, declarations).schema()
    for kind, names in required.items():
        if missing := names - set(schemas["google"][kind]) - set(schemas["google-beta"][kind]):
            sys.exit(f"The providers have no {kind} {', '.join(sorted(missing))}.")
    google = schemas["google"]  # has the types of both providers, unless a resource names the other provider
    beta = {name for path in tree.rglob("*.tf") for name in _BETA.findall(path.read_text(encoding="utf-8"))}
    schemas["google-beta"] = {
        kind: {name: schema for name, schema in types.items() if name not in google[kind] or name in beta}
        for kind, types in schemas["google-beta"].items()
    }
    return {"version": VERSION, "bindings": BINDINGS, "providers": schemas}


def to_json(schema: dict[str, Any]) -> str:
    """Return the schema as JSON, with each type on its own line."""
    text = json.dumps(schema, separators=(",", ":"), sort_keys=True)
    return re.sub(r'"google_\w+":\{"attributes"', r"\n\g<0>", text) + "\n"


if __name__ == "__main__":
    FILE.write_text(to_json(extract(ROOT)), encoding="utf-8")
