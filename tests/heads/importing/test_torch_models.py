"""Heads that torch exports are taken, and answer like the original for one row and for many."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.heads.importing.importer import import_model
from tests.heads.foreign import DIMENSION, PLAIN, ROWS, answer, from_torch, from_torchscript, written

CLASSES = 3


class Written(nn.Module):
    """A module that is written as a function of its inputs, with layers and parameters by name."""

    def __init__(self, function: Callable[..., Tensor], **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, rows: Tensor) -> Tensor:
        return self.function(self, rows)


class PairWritten(Written):
    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.function(self, left, right)


def _then(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.Linear(DIMENSION, CLASSES), nn.Softmax(-1))


def _of(function: Callable[[Tensor], Tensor]) -> nn.Module:
    return _then(Written(lambda _, rows: function(rows)))


def _parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape))


def _trained_norm() -> nn.Module:
    norm = nn.BatchNorm1d(DIMENSION)
    norm.running_mean = torch.randn(DIMENSION)
    norm.running_var = torch.rand(DIMENSION) + 0.5
    return norm


torch.manual_seed(0)
COMMON: dict[str, nn.Module] = {
    "normalize": _of(lambda rows: functional.normalize(rows, dim=-1)),
    "layer norm": _then(nn.LayerNorm(DIMENSION)),
    "batch norm": _then(_trained_norm(), nn.ReLU(), nn.Dropout(0.5)),
    "gelu": _then(nn.GELU()),
    "gelu by tanh": _then(nn.GELU("tanh")),
    "log softmax": nn.Sequential(nn.Linear(DIMENSION, CLASSES), nn.LogSoftmax(-1), Written(lambda _, rows: rows.exp())),
    "residual": Written(
        lambda self, rows: self.out(self.norm(rows + self.down(functional.silu(self.up(rows))))).softmax(-1),
        up=nn.Linear(DIMENSION, 16), down=nn.Linear(16, DIMENSION), norm=nn.LayerNorm(DIMENSION),
        out=nn.Linear(DIMENSION, CLASSES),
    ),
    "cosine classifier": Written(
        lambda self, rows: (20 * functional.normalize(rows) @ functional.normalize(self.centres).T).softmax(-1),
        centres=_parameter(CLASSES, DIMENSION),
    ),
    "temperature": Written(
        lambda self, rows: (self.out(rows) / self.temperature.clamp(min=0.001)).softmax(-1),
        out=nn.Linear(DIMENSION, CLASSES), temperature=nn.Parameter(torch.tensor(1.7)),
    ),
    "standardised": _of(lambda rows: (rows - rows.mean(-1, keepdim=True)) / (rows.std(-1, keepdim=True) + 1e-6)),
    "constant column": Written(
        lambda self, rows: (torch.cat([rows, torch.ones(rows.shape[0], 1)], -1) @ self.weights).softmax(-1),
        weights=_parameter(DIMENSION + 1, CLASSES),
    ),
    "einsum": Written(lambda self, rows: torch.einsum("nd,cd->nc", rows, self.weights).softmax(-1),
                      weights=_parameter(CLASSES, DIMENSION)),
    "regression": nn.Sequential(nn.Linear(DIMENSION, 1), nn.Flatten(0)),
}  # fmt: skip
"""Heads with the layers that torch users write."""
PAIRS: dict[str, nn.Module] = {
    "bilinear": PairWritten(
        lambda self, left, right: torch.sigmoid(self.form(left, right)), form=nn.Bilinear(DIMENSION, DIMENSION, 1)
    ),
    "pair perceptron": PairWritten(
        lambda self, left, right: self.layers(torch.cat([left, right, (left - right).abs(), left * right], -1)),
        layers=nn.Sequential(nn.Linear(4 * DIMENSION, 8), nn.GELU(), nn.Linear(8, 2), nn.Softmax(-1)),
    ),
    "cosine": PairWritten(lambda _, left, right: functional.cosine_similarity(left, right)),
}
LESS_COMMON: dict[str, nn.Module] = {
    "normalize by absolutes": _of(lambda rows: functional.normalize(rows, p=1, dim=1)),
    "layer norm without weights": _then(nn.LayerNorm(DIMENSION, elementwise_affine=False)),
    "group norm": _then(nn.GroupNorm(2, DIMENSION)),
    "cosine similarity": Written(
        lambda self, rows: functional.cosine_similarity(rows[:, None], self.centres[None], dim=-1).softmax(-1),
        centres=_parameter(CLASSES, DIMENSION),
    ),
    "square distance": Written(
        lambda self, rows: (-((rows[:, None] - self.centres[None]) ** 2).sum(-1)).softmax(-1),
        centres=_parameter(CLASSES, DIMENSION),
    ),
    "mixture": Written(
        lambda self, rows: (
            torch.stack([self.one(rows), self.two(rows)], 1) * self.gate(rows).softmax(-1)[..., None]
        ).sum(1).softmax(-1),
        one=nn.Linear(DIMENSION, CLASSES), two=nn.Linear(DIMENSION, CLASSES), gate=nn.Linear(DIMENSION, 2),
    ),
    "gated": _then(nn.Linear(DIMENSION, 2 * DIMENSION), nn.GLU()),
    "two classes": nn.Sequential(
        nn.Linear(DIMENSION, 1), nn.Sigmoid(), Written(lambda _, rows: torch.cat([1 - rows, rows], 1))
    ),
    "activations": _then(
        nn.ELU(), nn.SELU(), nn.CELU(), nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.Hardsigmoid(), nn.Softplus(),
        nn.Softsign(), nn.LeakyReLU(), nn.PReLU(), nn.Tanh(), nn.LogSigmoid(), nn.ReLU6(), nn.Hardtanh(),
        nn.Hardshrink(), nn.Softshrink(0.1), nn.Tanhshrink(),
    ),
    "attention": _then(
        Written(lambda self, rows: self.layer(*[rows.view(-1, 2, 4)] * 3)[0].flatten(1),
                layer=nn.MultiheadAttention(4, 2, batch_first=True))
    ),
    "transformer layer": _then(
        Written(lambda self, rows: self.layer(rows.view(-1, 2, 4)).flatten(1),
                layer=nn.TransformerEncoderLayer(4, 2, 8, batch_first=True))
    ),
    "largest values": _of(lambda rows: rows * (rows >= rows.topk(3, dim=-1).values[:, -1:])),
    "double": Written(lambda self, rows: (rows.double() @ self.weights.double()).softmax(-1).float(),
                      weights=_parameter(DIMENSION, CLASSES)),
    "random features": Written(
        lambda self, rows: self.out(torch.cat([torch.sin(rows @ self.weights), torch.cos(rows @ self.weights)], -1))
        .softmax(-1), weights=_parameter(DIMENSION, 4), out=nn.Linear(DIMENSION, CLASSES),
    ),
    "ordinal": Written(
        lambda self, rows: (lambda over: torch.cat([1 - over[:, :1], over[:, :1] - over[:, 1:], over[:, 1:]], 1))(
            torch.sigmoid(self.score(rows) - torch.tensor([-1.0, 1.0]))
        ), score=nn.Linear(DIMENSION, 1),
    ),
    "cumulative": _of(lambda rows: rows.cumsum(-1)),
    "chosen columns": _of(lambda rows: rows[:, [1, 0, 2, 3, 4, 5, 6, 7]]),
    "masked": _of(lambda rows: torch.where(rows > 0, rows, 0.1 * rows).masked_fill(rows < -1, 0.0)),
    "zeros": _of(lambda rows: torch.cat([rows[:, :4], torch.zeros_like(rows[:, 4:])], -1)),
}  # fmt: skip
ALL = COMMON | PAIRS | LESS_COMMON
NOT_TRACED = {"bilinear", "transformer layer"}
"""What the tracing exporter does not support."""
NEWEST_OF_TORCHSCRIPT, NEWEST_OF_DYNAMO = 20, 23


def _check_answers(path: Path, model: nn.Module, eight: EncoderSpec) -> None:
    imported = import_model(path, eight, "foreign")
    vectors = [ROWS] if len(imported.manifest.inputs) == 1 else [ROWS, ROWS[::-1].copy()]
    for rows in (slice(0, 1), slice(None)):
        inputs = [each[rows] for each in vectors]
        named = dict(zip((item.name for item in imported.manifest.inputs), inputs, strict=True))
        with torch.no_grad():
            expected = model(*map(torch.from_numpy, inputs)).numpy()
        answered = answer(imported, **named)
        np.testing.assert_allclose(answered, expected.reshape(answered.shape), atol=1e-5)


def _count(name: str) -> int:
    return 2 if name in PAIRS else 1


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("name", sorted({*COMMON, *PAIRS} - NOT_TRACED))
def test_common_heads_of_the_tracing_exporter_are_taken(tmp_path: Path, eight: EncoderSpec, name: str) -> None:
    path = from_torchscript(tmp_path / "model.onnx", ALL[name], _count(name), 17)

    _check_answers(path, ALL[name], eight)


@pytest.mark.full
@pytest.mark.parametrize("opset", [13, NEWEST_OF_TORCHSCRIPT])
@pytest.mark.parametrize("name", sorted(ALL.keys() - NOT_TRACED))
def test_heads_of_the_tracing_exporter_are_taken(tmp_path: Path, eight: EncoderSpec, name: str, opset: int) -> None:
    _check_answers(from_torchscript(tmp_path / "model.onnx", ALL[name], _count(name), opset), ALL[name], eight)


@pytest.mark.full
@pytest.mark.parametrize("opset", [18, NEWEST_OF_DYNAMO])
@pytest.mark.parametrize("name", ALL)
def test_heads_of_the_exporter_are_taken(tmp_path: Path, eight: EncoderSpec, name: str, opset: int) -> None:
    _check_answers(from_torch(tmp_path / "model.onnx", ALL[name], _count(name), opset), ALL[name], eight)


def test_a_head_that_begins_with_normalisation_is_taken(tmp_path: Path, eight: EncoderSpec) -> None:
    path = from_torch(tmp_path / "model.onnx", COMMON["normalize"])

    assert "Expand" in {node.op_type for node in onnx.load(path).graph.node}
    _check_answers(path, COMMON["normalize"], eight)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("name", ["gelu", "normalize", "pair perceptron"])
def test_a_head_that_was_exported_for_one_row_takes_many(tmp_path: Path, eight: EncoderSpec, name: str) -> None:
    path = from_torchscript(tmp_path / "model.onnx", ALL[name], _count(name), 17, rows=1)

    assert onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    _check_answers(path, ALL[name], eight)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("opset", range(13, onnx.defs.onnx_opset_version() + 1))
def test_each_version_of_the_operators_is_taken(tmp_path: Path, eight: EncoderSpec, opset: int) -> None:
    """ONNX Runtime does not load the newest ones, whose definitions differ in types that heads do not have."""
    text = PLAIN.replace('"": 20', f'"": {opset}').replace("ir_version: 10", f"ir_version: {onnx.IR_VERSION}")
    text = text.replace("MatMul(vector", "MatMul(same").replace("  summed", "  same = Cast <to = 1> (vector)\n  summed")

    imported = import_model(written(tmp_path / "model.onnx", text), eight, "foreign")
    plain = import_model(written(tmp_path / "plain.onnx", PLAIN), eight, "foreign")
    np.testing.assert_array_equal(answer(imported), answer(plain))


REFUSED = {
    "loop": ("Loop", "without branches and loops"),
    "branch": ("If", "without branches and loops"),
    "hstack": ("SequenceConstruct", r"join tensors with torch\.cat"),
    "repeat": ("Tile", r"join copies with torch\.cat"),
    "training": ("RandomUniform", r"module\.eval\(\)"),
    "convolution": ("Conv", "such as Linear"),
    "quantised": ("QLinearMatMul", "without quantisation"),
    "other": ("Hardmax", r"docs/heads-import\.md lists the allowed ones"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_another_operator_is_refused_with_the_fix(tmp_path: Path, eight: EncoderSpec, name: str) -> None:
    operator, fix = REFUSED[name]
    text = PLAIN.replace("Softmax <axis = 1>", operator)

    with pytest.raises(UserError, match=f"the operator {operator}, which is not allowed in a head: .*{fix}"):
        import_model(written(tmp_path / "model.onnx", text), eight, "foreign")


DROPOUT = PLAIN.replace("Softmax <axis = 1> (summed)", "Softmax <axis = 1> (kept)")


@pytest.mark.usefixtures("in_this_process")
def test_dropout_is_taken_only_where_it_does_nothing(tmp_path: Path, eight: EncoderSpec) -> None:
    still = DROPOUT.replace("  answer", "  kept = Dropout(summed)\n  answer")
    training = DROPOUT.replace(
        "  answer", "  half = Constant <value_float = 0.5> ()\n  yes = Cast <to = 9> (half)\n"
        "  kept = Dropout(summed, half, yes)\n  answer"
    )  # fmt: skip

    imported = import_model(written(tmp_path / "still.onnx", still), eight, "foreign")
    plain = import_model(written(tmp_path / "plain.onnx", PLAIN), eight, "foreign")
    np.testing.assert_array_equal(answer(imported), answer(plain))
    with pytest.raises(UserError, match=r"may use Dropout as in training: .*module\.eval\(\)"):
        import_model(written(tmp_path / "training.onnx", training), eight, "foreign")


@pytest.mark.parametrize(
    ("equation", "words"),
    [("nd,md->nm", "an output of Einsum that is not of a fixed size"), ("nd,md,kd->n", "multiply two at a time")],
)
def test_products_of_rows_with_rows_are_refused(tmp_path: Path, eight: EncoderSpec, equation: str, words: str) -> None:
    vectors = ", ".join(["vector"] * (equation.count(",") + 1))
    text = PLAIN.replace("MatMul(vector, weights)", f'Einsum <equation = "{equation}"> ({vectors})')

    with pytest.raises(UserError, match=words):
        import_model(written(tmp_path / "model.onnx", text), eight, "foreign")


def test_half_precision_is_refused_with_the_fix(tmp_path: Path, eight: EncoderSpec) -> None:
    half = Written(
        lambda self, rows: self.out(rows.half()).float().softmax(-1), out=nn.Linear(DIMENSION, CLASSES).half()
    )

    with pytest.raises(UserError, match=r"is float16, .*: export it in float32 \(torch: module\.float\(\)\)"):
        import_model(from_torchscript(tmp_path / "model.onnx", half, opset=17), eight, "foreign")
