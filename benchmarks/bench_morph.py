"""Erosion 7x7 of 224x224 and 7x7x7 of 96^3 on one thread, beside what people use; the limit is a copy of the bytes.

pytest benchmarks/bench_morph.py --benchmark-columns=min,median --benchmark-sort=min --benchmark-group-by=group
`masks_per_second` (of the median) is in the extra info of --benchmark-json. Peers not installed are skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from qgssl_fast import backend
from qgssl_fast.kernels.reference import morph as reference
from qgssl_fast.ops.morph import erode

RADIUS = 3
IMAGES = "erode 7x7, 224x224"
VOLUMES = "erode 7x7x7, 96^3"


def blobs(*shape: int) -> Tensor:
    noise = torch.rand((shape[0], 1, *(side // 8 for side in shape[1:])), generator=torch.Generator().manual_seed(0))
    smooth = F.interpolate(noise, size=shape[1:], mode="bilinear" if len(shape) == 3 else "trilinear")
    return (smooth[:, 0] > 0.45).to(torch.uint8)


@pytest.fixture(scope="module")
def images() -> tuple[Tensor, Tensor]:
    masks = blobs(64, 224, 224)
    return masks, reference.erode(masks, RADIUS)


@pytest.fixture(scope="module")
def volumes() -> tuple[Tensor, Tensor]:
    masks = blobs(2, 96, 96, 96)
    return masks, reference.erode(masks, RADIUS)


def opencv(masks: Tensor) -> Callable[[], Any]:
    cv2 = pytest.importorskip("cv2")
    cv2.setNumThreads(1)
    square, arrays = np.ones((7, 7), np.uint8), list(masks.numpy())
    return lambda: np.stack([cv2.erode(array, square) for array in arrays])


def scipy(masks: Tensor) -> Callable[[], Any]:
    ndimage = pytest.importorskip("scipy.ndimage")
    window, arrays = np.ones((7,) * (masks.dim() - 1), bool), list(masks.numpy())
    return lambda: np.stack([ndimage.binary_erosion(array, window, border_value=1) for array in arrays])


def kornia(masks: Tensor) -> Callable[[], Any]:
    erosion = pytest.importorskip("kornia.morphology").erosion
    values, window = masks[:, None].float(), torch.ones(7, 7)
    return lambda: erosion(values, window)


def monai(masks: Tensor) -> Callable[[], Any]:
    erosion = pytest.importorskip("monai.transforms.utils_morphological_ops").erode
    values, filter_size = masks[:, None].float(), (7,) * (masks.dim() - 1)
    return lambda: erosion(values, filter_size, pad_value=1.0)


def fastmorph(masks: Tensor) -> Callable[[], Any]:
    module = pytest.importorskip("fastmorph")
    # Its window has side 3: three times is side 7. Its border rules differ: it gets a border of ones, a fifth more.
    arrays = [np.pad(array, RADIUS, constant_values=True) for array in masks.bool().numpy()]
    inner = (slice(RADIUS, -RADIUS),) * (masks.dim() - 1)
    return lambda: np.stack([module.erode(array, iterations=RADIUS, parallel=1)[inner] for array in arrays])


def max_pool(masks: Tensor) -> Callable[[], Any]:
    pool = F.max_pool2d if masks.dim() == 3 else F.max_pool3d
    values = masks[:, None].float()
    return lambda: 1 - pool(1 - values, 7, stride=1, padding=RADIUS)


def copy(masks: Tensor) -> Callable[[], Any]:
    out = torch.empty_like(masks)
    return lambda: out.copy_(masks)


PEERS_2D = [opencv, scipy, kornia, monai, max_pool]
PEERS_3D = [scipy, fastmorph, monai, max_pool]


def ours(masks: Tensor, name: str) -> Callable[[], Any]:
    why_not = backend.refusal(name, masks.device)
    if why_not:
        pytest.skip(why_not)
    return lambda: erode(masks, RADIUS, backend=name)


@pytest.mark.benchmark(group=IMAGES)
class TestImages:
    @pytest.mark.parametrize("name", ["native", "reference"])
    def test_ours(self, per_second, images, name):
        per_second(ours(images[0], name), len(images[0]), images[1])

    @pytest.mark.parametrize("peer", PEERS_2D, ids=lambda peer: peer.__name__)
    def test_peer(self, per_second, images, peer):
        count = 64 if peer is opencv else 4
        per_second(peer(images[0][:count]), count, images[1][:count])

    def test_limit_copy(self, per_second, images):
        per_second(copy(images[0]), len(images[0]), images[0])

    def test_instruction_set(self, per_second, images, isa):
        per_second(ours(images[0], "native"), len(images[0]), images[1])


@pytest.mark.benchmark(group=IMAGES + ", 512 masks: no cache holds them")
class TestImagesFromMemory:
    @pytest.fixture(scope="class")
    def many(self, images) -> tuple[Tensor, Tensor]:
        return images[0].repeat(8, 1, 1), images[1].repeat(8, 1, 1)

    def test_ours(self, per_second, many):
        per_second(ours(many[0], "native"), len(many[0]), many[1])

    def test_limit_clone(self, per_second, many):
        """Like ours, into memory that is asked for each time."""
        per_second(many[0].clone, len(many[0]), many[0])


@pytest.mark.benchmark(group=VOLUMES)
class TestVolumes:
    def test_ours(self, per_second, volumes):
        per_second(ours(volumes[0], "native"), len(volumes[0]), volumes[1])

    @pytest.mark.parametrize("peer", PEERS_3D, ids=lambda peer: peer.__name__)
    def test_peer(self, per_second, volumes, peer):
        per_second(peer(volumes[0][:1]), 1, volumes[1][:1])

    def test_limit_copy(self, per_second, volumes):
        per_second(copy(volumes[0]), len(volumes[0]), volumes[0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.benchmark(group="GPU: " + IMAGES)
class TestGpu:
    @pytest.mark.parametrize("name", ["cuda", "triton", "native", "reference"])
    def test_ours(self, per_second, images, name):
        masks = images[0].cuda().repeat(64, 1, 1)
        per_second(ours(masks, name), len(masks), images[1].repeat(64, 1, 1))

    def test_limit_copy(self, per_second, images):
        masks = images[0].cuda().repeat(64, 1, 1)
        per_second(copy(masks), len(masks), images[0].repeat(64, 1, 1))
