"""Reading a model made elsewhere: from a file of any bytes to a model of known operators and plain values."""

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, TensorProto

from rawless.errors import UserError
from rawless.heads.importing.allowed_operators import LONGEST_NAME, MOST_BYTES, MOST_NODES, OPERATORS, STANDARD
from rawless.heads.importing.trees import TREES, is_endless
from rawless.heads.spec import CLASS, fits

_TYPES: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.BOOL: "bool",
}
"""Of the constants that a head may have."""
_PLAIN = {
    AttributeProto.FLOAT,
    AttributeProto.INT,
    AttributeProto.STRING,
    AttributeProto.TENSOR,
    AttributeProto.FLOATS,
    AttributeProto.INTS,
    AttributeProto.STRINGS,
}


def read_model(path: Path) -> onnx.ModelProto:
    """A model of a size and with names that can be dealt with, and nothing else checked. Raises UserError."""
    model = _parse(_read(path), path)
    graph = model.graph
    if not all(_is_plain(name) for name in _names(model)):
        raise UserError(
            f"A name in the model {path} cannot be printed or is longer than {LONGEST_NAME}: give plain names."
        )
    for what, count in (("operators", len(graph.node)), ("constants", len(graph.initializer))):
        if count > MOST_NODES:
            raise UserError(f"The model {path} has {count:,} {what}, but a head may have {MOST_NODES:,}.")
    return model


def _read(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise UserError(f"The model {path} has {size:,} bytes, but a head may have {MOST_BYTES:,}.")
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except FileNotFoundError:
        raise UserError(f"The model {path} does not exist: check the path.") from None
    except OSError as error:
        raise UserError(f"The model {path} cannot be read ({type(error).__name__}): check the path.") from None


def _parse(content: bytes, path: Path) -> onnx.ModelProto:
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(content)
    except (DecodeError, ValueError) as error:
        raise UserError(f"{path} is no ONNX model, or is cut off ({type(error).__name__}): export it again.") from None
    if not model.graph.node:
        raise UserError(f"{path} holds no ONNX graph with an operator: export it again.")
    if model.functions or model.graph.sparse_initializer:
        raise UserError(f"The model {path} has functions or sparse constants of its own: export a plain graph.")
    model.DiscardUnknownFields()
    return model


def _names(model: onnx.ModelProto) -> Iterator[str | bytes]:
    graph = model.graph
    yield from (each.domain for each in model.opset_import)
    for node in graph.node:
        yield from (node.op_type, node.domain, node.name, *node.input, *node.output)
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name, attribute.t.name)
    yield from (each.name for each in graph.initializer)
    for told in (*graph.input, *graph.output):
        yield told.name
        yield from (each.dim_param for each in told.type.tensor_type.shape.dim)


def _is_plain(name: str | bytes) -> bool:
    """A name that is no UTF-8 comes as bytes."""
    return isinstance(name, str) and name.isprintable() and len(name) <= LONGEST_NAME


def check(model: onnx.ModelProto, path: Path) -> None:
    """Raises UserError naming what a head may not have, and the mend."""
    for node in model.graph.node:
        _check_operator(node, path)
        for attribute in node.attribute:
            _check_attribute(attribute, f"The operator {_named(node)} of {path}", path)
    for tensor in model.graph.initializer:
        _check_tensor(tensor, path)


def _named(node: onnx.NodeProto) -> str:
    return f"{node.domain}:{node.op_type}" if node.domain else node.op_type


def _check_operator(node: onnx.NodeProto, path: Path) -> None:
    if node.op_type not in OPERATORS.get(node.domain or STANDARD, ()):
        raise UserError(
            f"The model {path} uses the operator {_named(node)}, which a head may not: docs/heads-import.md lists "
            "those that it may."
        )
    if node.op_type in TREES and is_endless(node):
        raise UserError(f"The trees of {path} are broken, since a branch leads back or nowhere: export it again.")


def _check_attribute(attribute: onnx.AttributeProto, where: str, path: Path) -> None:
    if attribute.type not in _PLAIN or attribute.ref_attr_name:
        raise UserError(f"{where} has an attribute that is no number, word or tensor: export a plain graph.")
    for text in (attribute.s, *attribute.strings):
        if text and not fits(text.decode("utf-8", "replace"), CLASS):
            raise UserError(
                f"{where} has a text that is not 1 to 64 of the characters A-Za-z0-9_.-: train it with such classes."
            )
    if attribute.type == AttributeProto.TENSOR:
        _check_tensor(attribute.t, path)


def _check_tensor(tensor: onnx.TensorProto, path: Path) -> None:
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise UserError(
            f"The model {path} keeps its weights in another file: export it as one file (torch: external_data=False)."
        )
    if tensor.data_type not in _TYPES:
        raise UserError(
            f"The constant {tensor.name or 'without a name'} of {path} is {type_name(tensor.data_type)}, but those of "
            f"a head are {', '.join(_TYPES.values())}."
        )


def type_name(number: int) -> str:
    """One of ONNX's types of elements, as numpy calls it."""
    known = TensorProto.DataType.keys()
    return _TYPES.get(number) or (known[number].lower() if 0 <= number < len(known) else f"of type {number}")
