"""Converting a SavedModel to ONNX, in an environment of its own.

`python -I tensorflow_converter.py SAVED_MODEL TARGET [SIGNATURE]` imports nothing of Rawless, since its interpreter
has only TensorFlow and tf2onnx. It writes `model.onnx` and `report.json` to the folder TARGET. The report has
the signature, the variables and the versions, or `problem` with what was found instead.
"""

import json
import sys
from pathlib import Path
from typing import Any

OPSET = 18
"""The newest set of operators that tf2onnx converts to."""
MODEL, REPORT = "model.onnx", "report.json"
INTERPRETER = "RAWLESS_TENSORFLOW"
"""The environment variable that names the interpreter with TensorFlow and tf2onnx."""
Report = dict[str, Any]


def main(source: str, target: str, requested: str = "") -> None:
    """Convert one signature of a SavedModel; without a requested one it must have a single one."""
    report = _report(source, Path(target), requested)
    (Path(target) / REPORT).write_text(json.dumps(report))


def _report(source: str, target: Path, requested: str) -> Report:
    try:
        import tensorflow
        import tf2onnx
    except ImportError as error:
        return {"problem": "packages", "found": [error.name or type(error).__name__]}
    try:
        saved = tensorflow.saved_model.load(source)
    except Exception as error:  # noqa: BLE001 - TensorFlow raises exceptions of many classes
        return {"problem": "load", "found": [type(error).__name__]}
    signatures = saved.signatures
    if not signatures or (requested and requested not in signatures):
        return {"problem": "unknown" if signatures else "none", "found": sorted(signatures)}
    try:
        graphs = {name: _frozen(function) for name, function in signatures.items()}
        name = requested or _only(graphs)
        if not name:
            return {"problem": "several", "found": sorted(signatures)}
        function = signatures[name]
        _convert(graphs[name], function, target / MODEL)
    except Exception as error:  # noqa: BLE001 - as above
        return {"problem": "convert", "found": [type(error).__name__]}
    return {
        "signature": name,
        "variables": [
            [variable.name.removesuffix(":0"), variable.shape.as_list(), variable.dtype.name]
            for variable in function.variables
        ],
        "libraries": {"tensorflow": tensorflow.__version__, "tf2onnx": tf2onnx.__version__},
    }


def _frozen(function: Any) -> Any:
    """Return the graph of a signature, with the values of its variables."""
    from tensorflow.python.framework import convert_to_constants

    return convert_to_constants.convert_variables_to_constants_v2(
        function, lower_control_flow=False
    ).graph.as_graph_def()


def _only(graphs: dict[str, Any]) -> str:
    """Return the only signature. Those of the same graph are one, such as Keras's `serve` and `serving_default`."""
    if len({graph.SerializeToString(deterministic=True) for graph in graphs.values()}) > 1:
        return ""
    return "serving_default" if "serving_default" in graphs else min(graphs)


def _convert(graph: Any, function: Any, path: Path) -> None:
    """Convert a graph to one that takes any number of rows, with the names of the signature."""
    import tensorflow
    import tf2onnx

    specs = {spec.name: spec for spec in tensorflow.nest.flatten(function.structured_input_signature)}
    inputs = [tensor.name for tensor in function.inputs if tensor.dtype != tensorflow.resource]
    outputs = [tensor.name for tensor in function.outputs]
    for node in graph.node:
        node.attr.pop("_output_shapes", None)
        shape = node.attr["shape"].shape if node.op == "Placeholder" else None
        if shape is not None and shape.dim and shape.dim[0].size == 1:
            shape.dim[0].size = -1
    names = dict(zip(outputs, sorted(function.structured_outputs), strict=True))
    names |= dict(zip(inputs, specs, strict=True))
    tf2onnx.convert.from_graph_def(
        graph, input_names=inputs, output_names=outputs, tensors_to_rename=names, opset=OPSET, output_path=str(path),
        custom_op_handlers={"Erfc": (_convert_erfc, [])},
    )  # fmt: skip


def _convert_erfc(context: Any, node: Any, name: str, _: object) -> None:
    """Convert erfc(x), which is in Keras's GELU and not in ONNX, to 1 - erf(x)."""
    import numpy

    erf = context.make_node("Erf", node.input)
    kind, shape = context.get_dtype(node.output[0]), context.get_shape(node.output[0])
    one = context.make_const(f"{name}_one", numpy.ones((), "float32"))
    context.remove_node(name)
    context.make_node(
        "Sub", [one.output[0], erf.output[0]], name=name, outputs=node.output, dtypes=[kind], shapes=[shape]
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
