"""Checking the expansions of an imported model: a computed size could fill the memory of a service."""

import math

import onnx

from rawless.heads.signature import BATCH

MAX_VALUES = 65_536
"""The maximum number of values for each row in the output of Expand."""


class ExpansionError(Exception):
    """An Expand whose output is too large, or of a size that is only known when the graph runs."""


def check_expansions(model: onnx.ModelProto) -> None:
    """Check that each Expand has an output of a known and bounded size for each row. Raises ExpansionError.

    Shapes are inferred from those of the inputs, whose first dimension is `BATCH`, and from constants. What depends on
    the values of vectors has no inferred size.
    """
    outputs = {name for node in model.graph.node if node.op_type == "Expand" for name in node.output}
    if not outputs:
        return
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {info.name: info.type.tensor_type.shape.dim for info in (*inferred.value_info, *inferred.output)}
    for name in outputs:
        if name not in shapes:
            raise ExpansionError
        sizes = [dimension.dim_value for dimension in shapes[name] if dimension.dim_param != BATCH]
        batches = len(shapes[name]) - len(sizes)
        if batches > 1 or 0 in sizes or math.prod(sizes) > MAX_VALUES:
            raise ExpansionError
