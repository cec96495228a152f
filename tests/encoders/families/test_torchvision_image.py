"""Classification models: the vectors of torchvision, read at any layer, and checkpoints of any content."""

import io
import pickle
import re
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from encoders.families.torchvision_image import ARCHITECTURES, TorchvisionSpec, load_network
from rawless.errors import UserError

MakeSpec = Callable[..., TorchvisionSpec]
State = dict[str, Any]
DIMENSIONS = {"resnet18": 512, "resnet34": 512, "resnet50": 2048, "resnet101": 2048, "resnet152": 2048}


@pytest.fixture(scope="session")
def pixels() -> torch.Tensor:
    """Three normalised images of 64 pixels a side."""
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(5))


def vectors(spec: TorchvisionSpec, pixels: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return load_network(spec)(pixels)


def near(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Return whether all values agree to 1e-5 of the largest."""
    assert found.shape == expected.shape
    assert bool(found.isfinite().all())
    return float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


def features(model: nn.Module, layer: str, pixels: torch.Tensor) -> torch.Tensor:
    """Return the output of a module of the plain model, copied before later modules modify it in place."""
    caught: list[torch.Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _, __, output: caught.append(output.clone()))
    with torch.inference_mode():
        model(pixels)
    handle.remove()
    return caught[0]


@pytest.mark.parametrize(
    "architecture",
    [pytest.param(each, marks=() if each in ("resnet18", "resnet50") else pytest.mark.full) for each in DIMENSIONS],
)
def test_every_resnet_produces_the_vectors_of_torchvision(
    plain_resnet: Callable[[str], Any], tmp_path: Path, image_spec: MakeSpec, pixels: torch.Tensor, architecture: str
) -> None:
    model = plain_resnet(architecture)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    headless = nn.Sequential(*list(model.children())[:-1], nn.Flatten())
    with torch.inference_mode():
        expected = headless(pixels)
    found = vectors(image_spec(tmp_path, architecture=architecture, dimension=DIMENSIONS[architecture]), pixels)
    (tmp_path / "model.safetensors").unlink()
    assert near(found, expected)
    assert float((expected[0] - expected[1]).abs().max()) > 1e-3 * float(expected.abs().max())


FAMILIES = [  # architecture, pixels a side, a layer that is pooled over its positions, the module that computes it
    ("regnet_x_400mf", 64, "trunk_output", "trunk_output"),
    ("shufflenet_v2_x0_5", 64, "conv5", "conv5"),
    ("swin_t", 64, "features.7", "features.7"),
]
LARGE_FAMILIES = [
    ("alexnet", 96, "avgpool", "avgpool"),
    ("convnext_tiny", 64, "features", "features"),
    ("convnext_tiny", 64, "features.1.0.block.3", "features.1.0.block.3"),  # inside a block channels are last
    ("densenet121", 64, "features", "features"),
    ("efficientnet_b0", 64, "features", "features"),
    ("googlenet", 64, "inception5b", "inception5b"),
    ("inception_v3", 96, "Mixed_7c", "Mixed_7c"),
    ("maxvit_t", 224, "blocks.3", "blocks.3"),
    ("mnasnet0_5", 64, "layers", "layers"),
    ("mobilenet_v3_small", 64, "features", "features"),
    ("resnext50_32x4d", 64, "layer4", "layer4"),
    ("squeezenet1_1", 64, "features", "features"),
    ("swin_v2_t", 64, "features.5", "features.5"),
    ("vgg11", 64, "features", "features"),
    ("vit_b_32", 64, "encoder.ln", "encoder.ln"),
    ("wide_resnet50_2", 64, "layer4", "layer4"),
]


@pytest.mark.parametrize(
    ("architecture", "side", "layer", "module"),
    [*FAMILIES, *(pytest.param(*each, marks=pytest.mark.full) for each in LARGE_FAMILIES)],
)
def test_every_classification_model_produces_the_vectors_of_torchvision(
    image_spec: MakeSpec, tmp_path: Path, architecture: str, side: int, layer: str, module: str
) -> None:
    model = plain(architecture, side)
    save_file(published(model.state_dict()), tmp_path / "model.safetensors")
    pixels = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        logits = model(pixels)
    whole = features(model, module, pixels)
    same = [axis for axis in range(1, whole.dim()) if list(whole.shape).count(whole.shape[axis]) > 1]  # of a map
    axes = tuple(same) if whole.dim() > 3 else (1,)
    heads = {"squeezenet1_1": "flatten"}
    head = heads.get(architecture) or [name for name, each in model.named_modules() if isinstance(each, nn.Linear)][-1]

    def found(layer: str, dimension: int) -> torch.Tensor:
        preprocessing = {"resize": side, "crop": side}
        return vectors(
            image_spec(
                tmp_path, architecture=architecture, layer=layer, dimension=dimension, preprocessing=preprocessing
            ),
            pixels,
        )

    assert near(found(head, 1000), logits)
    expected = whole.mean(dim=axes)
    assert near(found(layer, expected.shape[1]), expected)


def published(state: State) -> State:
    """Return a state by the names of the files that torchvision publishes, which its models rename."""
    renamed = {}
    for name, tensor in state.items():
        numbered = re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name)
        first = re.sub(r"(encoder_layer_\d+\.mlp)\.0\.", r"\1.linear_1.", numbered)
        renamed[re.sub(r"(encoder_layer_\d+\.mlp)\.3\.", r"\1.linear_2.", first)] = tensor
    return renamed


def plain(architecture: str, side: int) -> nn.Module:
    """Return a model of torchvision with random weights and statistics, as with its published weights."""
    options: dict[str, Any] = {}
    if architecture in ("googlenet", "inception_v3"):
        options = {"transform_input": True, "init_weights": False}
    if architecture.startswith("vit_"):
        options = {"image_size": side}
    torch.manual_seed(3)
    model: nn.Module = getattr(models, architecture)(weights=None, **options).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            module.running_var.uniform_(0.5, 1.5)
    return model


def test_the_architectures_are_the_classification_models_of_the_installed_torchvision() -> None:
    assert set(models.list_models(module=models)) == ARCHITECTURES


LAYERS = [
    ("conv1", "average", 64),
    ("bn1", "average", 64),  # the next module modifies its output in place
    ("relu", "max", 64),
    ("maxpool", "average", 64),
    ("layer1", "max", 64),
    ("layer1.0.conv2", "average", 64),
    ("layer1.1", "average", 64),
    ("layer2", "average", 128),
    ("layer2.0.downsample", "max", 128),
    ("layer2.0.downsample.0", "average", 128),
    ("layer3", "average", 256),
    ("layer3", "flatten", 256 * 4 * 4),
    ("layer3.1.bn2", "max", 256),
    ("layer4", "average", 512),
    ("layer4", "max", 512),
    ("layer4", "flatten", 512 * 2 * 2),
    ("layer4.1.conv2", "flatten", 512 * 2 * 2),
    ("avgpool", "average", 512),
    ("avgpool", "flatten", 512),
    ("fc", "average", 10),
    ("fc", "max", 10),
    ("fc", "flatten", 10),
]


@pytest.mark.parametrize(("layer", "pooling", "dimension"), LAYERS)
def test_any_layer_can_be_read_and_pooled(
    plain_resnet: Callable[[str], Any],
    image_spec: MakeSpec,
    pixels: torch.Tensor,
    layer: str,
    pooling: str,
    dimension: int,
) -> None:
    states = features(plain_resnet("resnet18"), layer, pixels)
    if states.dim() == 4:
        pooled = {"average": lambda: states.mean((2, 3)), "max": lambda: states.flatten(2).max(2).values}
        states = pooled.get(pooling, lambda: states.reshape(3, -1))()
    assert near(vectors(image_spec(layer=layer, pooling=pooling, dimension=dimension), pixels), states)


@pytest.mark.parametrize(
    ("layer", "pooling", "dimension"), [("layer4", "average", 512), ("layer4", "flatten", 2048), ("fc", "average", 10)]
)
def test_normalised_vectors_keep_their_direction_and_have_length_one(
    image_spec: MakeSpec, pixels: torch.Tensor, layer: str, pooling: str, dimension: int
) -> None:
    fields = {"layer": layer, "pooling": pooling, "dimension": dimension}
    plain, normalised = (vectors(image_spec(l2_normalise=each, **fields), pixels) for each in (False, True))
    assert near(normalised, plain / plain.square().sum(1, keepdim=True).sqrt())
    assert not near(normalised, plain)


@pytest.mark.parametrize("layer", ["flatten", "layer4.1.relu_1"])
def test_a_graph_node_that_is_not_a_module_can_be_read(
    plain_resnet: Callable[[str], Any], image_spec: MakeSpec, pixels: torch.Tensor, layer: str
) -> None:
    expected = features(plain_resnet("resnet18"), "avgpool", pixels).flatten(1)
    assert near(vectors(image_spec(layer=layer), pixels), expected)


def test_a_layer_inside_a_block_of_a_deep_resnet_can_be_read(
    plain_resnet: Callable[[str], Any], image_spec: MakeSpec, pixels: torch.Tensor
) -> None:
    expected = features(plain_resnet("resnet50"), "layer3.5.conv2", pixels).mean((2, 3))
    spec = image_spec(architecture="resnet50", layer="layer3.5.conv2", dimension=256)
    assert near(vectors(spec, pixels), expected)


@pytest.fixture
def state(plain_resnet: Callable[[str], Any]) -> State:
    """The tensors of the plain ResNet-18 by name, in a dict that the test may modify."""
    return dict(plain_resnet("resnet18").state_dict())


def halves(state: State) -> State:
    return {name: each.half() if each.is_floating_point() else each for name, each in state.items()}


GOOD: dict[str, Callable[[State], Any]] = {
    "another number of classes": lambda state: state | {"fc.weight": torch.ones(3, 512), "fc.bias": torch.ones(3)},
    "no head": lambda state: {name: each for name, each in state.items() if not name.startswith("fc.")},
    "parameters": lambda state: {
        name: nn.Parameter(each) if each.is_floating_point() else each for name, each in state.items()
    },
    "ordered": OrderedDict,
    "without counters": lambda state: {name: each for name, each in state.items() if "num_batches" not in name},
    "double": lambda state: {name: each.double() for name, each in state.items()},
}


@pytest.fixture(scope="module")
def original(image_spec: MakeSpec, pixels: torch.Tensor) -> torch.Tensor:
    """The vectors of the plain ResNet-18's checkpoint."""
    return vectors(image_spec(), pixels)


@pytest.mark.parametrize("file", ["model.safetensors", "model.pth"])
@pytest.mark.parametrize("change", GOOD.values(), ids=GOOD)
def test_variants_of_a_checkpoint_produce_the_same_vectors(
    image_spec: MakeSpec,
    state: State,
    pixels: torch.Tensor,
    original: torch.Tensor,
    tmp_path: Path,
    change: Callable[[State], Any],
    file: str,
) -> None:
    save = save_file if file.endswith("safetensors") else torch.save
    save(change(state), tmp_path / file)
    assert near(vectors(image_spec(tmp_path, file), pixels), original)


def test_half_precision_weights_are_used_in_full_precision(
    image_spec: MakeSpec, state: State, pixels: torch.Tensor, tmp_path: Path
) -> None:
    save_file(halves(state), tmp_path / "half.safetensors")
    save_file({name: each.float() for name, each in halves(state).items()}, tmp_path / "full.safetensors")
    half, full = (vectors(image_spec(tmp_path, f"{each}.safetensors"), pixels) for each in ("half", "full"))
    assert half.dtype == torch.float32
    assert torch.equal(half, full)


def test_a_head_of_any_size_can_be_read(
    image_spec: MakeSpec, state: State, pixels: torch.Tensor, tmp_path: Path
) -> None:
    state |= {"fc.weight": torch.ones(3, 512), "fc.bias": torch.tensor([0.0, 1.0, 2.0])}
    torch.save(state, tmp_path / "model.pth")
    found = vectors(image_spec(tmp_path, "model.pth", layer="fc", dimension=3), pixels)
    assert torch.allclose(found - found[:, :1], torch.tensor([0.0, 1.0, 2.0]).expand(3, 3), atol=1e-4)


def test_a_network_is_in_evaluation_mode_and_keeps_its_batch_statistics(
    image_spec: MakeSpec, pixels: torch.Tensor
) -> None:
    network = load_network(image_spec())
    assert not any(module.training for module in network.modules())
    with torch.inference_mode():
        first, alone = network(pixels), network(pixels[:1])
    assert near(alone, first[:1])


@pytest.fixture
def refused(image_spec: MakeSpec, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Saves a checkpoint, loads it, and returns the sentence that refuses it; a warning of torch fails the test."""

    def load_refused(content: object, file: str = "model.pth", **fields: Any) -> str:
        if isinstance(content, bytes):
            (tmp_path / file).write_bytes(content)
        else:
            (save_file if file.endswith("safetensors") else torch.save)(content, tmp_path / file)
        with pytest.raises(UserError) as caught:
            load_network(image_spec(tmp_path, file, **fields))
        sentence = str(caught.value)
        assert "small@1.0.0" in sentence
        assert file in sentence
        assert len(sentence.splitlines()) == 1
        assert len(sentence) < 500
        return sentence

    yield load_refused
    shutil.rmtree(tmp_path)  # checkpoints are large


@pytest.mark.parametrize("found", ["resnet34", "resnet50"])
def test_weights_of_another_architecture_are_refused(
    plain_resnet: Callable[[str], Any], refused: Callable[..., str], found: str
) -> None:
    assert "is not a checkpoint of a resnet18" in refused(plain_resnet(found).state_dict())


def test_weights_that_lack_layers_are_refused(state: State, refused: Callable[..., str]) -> None:
    message = refused(state, architecture="resnet34")
    assert "is not a checkpoint of a resnet34" in message
    assert "layer1.2.conv1.weight" in message


WRONG: dict[str, Callable[[State], Any]] = {
    "the trainer's own dict": lambda state: {"epoch": 3, "state_dict": state},
    "the trainer's own dict of tensors": lambda state: {"epoch": torch.tensor(3), "state_dict": torch.zeros(1)},
    "a list": lambda state: list(state.values()),
    "one tensor": lambda state: state["conv1.weight"],
    "nothing": lambda state: {},
    "None": lambda state: None,
    "numbers for names": lambda state: dict(enumerate(state.values())),
    "names of a parallel model": lambda state: {f"module.{name}": each for name, each in state.items()},
    "another tensor too": lambda state: state | {"conv9.weight": torch.zeros(1)},
    "a tensor less": lambda state: {name: each for name, each in state.items() if name != "conv1.weight"},
    "another shape": lambda state: state | {"conv1.weight": torch.zeros(64, 3, 5, 5)},
    "whole numbers": lambda state: state | {"conv1.weight": torch.zeros(64, 3, 7, 7, dtype=torch.int64)},
    "whole statistics": lambda state: state | {"bn1.running_mean": torch.zeros(64, dtype=torch.int64)},
    "complex numbers": lambda state: state | {"conv1.weight": torch.zeros(64, 3, 7, 7, dtype=torch.complex64)},
    "sparse tensors": lambda state: state | {"conv1.weight": state["conv1.weight"].to_sparse()},
    "tensors without values": lambda state: state | {"conv1.weight": torch.zeros(64, 3, 7, 7, device="meta")},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_checkpoint_of_no_resnet_is_refused(
    state: State, refused: Callable[..., str], change: Callable[[State], Any]
) -> None:
    refused(change(state))


HEADS: dict[str, State] = {
    "none": {},
    "a bias alone": {"fc.bias": torch.zeros(10)},
    "one number for a bias": {"fc.weight": torch.zeros(10, 512), "fc.bias": torch.tensor(1.0)},
    "sizes that differ": {"fc.weight": torch.zeros(9, 512), "fc.bias": torch.zeros(10)},
    "no class at all": {"fc.weight": torch.zeros(0, 512), "fc.bias": torch.zeros(0)},
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_malformed_head_is_refused_when_it_is_read(state: State, refused: Callable[..., str], head: State) -> None:
    headless = {name: each for name, each in state.items() if not name.startswith("fc.")}
    refused(headless | head, layer="fc", dimension=10)


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._path,))


@pytest.mark.parametrize("form", ["torch.save", "torch.save of before 1.6", "pickle", "pickle of a later protocol"])
def test_code_in_a_checkpoint_is_refused_and_not_run(refused: Callable[..., str], tmp_path: Path, form: str) -> None:
    ran, file = tmp_path / "ran", io.BytesIO()
    content = {"conv1.weight": torch.zeros(1), "trap": Trap(ran)}
    if form.startswith("pickle"):
        pickle.dump({"trap": Trap(ran)}, file, protocol=2 if form == "pickle" else 5)
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form == "torch.save")
    assert "cannot be read" in refused(file.getvalue())
    assert not ran.exists()
    pickle.loads(pickle.dumps(Trap(ran)))
    assert ran.exists(), "the trap would not have caught anything"


NOT_WEIGHTS = {
    "empty": b"",
    "a text": b"hello world, these are no weights\n",
    "another text": b"version https://git-lfs.github.com/spec/v1\noid sha256:f37072fd\nsize 46830571\n",
    "a web page": b"<!doctype html><title>404</title>",
    "zeros": b"\0" * 4096,
    "the start of a zip": b"PK\x03\x04" + b"\0" * 60,
    "an empty zip": b"PK\x05\x06" + b"\0" * 18,
    "a letter": b"t",
    "an index out of range": b"\x80\x02h\x00.",
}


@pytest.mark.parametrize("file", ["model.safetensors", "model.pth"])
@pytest.mark.parametrize("content", NOT_WEIGHTS.values(), ids=NOT_WEIGHTS)
def test_a_file_that_is_not_a_checkpoint_is_refused(refused: Callable[..., str], content: bytes, file: str) -> None:
    assert "cannot be read" in refused(content, file)


@pytest.mark.parametrize("kept", [0.0001, 0.5, 0.9999])
@pytest.mark.parametrize("form", ["safetensors", "torch.save", "torch.save of before 1.6"])
def test_a_truncated_checkpoint_is_refused(
    state: State, refused: Callable[..., str], tmp_path: Path, form: str, kept: float
) -> None:
    path = tmp_path / "whole"
    if form == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "torch.save")
    content = path.read_bytes()
    file = "model.safetensors" if form == "safetensors" else "model.pth"
    assert "cannot be read" in refused(content[: int(len(content) * kept)], file)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dimension": 513}, "says dimension 513, but layer4 pooled by average has 512 values"),
        ({"layer": "layer3"}, "says dimension 512, but layer3 pooled by average has 256 values"),
        ({"pooling": "flatten"}, "says dimension 512, but layer4 pooled by flatten has 2048 values"),
        ({"layer": "layer5"}, "says layer layer5, but resnet18 has conv1, bn1, relu, maxpool, layer1"),
        ({"layer": "layer"}, "says layer layer, but resnet18 has conv1"),
        ({"layer": "layer4.2"}, "inside of them layers such as layer4.1.relu_1"),
        ({"layer": "layer4."}, "says layer layer4., but"),
        ({"layer": "x.y"}, "says layer x.y, but"),
    ],
    ids=str,
)
def test_a_spec_that_contradicts_its_network_is_refused(image_spec: MakeSpec, fields: State, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_network(image_spec(**fields))
    assert message in str(caught.value)
    assert str(caught.value).startswith("small@1.0.0 ")
    assert len(str(caught.value).splitlines()) == 1
