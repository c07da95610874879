"""Augmentation of 224x224 colour images with their masks, and of 64^3 volumes, on one thread, beside what people use.

pytest benchmarks/bench_augment.py --benchmark-columns=min,median --benchmark-sort=min --benchmark-group-by=group
All do flips, an affine map of image and mask, brightness, contrast, gamma, noise and blur, and give float images.
`masks_per_second` counts samples. Peers not installed are skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from qgssl_fast import backend
from qgssl_fast.ops.augment import Augmentation, augment, augment_views, strong_view, weak_view

IMAGES = "augment 224x224 RGB with mask"
VOLUMES = "augment 64^3 with mask"
ALL = Augmentation(
    flip=0.5, rotate_deg=20, scale=(0.85, 1.2), translate=0.08, brightness=0.2, contrast=0.3, saturation=0.3, gamma=0.3,
    noise=0.05, blur=1.2,
)  # fmt: skip


def store(*shape: int) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=g)
    masks = torch.zeros((shape[0], *shape[2:]), dtype=torch.uint8)
    masks[(slice(None), *(slice(side // 4, side // 2) for side in shape[2:]))] = 1
    return images, masks


@pytest.fixture(scope="module")
def images() -> tuple[Tensor, Tensor]:
    return store(32, 3, 224, 224)


@pytest.fixture(scope="module")
def volumes() -> tuple[Tensor, Tensor]:
    return store(4, 1, 64, 64, 64)


def albumentations(images: Tensor, masks: Tensor) -> Callable[[], Any]:
    A = pytest.importorskip("albumentations")
    cv2 = pytest.importorskip("cv2")
    cv2.setNumThreads(1)
    pipeline = A.Compose([
        A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5),
        A.Affine((0.85, 1.2), (-0.08, 0.08), rotate=(-20, 20), border_mode=cv2.BORDER_REFLECT, p=1),
        A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 1.2), p=1),
        A.ColorJitter(brightness=0.2, contrast=0.3, saturation=0.3, hue=0, p=1), A.RandomGamma((74, 135), p=1),
        A.GaussNoise(std_range=(0, 0.05), p=1), A.Normalize(mean=0.0, std=1.0),
    ])  # fmt: skip
    pairs = [(image.permute(1, 2, 0).contiguous().numpy(), mask.numpy()) for image, mask in zip(images, masks)]
    return lambda: [pipeline(image=image, mask=mask) for image, mask in pairs]


def torchvision(images: Tensor, masks: Tensor) -> Callable[[], Any]:
    T = pytest.importorskip("torchvision.transforms.v2")
    tv = pytest.importorskip("torchvision.tv_tensors")
    pipeline = T.Compose([
        T.RandomHorizontalFlip(), T.RandomVerticalFlip(),
        T.RandomAffine(20, (0.08, 0.08), (0.85, 1.2), interpolation=T.InterpolationMode.BILINEAR),
        T.GaussianBlur(7, (0.1, 1.2)), T.ColorJitter(0.2, 0.3, 0.3), T.ToDtype(torch.float32, scale=True),
        T.GaussianNoise(0, 0.025),
    ])  # fmt: skip
    pairs = [(tv.Image(image), tv.Mask(mask)) for image, mask in zip(images, masks)]
    return lambda: [pipeline(image, mask) for image, mask in pairs]


def kornia(images: Tensor, masks: Tensor) -> Callable[[], Any]:
    K = pytest.importorskip("kornia.augmentation")
    pipeline = K.AugmentationSequential(
        K.RandomHorizontalFlip(), K.RandomVerticalFlip(), K.RandomAffine(20, (0.08, 0.08), (0.85, 1.2), p=1.0),
        K.RandomGaussianBlur((7, 7), (0.1, 1.2), p=1.0), K.ColorJiggle(0.2, 0.3, 0.3, 0.0, p=1.0),
        K.RandomGamma((0.74, 1.35), p=1.0), K.RandomGaussianNoise(0, 0.025, p=1.0), data_keys=["input", "mask"],
    )  # fmt: skip
    values, labels = images.float() / 255, masks[:, None].float()
    return lambda: pipeline(values, labels)


def monai(images: Tensor, masks: Tensor) -> Callable[[], Any]:
    M = pytest.importorskip("monai.transforms")
    dims = images.dim() - 2
    both, one = ["image", "mask"], ["image"]
    pipeline = M.Compose([
        *(M.RandFlipd(both, 0.5, axis) for axis in range(dims)),
        M.RandAffined(both, prob=1.0, rotate_range=[0.35] if dims == 2 else [0.35, 0, 0], scale_range=[0.2] * dims,
                      translate_range=[0.08 * side for side in images.shape[2:]], mode=["bilinear", "nearest"]),
        M.RandGaussianSmoothd(one, (0.1, 1.2), (0.1, 1.2), (0.1, 1.2), prob=1.0), M.RandScaleIntensityd(one, 0.3, 1.0),
        M.RandShiftIntensityd(one, 0.2, prob=1.0), M.RandAdjustContrastd(one, 1.0, (0.74, 1.35)),
        M.RandGaussianNoised(one, 1.0, 0, 0.05),
    ])  # fmt: skip
    pairs = [{"image": image.float() / 255, "mask": mask[None]} for image, mask in zip(images, masks)]
    return lambda: [pipeline(pair) for pair in pairs]


def ours(images: Tensor, masks: Tensor, name: str) -> Callable[[], Any]:
    if why_not := backend.refusal(name, images.device):
        pytest.skip(why_not)
    ids = torch.arange(len(images))
    want = augment(images, masks, ALL, seed=0, sample_ids=ids, backend="reference")
    got = augment(images, masks, ALL, seed=0, sample_ids=ids, backend=name)
    assert torch.equal(want[1], got[1]), "wrong: not timed"
    assert (want[0] - got[0]).abs().max() < 1e-5, "wrong: not timed"
    return lambda: augment(images, masks, ALL, seed=0, sample_ids=ids, backend=name)


@pytest.mark.benchmark(group=IMAGES)
class TestImages:
    @pytest.mark.parametrize("name", ["native", "reference"])
    def test_ours(self, per_second, images, name):
        count = 32 if name == "native" else 4
        per_second(ours(images[0][:count], images[1][:count], name), count, None)

    def test_two_views(self, per_second, images):
        ids = torch.arange(32)
        per_second(lambda: augment_views(*images, weak_view(), strong_view(), seed=0, sample_ids=ids), 32, None)

    def test_instruction_set(self, per_second, images, isa):
        per_second(ours(*images, "native"), 32, None)

    @pytest.mark.parametrize("peer", [albumentations, torchvision, kornia, monai], ids=lambda peer: peer.__name__)
    def test_peer(self, per_second, images, peer):
        per_second(peer(images[0][:8], images[1][:8]), 8, None)

    def test_limit_copy(self, per_second, images):
        out = torch.empty(images[0].shape)
        per_second(lambda: out.copy_(images[0]), 32, None)


@pytest.mark.benchmark(group=VOLUMES)
class TestVolumes:
    def test_ours(self, per_second, volumes):
        per_second(ours(*volumes, "native"), 4, None)

    def test_monai(self, per_second, volumes):
        per_second(monai(volumes[0][:1], volumes[1][:1]), 1, None)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.benchmark(group="GPU: " + IMAGES)
class TestGpu:
    def test_ours(self, per_second, images):
        x, m, ids = images[0].cuda(), images[1].cuda(), torch.arange(32).cuda()
        per_second(lambda: augment(x, m, ALL, seed=0, sample_ids=ids)[0], 32, None)

    def test_kornia(self, per_second, images):
        per_second(kornia(images[0].cuda(), images[1].cuda()), 32, None)
