"""Elastic fields and affine maps of 224x224 masks, and elastic fields of 96^3, beside what people use.

Peers draw fields of their own, of about the same displacement (3.4 px) and smoothness (5 px), and take the nearest
pixels: what they give must be as far from the input as ours is.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from ..ops.warp import affine, elastic
from .case import Case, Check, Run, Wrong, copy_limit, need, on_masks
from .shapes import ellipsoids, lesions

SIDE, COUNT = 224, 64
AMPLITUDE, SMOOTHNESS = 3.385, 5.0  # px: of elastic_heavy
GAIN = AMPLITUDE * math.sqrt(3) * 2 * math.sqrt(math.pi) * SMOOTHNESS
"""A Gaussian of that width leaves noise of U(-1, 1) this much less of its amplitude."""


def ours(masks: Tensor, name: str) -> Run:
    return lambda: elastic(masks, AMPLITUDE, SMOOTHNESS, backend=name)


def want(masks: Tensor) -> Tensor:
    return elastic(masks, AMPLITUDE, SMOOTHNESS, backend="reference")


def turned(count: int) -> Tensor:
    """Matrices that turn about the image's centre, to sources."""
    c, s, middle = math.cos(math.radians(17)), math.sin(math.radians(17)), (SIDE - 1) / 2
    rows = [[c, -s, middle - c * middle + s * middle], [s, c, middle - s * middle - c * middle]]
    return torch.tensor([rows]).expand(count, 2, 3)


def turning(truncate: bool, masks: Tensor, name: str) -> Run:
    matrices = turned(len(masks))
    return lambda: affine(masks, matrices, truncate=truncate, backend=name)


def changed_as_much(masks: Tensor) -> Check:
    """The share of pixels that change is within a factor of three of ours."""
    mine = float((want(masks) != masks).float().mean())

    def check(got: object) -> None:
        theirs = float((torch.as_tensor(got).reshape(masks.shape) != masks).float().mean())
        if not mine / 3 < theirs < mine * 3:
            raise Wrong(f"{theirs:.2%} of the pixels change, {mine:.2%} with ours")

    return check


def nearly_turned(masks: Tensor) -> Check:
    """Where a rotation's source falls half-way between pixels, roundings may differ."""
    want = turning(False, masks, "reference")()

    def check(got: object) -> None:
        differ = float((torch.as_tensor(got).reshape(masks.shape) != want).float().mean())
        if differ > 1e-3:
            raise Wrong(f"{differ:.2%} of the pixels differ from the reference")

    return check


def opencv(masks: Tensor) -> Run:
    cv2 = need("cv2")
    cv2.setNumThreads(torch.get_num_threads())
    rng = np.random.default_rng(0)
    x, y = (at.astype(np.float32) for at in np.meshgrid(np.arange(SIDE), np.arange(SIDE)))

    def field() -> np.ndarray:
        noise = rng.uniform(-1, 1, (SIDE, SIDE)).astype(np.float32)
        return GAIN * cv2.GaussianBlur(noise, (0, 0), SMOOTHNESS)

    arrays = list(masks.numpy())
    return lambda: np.stack([cv2.remap(mask, x + field(), y + field(), cv2.INTER_NEAREST) for mask in arrays])


def kornia(masks: Tensor) -> Run:
    elastic_transform2d = need("kornia.geometry").elastic_transform2d
    values, size = masks[:, None].float(), (41, 41)  # 4 widths of the Gaussian to each side
    alpha = 2 / SIDE * GAIN

    def run() -> Tensor:
        noise = torch.rand(len(values), 2, SIDE, SIDE) * 2 - 1
        sigma, gains = (SMOOTHNESS, SMOOTHNESS), (alpha, alpha)
        return elastic_transform2d(values, noise, size, sigma, gains, align_corners=True, mode="nearest")

    return run


def monai(masks: Tensor) -> Run:
    transform = need("monai.transforms").Rand2DElastic(
        spacing=(9, 9), magnitude_range=(8, 10), prob=1.0, mode="nearest", padding_mode="border"
    )
    values = masks[:, None].float()
    return lambda: torch.stack([transform(mask) for mask in values])


def torchio(masks: Tensor) -> Run:
    module = need("torchio")
    # Control points 14 voxels apart: the finest grid that may be moved so far without folding.
    transform = module.RandomElasticDeformation(
        num_control_points=10, max_displacement=12, locked_borders=2, label_interpolation="nearest"
    )
    subjects = [module.Subject(mask=module.LabelMap(tensor=mask[None])) for mask in masks]
    return lambda: torch.stack([transform(subject).mask.data for subject in subjects])


def monai_volumes(masks: Tensor) -> Run:
    transform = need("monai.transforms").Rand3DElastic(
        sigma_range=(5, 5.01), magnitude_range=(440, 450), prob=1.0, mode="nearest", padding_mode="border"
    )
    values = masks[:, None].float()
    return lambda: torch.stack([transform(mask) for mask in values])


def opencv_turning(masks: Tensor) -> Run:
    cv2 = need("cv2")
    cv2.setNumThreads(torch.get_num_threads())
    matrix, arrays = turned(1)[0].double().numpy(), list(masks.numpy())
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return lambda: np.stack([cv2.warpAffine(a, matrix, (SIDE, SIDE), flags=flags) for a in arrays])


PEERS = {"opencv": (opencv, 16), "kornia": (kornia, 4), "monai": (monai, 4)}
PEERS_3D = {"torchio": (torchio, 1), "monai": (monai_volumes, 1)}

images, volumes = functools.partial(lesions, SIDE, COUNT), functools.partial(ellipsoids, 96)
ELASTIC = Case(
    "elastic", "warp", "elastic, 224x224", "masks", 2 * SIDE**2,
    (*on_masks(images, want, ours, PEERS, changed_as_much), copy_limit(2 * SIDE**2, COUNT)),
)  # fmt: skip
ELASTIC_3D = Case(
    "elastic_3d", "warp", "elastic, 96^3", "volumes", 2 * 96**3,
    (*on_masks(volumes, want, ours, PEERS_3D, changed_as_much, 1), copy_limit(2 * 96**3, 4)),
)  # fmt: skip
AFFINE = Case(
    "affine", "warp", "affine by 17 degrees, 224x224", "masks", 2 * SIDE**2,
    (*on_masks(images, lambda masks: turning(False, masks, "reference")(), functools.partial(turning, False),
               {"opencv": (opencv_turning, 64)}, nearly_turned),
     copy_limit(2 * SIDE**2, COUNT)),
)  # fmt: skip
CASES = (ELASTIC, ELASTIC_3D, AFFINE)
