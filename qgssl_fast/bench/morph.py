"""Erosion 7x7 of 224x224 and 7x7x7 of 96^3 beside what people use; all of them must give the reference's pixels."""

from __future__ import annotations

import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..kernels.reference import morph as reference
from ..ops.morph import erode
from .case import Case, Run, copy_limit, need, on_masks
from .shapes import blobs

RADIUS = 3


def ours(masks: Tensor, name: str) -> Run:
    out = torch.empty_like(masks)
    return lambda: erode(masks, RADIUS, out=out, backend=name)


def opencv(masks: Tensor) -> Run:
    cv2 = need("cv2")
    cv2.setNumThreads(torch.get_num_threads())
    square, arrays = np.ones((7, 7), np.uint8), list(masks.numpy())
    return lambda: np.stack([cv2.erode(array, square) for array in arrays])


def scipy(masks: Tensor) -> Run:
    ndimage = need("scipy.ndimage")
    window, arrays = np.ones((7,) * (masks.dim() - 1), bool), list(masks.numpy())
    return lambda: np.stack([ndimage.binary_erosion(array, window, border_value=1) for array in arrays])


def scikit_image(masks: Tensor) -> Run:
    morphology = need("skimage.morphology")
    square = morphology.footprint_rectangle((7,) * (masks.dim() - 1), dtype=bool, decomposition="separable")
    arrays = list(masks.bool().numpy())
    return lambda: np.stack([morphology.erosion(array, square, mode="ignore") for array in arrays])


def kornia(masks: Tensor) -> Run:
    erosion = need("kornia.morphology").erosion
    values, window = masks[:, None].float(), torch.ones(7, 7)
    return lambda: erosion(values, window)


def monai(masks: Tensor) -> Run:
    erosion = need("monai.transforms.utils_morphological_ops").erode
    values, filter_size = masks[:, None].float(), (7,) * (masks.dim() - 1)
    return lambda: erosion(values, filter_size, pad_value=1.0)


def fastmorph(masks: Tensor) -> Run:
    module = need("fastmorph")
    # Its window has side 3: three times is side 7. Its border rules differ: it gets a border of ones, a fifth more.
    arrays = [np.pad(array, RADIUS, constant_values=True) for array in masks.bool().numpy()]
    inner = (slice(RADIUS, -RADIUS),) * (masks.dim() - 1)
    threads = torch.get_num_threads()
    return lambda: np.stack([module.erode(array, iterations=RADIUS, parallel=threads)[inner] for array in arrays])


def max_pool(masks: Tensor) -> Run:
    pool = F.max_pool2d if masks.dim() == 3 else F.max_pool3d
    values = masks[:, None].float()
    return lambda: 1 - pool(1 - values, 7, stride=1, padding=RADIUS)


def want(masks: Tensor) -> Tensor:
    return reference.erode(masks, RADIUS)


PEERS_2D = {"opencv": (opencv, 64), "scipy": (scipy, 8), "scikit-image": (scikit_image, 8), "kornia": (kornia, 4),
            "monai": (monai, 4), "max_pool": (max_pool, 4)}  # fmt: skip
PEERS_3D = {"scipy": (scipy, 1), "scikit-image": (scikit_image, 1), "fastmorph": (fastmorph, 1), "monai": (monai, 1),
            "max_pool": (max_pool, 1)}  # fmt: skip

images, volumes = functools.partial(blobs, 64, 224, 224), functools.partial(blobs, 2, 96, 96, 96)
ERODE = Case(
    "erode", "morph", "erode 7x7, 224x224", "masks", 2 * 224**2,
    (*on_masks(images, want, ours, PEERS_2D), copy_limit(2 * 224**2, 64)),
)  # fmt: skip
ERODE_3D = Case(
    "erode_3d", "morph", "erode 7x7x7, 96^3", "volumes", 2 * 96**3,
    (*on_masks(volumes, want, ours, PEERS_3D, references=1), copy_limit(2 * 96**3, 2)),
)  # fmt: skip
ERODE_MANY = Case(
    "erode_many", "morph", "erode 7x7, 224x224, 512 masks: no cache holds them", "masks", 2 * 224**2,
    (on_masks(lambda: images().repeat(8, 1, 1), lambda masks: want(images()).repeat(8, 1, 1), ours, {})[0],
     copy_limit(2 * 224**2, 512)),
)  # fmt: skip
CASES = (ERODE, ERODE_MANY, ERODE_3D)
