"""Elastic fields and affine maps of 224x224 masks on one thread, beside what people use; the limit is a copy.

pytest benchmarks/bench_warp.py --benchmark-columns=min,median --benchmark-sort=min --benchmark-group-by=group
`masks_per_second` (of the median) is in the extra info of --benchmark-json. Peers not installed are skipped. Each
draws a field of its own for each mask, of about the same displacement (3.4 px) and smoothness (5 px), and takes the
nearest pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from bench_corrupt import lesions
from torch import Tensor

from qgssl_fast import backend
from qgssl_fast.ops.warp import affine, elastic

SIDE, COUNT = 224, 64
AMPLITUDE, SMOOTHNESS = 3.385, 5.0  # px: of elastic_heavy
ELASTIC = "elastic, 224x224"
AFFINE = "affine by 17 degrees, 224x224"
VOLUMES = "elastic, 96^3"


@pytest.fixture(scope="module")
def masks() -> Tensor:
    return lesions(SIDE, COUNT)


def turned(count: int) -> Tensor:
    """Matrices that turn about the image's centre, to sources."""
    c, s, middle = math.cos(math.radians(17)), math.sin(math.radians(17)), (SIDE - 1) / 2
    rows = [[c, -s, middle - c * middle + s * middle], [s, c, middle - s * middle - c * middle]]
    return torch.tensor([rows]).expand(count, 2, 3)


def native(name: str) -> str:
    why_not = backend.refusal(name, torch.device("cpu"))
    if why_not:
        pytest.skip(why_not)
    return name


def opencv(masks: Tensor) -> Callable[[], Any]:
    cv2 = pytest.importorskip("cv2")
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    x, y = (at.astype(np.float32) for at in np.meshgrid(np.arange(SIDE), np.arange(SIDE)))
    # A Gaussian of this width leaves noise of U(-1, 1) that much of its standard deviation.
    gain = AMPLITUDE * math.sqrt(3) * 2 * math.sqrt(math.pi) * SMOOTHNESS

    def field() -> np.ndarray:
        noise = rng.uniform(-1, 1, (SIDE, SIDE)).astype(np.float32)
        return gain * cv2.GaussianBlur(noise, (0, 0), SMOOTHNESS)

    arrays = list(masks.numpy())
    return lambda: np.stack([cv2.remap(mask, x + field(), y + field(), cv2.INTER_NEAREST) for mask in arrays])


def kornia(masks: Tensor) -> Callable[[], Any]:
    elastic_transform2d = pytest.importorskip("kornia.geometry").elastic_transform2d
    values, size = masks[:, None].float(), (41, 41)  # 4 widths of the Gaussian to each side
    alpha = 2 / SIDE * AMPLITUDE * math.sqrt(3) * 2 * math.sqrt(math.pi) * SMOOTHNESS

    def run() -> Tensor:
        noise = torch.rand(len(values), 2, SIDE, SIDE) * 2 - 1
        sigma, gains = (SMOOTHNESS, SMOOTHNESS), (alpha, alpha)
        return elastic_transform2d(values, noise, size, sigma, gains, align_corners=True, mode="nearest")

    return run


def monai(masks: Tensor) -> Callable[[], Any]:
    transform = pytest.importorskip("monai.transforms").Rand2DElastic(
        spacing=(9, 9), magnitude_range=(8, 10), prob=1.0, mode="nearest", padding_mode="border"
    )
    values = masks[:, None].float()
    return lambda: torch.stack([transform(mask) for mask in values])


def copy(masks: Tensor) -> Callable[[], Any]:
    out = torch.empty_like(masks)
    return lambda: out.copy_(masks)


@pytest.mark.benchmark(group=ELASTIC)
class TestElastic:
    @pytest.mark.parametrize("name", ["native", "reference"])
    def test_ours(self, per_second, masks, name):
        want = elastic(masks, AMPLITUDE, SMOOTHNESS, backend="reference")
        per_second(lambda: elastic(masks, AMPLITUDE, SMOOTHNESS, backend=native(name)), len(masks), want)

    @pytest.mark.parametrize("peer", [opencv, kornia, monai], ids=lambda peer: peer.__name__)
    def test_peer(self, per_second, masks, peer):
        per_second(peer(masks[:4]), 4, None)

    def test_limit_copy(self, per_second, masks):
        per_second(copy(masks), len(masks), masks)

    def test_instruction_set(self, per_second, masks, isa):
        self.test_ours(per_second, masks, "native")


@pytest.fixture(scope="module")
def volumes() -> Tensor:
    """Ellipsoids of about a tenth of 96^3."""
    rng = np.random.default_rng(0)
    at = np.stack(np.indices((96, 96, 96)))
    shapes = [(rng.uniform(38, 58, (3, 1, 1, 1)), rng.uniform(20, 34, (3, 1, 1, 1))) for _ in range(4)]
    return torch.from_numpy(np.stack([(((at - c) / r) ** 2).sum(0) < 1 for c, r in shapes]).astype(np.uint8))


def torchio(masks: Tensor) -> Callable[[], Any]:
    module = pytest.importorskip("torchio")
    # Control points about 10 voxels apart, as fine as a field of 5 voxels' width needs.
    transform = module.RandomElasticDeformation(
        num_control_points=11, max_displacement=6, locked_borders=2, label_interpolation="nearest"
    )
    subjects = [module.Subject(mask=module.LabelMap(tensor=mask[None])) for mask in masks]
    return lambda: torch.stack([transform(subject).mask.data for subject in subjects])


def monai_volumes(masks: Tensor) -> Callable[[], Any]:
    transform = pytest.importorskip("monai.transforms").Rand3DElastic(
        sigma_range=(5, 5.01), magnitude_range=(100, 110), prob=1.0, mode="nearest", padding_mode="border"
    )
    values = masks[:, None].float()
    return lambda: torch.stack([transform(mask) for mask in values])


@pytest.mark.benchmark(group=VOLUMES)
class TestElasticOfVolumes:
    def test_ours(self, per_second, volumes):
        want = elastic(volumes, AMPLITUDE, SMOOTHNESS, backend="reference")
        run = native("native")
        per_second(lambda: elastic(volumes, AMPLITUDE, SMOOTHNESS, backend=run), len(volumes), want)

    @pytest.mark.parametrize("peer", [pytest.param(torchio, id="torchio"), pytest.param(monai_volumes, id="monai")])
    def test_peer(self, per_second, volumes, peer):
        per_second(peer(volumes[:1]), 1, None)

    def test_limit_copy(self, per_second, volumes):
        per_second(copy(volumes), len(volumes), volumes)


@pytest.mark.benchmark(group=AFFINE)
class TestAffine:
    @pytest.mark.parametrize("truncate", [False, True], ids=["nearest", "truncate"])
    @pytest.mark.parametrize("name", ["native", "reference"])
    def test_ours(self, per_second, masks, name, truncate):
        matrices = turned(len(masks))
        want = affine(masks, matrices, truncate=truncate, backend="reference")
        per_second(lambda: affine(masks, matrices, truncate=truncate, backend=native(name)), len(masks), want)

    def test_opencv(self, per_second, masks):
        cv2 = pytest.importorskip("cv2")
        cv2.setNumThreads(1)
        matrix, arrays = turned(1)[0].double().numpy(), list(masks.numpy())
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        size = (SIDE, SIDE)
        per_second(lambda: np.stack([cv2.warpAffine(a, matrix, size, flags=flags) for a in arrays]), len(arrays), None)
