"""Augmentation of 224x224 colour images with their masks, and of 64^3 volumes, beside what people use.

All do flips, an affine map of image and mask, brightness, contrast, gamma, noise and blur, and give float images.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..ops.augment import Augmentation, augment
from .case import Case, Check, Contender, Run, Work, Wrong, copy_limit, need, serves

ALL = Augmentation(
    flip=0.5, rotate_deg=20, scale=(0.85, 1.2), translate=0.08, brightness=0.2, contrast=0.3, saturation=0.3, gamma=0.3,
    noise=0.05, blur=1.2,
)  # fmt: skip
Pairs = tuple[Tensor, Tensor]
Augmenter = Callable[[Tensor, Tensor], Run]


@functools.cache
def store(*shape: int) -> Pairs:
    """uint8 images [B, C, *S] of noise and masks [B, *S] of a square or cube."""
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=g)
    masks = torch.zeros((shape[0], *shape[2:]), dtype=torch.uint8)
    middle = (slice(None), *(slice(side // 4, side // 2) for side in shape[2:]))
    masks[middle] = 1
    return images, masks


IMAGES, VOLUMES = (32, 3, 224, 224), (4, 1, 64, 64, 64)
images = functools.partial(store, *IMAGES)


def albumentations(images: Tensor, masks: Tensor) -> Run:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for its newest version
    A = need("albumentations")
    cv2 = need("cv2")
    cv2.setNumThreads(torch.get_num_threads())
    pipeline = A.Compose([
        A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5),
        A.Affine((0.85, 1.2), (-0.08, 0.08), rotate=(-20, 20), border_mode=cv2.BORDER_REFLECT, p=1),
        A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 1.2), p=1),
        A.ColorJitter(brightness=0.2, contrast=0.3, saturation=0.3, hue=0, p=1), A.RandomGamma((74, 135), p=1),
        A.GaussNoise(std_range=(0, 0.05), p=1), A.Normalize(mean=0.0, std=1.0),
    ])  # fmt: skip
    pairs = [(image.permute(1, 2, 0).contiguous().numpy(), mask.numpy()) for image, mask in zip(images, masks)]
    return lambda: [pipeline(image=image, mask=mask) for image, mask in pairs]


def torchvision(images: Tensor, masks: Tensor) -> Run:
    T = need("torchvision.transforms.v2")
    tv = need("torchvision.tv_tensors")
    pipeline = T.Compose([
        T.RandomHorizontalFlip(), T.RandomVerticalFlip(),
        T.RandomAffine(20, (0.08, 0.08), (0.85, 1.2), interpolation=T.InterpolationMode.BILINEAR),
        T.GaussianBlur(7, (0.1, 1.2)), T.ColorJitter(0.2, 0.3, 0.3), T.ToDtype(torch.float32, scale=True),
        T.GaussianNoise(0, 0.025),
    ])  # fmt: skip
    pairs = [(tv.Image(image), tv.Mask(mask)) for image, mask in zip(images, masks)]
    return lambda: [pipeline(image, mask) for image, mask in pairs]


def kornia(images: Tensor, masks: Tensor) -> Run:
    K = need("kornia.augmentation")
    pipeline = K.AugmentationSequential(
        K.RandomHorizontalFlip(), K.RandomVerticalFlip(), K.RandomAffine(20, (0.08, 0.08), (0.85, 1.2), p=1.0),
        K.RandomGaussianBlur((7, 7), (0.1, 1.2), p=1.0), K.ColorJiggle(0.2, 0.3, 0.3, 0.0, p=1.0),
        K.RandomGamma((0.74, 1.35), p=1.0), K.RandomGaussianNoise(0, 0.025, p=1.0), data_keys=["input", "mask"],
    )  # fmt: skip
    values, labels = images.float() / 255, masks[:, None].float()
    return lambda: pipeline(values, labels)


def monai(images: Tensor, masks: Tensor) -> Run:
    M = need("monai.transforms")
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


def ours(images: Tensor, masks: Tensor, name: str) -> Run:
    ids = torch.arange(len(images))
    return lambda: augment(images, masks, ALL, seed=0, sample_ids=ids, backend=name)


def as_the_reference(images: Tensor, masks: Tensor) -> Check:
    def check(got: Any) -> None:
        want = ours(images, masks, "reference")()
        if differ := int((want[1] != got[1]).sum()):
            raise Wrong(f"{differ} pixels of the masks differ from the reference")
        if (worst := float((want[0] - got[0]).abs().max())) >= 1e-5:
            raise Wrong(f"images differ from the reference by up to {worst:.2g}")

    return check


def augmented(images: Tensor, masks: Tensor) -> Check:
    """A peer's chance is its own: it must give as many finite images, of the same size, none as it was."""

    def pictures(got: Any) -> list[Tensor]:
        if isinstance(got[0], Tensor) and got[0].shape == images.shape:
            return list(got[0])
        firsts = [one["image"] if isinstance(one, dict) else one[0] for one in got]
        return [x if isinstance(x, Tensor) else torch.as_tensor(x).movedim(-1, 0) for x in firsts]

    def check(got: Any) -> None:
        found = pictures(got)
        if [x.shape for x in found] != [x.shape for x in images]:
            raise Wrong(f"shapes {[list(x.shape) for x in found][:2]}, wanted {list(images.shape[1:])}")
        for x, before in zip(found, images):
            if not torch.isfinite(x).all() or not x.is_floating_point():
                raise Wrong("not finite floats")
            if (x - before / 255).abs().mean() < 0.01:
                raise Wrong("an image is as it was")

    return check


def case(name: str, title: str, shape: tuple[int, ...], peers: Mapping[str, Augmenter]) -> Case:
    """uint8 image and mask are read, float image and uint8 mask written."""

    def backed(backend: str, count: int | None) -> Work:
        some = store(*shape)[0][:count], store(*shape)[1][:count]
        return Work(ours(*some, serves(backend)), len(some[0]), as_the_reference(*some))

    def peer(factory: Augmenter, count: int) -> Work:
        some = store(*shape)[0][:count], store(*shape)[1][:count]
        return Work(factory(*some), len(some[0]), augmented(*some))

    few = 8 if len(peers) > 1 else 1
    pixels = math.prod(shape[2:])
    size = pixels * (5 * shape[1] + 2)
    contenders = (
        Contender("native", "ours", functools.partial(backed, "native", None)),
        Contender("reference", "reference", functools.partial(backed, "reference", few // 2 or 1)),
        *(Contender(one, "peer", functools.partial(peer, factory, few)) for one, factory in peers.items()),
        copy_limit(size, shape[0]),
    )
    return Case(name, "augment", title, "samples", size, contenders)


PEERS = {"albumentations": albumentations, "torchvision": torchvision, "kornia": kornia, "monai": monai}
AUGMENT = case("augment_2d", "augment 224x224 RGB with mask", IMAGES, PEERS)
AUGMENT_3D = case("augment_3d", "augment 64^3 with mask", VOLUMES, {"monai": monai})
CASES = (AUGMENT, AUGMENT_3D)
