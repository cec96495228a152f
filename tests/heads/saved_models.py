"""Writes SavedModels of a dimension, and what they answer: `python saved_models.py FOLDER DIMENSION`.

The interpreter with TensorFlow runs this file, so that it imports nothing else of the tests.
"""

import sys
from pathlib import Path
from typing import Any

CLASSES = 3
LAYERS = {
    "plain": lambda layers: [],
    "gelu": lambda layers: [layers.Dense(16, "gelu")],
    "gelu_by_tanh": lambda layers: [layers.Lambda(_gelu_by_tanh)],
    "silu": lambda layers: [layers.Dense(16, "silu")],
    "layer_normalization": lambda layers: [layers.LayerNormalization()],
    "batch_normalization": lambda layers: [layers.BatchNormalization(), layers.Dropout(0.5)],
    "unit_normalization": lambda layers: [layers.UnitNormalization()],
    "group_normalization": lambda layers: [layers.GroupNormalization(2)],
    "activations": lambda layers: [
        layers.Dense(16, name) for name in ("elu", "selu", "relu6", "softplus", "softsign", "tanh", "sigmoid", "mish")
    ],
}
"""What Keras models have before their last layer."""


def _gelu_by_tanh(rows: Any) -> Any:
    import keras

    return keras.activations.gelu(rows, approximate=True)


def write(folder: Path, dimension: int) -> None:
    """Write each model to a folder of its name, with the answers for `rows.npy` beside them."""
    import keras
    import numpy
    import tensorflow

    keras.utils.set_random_seed(0)
    rows = numpy.random.default_rng(1).standard_normal((50, dimension)).astype("float32")
    numpy.save(folder / "rows.npy", rows)
    for name, before in LAYERS.items():
        model = keras.Sequential(
            [keras.Input((dimension,)), *before(keras.layers), keras.layers.Dense(CLASSES, "softmax")]
        )
        model.export(folder / name, verbose=False)
        numpy.save(folder / f"{name}.npy", model(rows, training=False).numpy())

    class Classifier(tensorflow.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            drawn = numpy.random.default_rng(seed)
            kernel = drawn.standard_normal((dimension, CLASSES))
            self.kernel = tensorflow.Variable(kernel, dtype="float32", name="kernel")
            self.bias = tensorflow.Variable(drawn.standard_normal(CLASSES), dtype="float32", name="bias")

        def probabilities(self, vectors: Any) -> dict[str, Any]:
            return {"probabilities": tensorflow.nn.softmax(vectors @ self.kernel + self.bias)}

        def first(self, vectors: Any) -> dict[str, Any]:
            return {"first": self.probabilities(vectors)["probabilities"][:, 0]}

        def other_operator(self, vectors: Any) -> dict[str, Any]:
            return {"answer": tensorflow.math.bessel_i0(vectors) @ self.kernel}

        def pair(self, right: Any, left: Any) -> dict[str, Any]:
            return {"value": tensorflow.reduce_sum((left - 2 * right) @ self.kernel, 1)}

    def save(name: str, model: Classifier, batch: int | None, **signatures: Any) -> None:
        vectors = tensorflow.TensorSpec([batch, dimension], "float32", name="vectors")
        functions = {
            key: tensorflow.function(function, input_signature=[vectors]) for key, function in signatures.items()
        }
        tensorflow.saved_model.save(model, folder / name, signatures=functions)

    model, later = Classifier(2), Classifier(3)
    numpy.save(folder / "first.npy", model.probabilities(rows)["probabilities"].numpy())
    numpy.save(folder / "second.npy", later.probabilities(rows)["probabilities"].numpy())
    save("first", model, None, serving_default=model.probabilities)
    save("second", later, None, serving_default=later.probabilities)
    save("one_row", model, 1, serving_default=model.probabilities)
    save("several", model, None, probabilities=model.probabilities, first=model.first)
    save("none", model, None)
    save("other_operator", model, None, serving_default=model.other_operator)
    sides = [tensorflow.TensorSpec([None, dimension], "float32", name=name) for name in ("right", "left")]
    pair = tensorflow.function(model.pair, input_signature=sides)
    tensorflow.saved_model.save(model, folder / "pair", signatures={"pair": pair})
    numpy.save(folder / "pair.npy", model.pair(rows[::-1], rows)["value"].numpy())


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
