"""Attacks on the vectors of images break an encoder that is known to leak, and find nothing in noise."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoders.encoder import Encoded
from encoders.spec import EncoderSpec
from rawless.audit.leakage import contact_sheet
from rawless.audit.leakage.attack import Measure, measure
from rawless.audit.leakage.attacks import Setting, Side, attacks_for, decoder_attack
from rawless.audit.leakage.contact_sheet import check_folder, write_sheet
from rawless.audit.leakage.image_contents import Pictures, pictures_of
from rawless.audit.leakage.images import found_first
from rawless.audit.leakage.picture_similarity import psnr, ssim
from rawless.audit.leakage.records import Record
from rawless.cli.commands.audit_pictures import describe_drawings
from rawless.content import ImageLimits
from rawless.errors import UserError
from rawless.privacy import Raw, Reason
from tests.tiny_towers import Towers

LIMITS = ImageLimits()


class PixelProjection:
    """A control that is known to leak: a random projection of the pixels that an encoder sees, made small."""

    runtime, capacity = "numpy", 1

    def __init__(self, spec: EncoderSpec) -> None:
        self.spec = spec
        self._map = np.random.default_rng(1).standard_normal((3 * 8 * 8, spec.dimension), np.float32)

    def encode(
        self, items: Sequence[Raw[bytes]], limits: ImageLimits = LIMITS, role: str = "document"
    ) -> list[Encoded | Reason]:
        pictures = pictures_of([item.reveal() for item in items], self.spec, side=8)
        return [Encoded(vector, truncated=False) for vector in pictures.reshape(len(items), -1) @ self._map]

    def submit(self, *arguments: object) -> None:
        raise NotImplementedError

    def check_progress(self) -> None:
        pass


def smooth_picture(generator: np.random.Generator) -> tuple[bytes, str]:
    """Return a PNG of smooth random colours, and whether it is brighter at the top."""
    grid = generator.integers(0, 256, (3, 2, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(grid).resize((28, 28), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue(), "yes" if grid[0].mean() > grid[2].mean() else "no"


@pytest.fixture(scope="module")
def setting(towers: Towers) -> Setting:
    """Pictures and their vectors by the control."""
    generator, encoder = np.random.default_rng(2), PixelProjection(towers.image)
    sides = []
    for count in (240, 60):
        pictures = [smooth_picture(generator) for _ in range(count)]
        records = [Record(Raw(content), Raw({"bright_top": label})) for content, label in pictures]
        vectors = [each.vector for each in encoder.encode([record.content for record in records])]  # type: ignore[union-attr]
        sides.append(Side(records, np.array(vectors)))
    return Setting(encoder, *sides, attributes=["bright_top"])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def measures(setting: Setting) -> dict[str, Measure]:
    """What all attacks on images find, by metric."""
    planned = attacks_for("image", setting)
    return {each.metric: each for plan in planned for each in measure(plan.attack, plan.auxiliary, plan.attacked)}


@pytest.mark.parametrize(
    ("metric", "at_least"),
    [
        ("image_attribute_bright_top_100_auc", 0.75),
        ("image_attribute_bright_top_100_gain", 0.3),
        ("image_near_duplicate", 0.6),
        ("image_ssim", 0.5),
        ("image_reidentification", 0.8),
    ],
)
def test_the_control_encoder_is_broken_and_noise_is_not(
    measures: dict[str, Measure], metric: str, at_least: float
) -> None:
    found = measures[metric]

    assert found.low <= found.value <= found.high
    assert found.value >= at_least
    assert found.prior is not None
    for control in (found.control, found.shuffled):
        assert control <= found.prior + 0.2
        assert control < found.low
    if metric != "image_attribute_bright_top_100_gain":
        assert found.control == pytest.approx(found.prior, abs=0.2)


def test_a_drawing_of_noise_is_the_mean_picture(setting: Setting) -> None:
    attack, generator = decoder_attack(setting), np.random.default_rng(3)
    noise = [
        generator.standard_normal(side.vectors.shape, np.float32) for side in (setting.auxiliary, setting.attacked)
    ]

    of_noise, guess = attack.psnr(attack.draw(noise[0], noise[1]))
    of_vectors, _ = attack.psnr(attack.draw(setting.auxiliary.vectors, setting.attacked.vectors))

    assert of_noise == pytest.approx(guess, abs=0.5)
    assert of_vectors > guess + 3


def test_the_similarity_is_that_of_the_paper() -> None:
    generator = np.random.default_rng(4)
    one, other = generator.uniform(0, 1, (2, 1, 3, 12, 11)).astype(np.float32)

    weights = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = np.outer(weights, weights) / weights.sum() ** 2
    x, y = (np.tensordot([0.299, 0.587, 0.114], each[0].astype(np.float64), 1) for each in (one, other))
    expected = []
    for top in range(2):
        a, b = x[top : top + 11], y[top : top + 11]
        mean_a, mean_b = (window * a).sum(), (window * b).sum()
        spread_a, spread_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
        both = (window * (a - mean_a) * (b - mean_b)).sum()
        luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
        expected.append(luminance * (2 * both + 9e-4) / (spread_a + spread_b + 9e-4))

    assert ssim(one, other)[0] == pytest.approx(np.mean(expected), abs=1e-7)
    assert ssim(one, one)[0] == pytest.approx(1)
    assert psnr(np.zeros_like(one), np.full_like(one, 0.1))[0] == pytest.approx(20, abs=1e-4)


def test_rows_that_are_equally_near_are_a_guess() -> None:
    rows = np.ones((5, 3), np.float32)

    np.testing.assert_allclose(found_first(rows, rows, np.arange(5)), 0.2)
    np.testing.assert_allclose(found_first(np.eye(3, dtype=np.float32), rows[:3], np.arange(3)), 1 / 3)


def noise(count: int) -> Pictures:
    return np.random.default_rng(5).uniform(0, 1, (count, 3, 4, 4)).astype(np.float32)


def test_a_sheet_has_picture_and_drawing_side_by_side(tmp_path: Path) -> None:
    pictures, drawn = noise(10), 1 - noise(10)

    write_sheet(tmp_path / "sheet.png", contact_sheet.contact_sheet(pictures, drawn))

    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    ninth = sheet[12:20, 0:16].astype(float) / 255
    np.testing.assert_allclose(ninth[::2, :8:2], pictures[8].transpose(1, 2, 0), atol=0.01)
    np.testing.assert_allclose(ninth[::2, 8::2], drawn[8].transpose(1, 2, 0), atol=0.01)
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
    assert (tmp_path / "sheet.png").stat().st_mode & 0o077 == 0
    with pytest.raises(UserError, match=r"cannot be written \(FileNotFoundError\): name another folder"):
        write_sheet(tmp_path / "missing" / "sheet.png", contact_sheet.contact_sheet(pictures, drawn))


def test_what_was_drawn_is_described() -> None:
    drawn = {"psnr": 22.94, "psnr_of_mean": 17.99}

    assert list(describe_drawings(drawn | {"file": "/a/b.png", "pairs": 9})) == [
        "Drawings have a peak signal-to-noise ratio of 22.9 dB, the mean picture one of 18.0 dB.",
        "9 pictures, beside drawings of them, are in /a/b.png: raw content, to be deleted.",
    ]
    assert len(list(describe_drawings(drawn))) == 1


def test_pictures_are_written_where_raw_may_be_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, bucket, local = (tmp_path / name for name in ("home", "bucket", "local"))
    for folder in (home / "inner", bucket, local):
        folder.mkdir(parents=True)
    (tmp_path / "link").symlink_to(home)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"overlay / overlay rw 0 0\nbucket {bucket} fuse.gcsfuse rw 0 0\n")
    monkeypatch.setattr(contact_sheet, "_MOUNTS", mounts)

    assert check_folder(local, home, is_local=False) == local.resolve()
    assert check_folder(bucket, home, is_local=True) == bucket.resolve()
    for folder, words in (
        (Path("gs://bucket/pictures"), "is not a folder on this machine"),
        (home / "inner", "in the home folder"),
        (tmp_path / "link", "in the home folder"),
        (bucket, r"mounted from elsewhere \(fuse.gcsfuse\)"),
    ):
        with pytest.raises(UserError, match=words):
            check_folder(folder, home, is_local=False)
