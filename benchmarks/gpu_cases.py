"""What gpu_bench.py times: our kernels and what people use in their place, as functions without arguments.

A case that cannot be had here raises; the reason is told in its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from bench_corrupt import lesions
from torch import Tensor

import qgssl_fast as qf
from qgssl_fast import backend
from qgssl_fast.corruption import MaskBank

Run = Callable[[], Any]
RADIUS, DEGREES = 3, 17.0
AMPLITUDE, SMOOTHNESS = 3.385, 5.0  # px, of the row elastic_heavy


class Case(NamedTuple):
    """A group has one amount of work: `count` masks of `bytes` each, read and written once where nothing is wasted."""

    group: str
    name: str
    count: int
    bytes: int
    make: Callable[[], tuple[Run, Tensor | None]]  # what is timed, and what it must give for its first masks


def served(op: Callable[..., Tensor], name: str, *arguments: Any) -> Run:
    """`op` of the arguments by that backend; its refusal is an error."""
    if why_not := backend.refusal(name, arguments[0].device):
        raise RuntimeError(why_not)
    return lambda: op(*arguments, backend=name)


def many(masks: Tensor, count: int) -> Tensor:
    return masks.repeat(-(-count // len(masks)), *[1] * (masks.dim() - 1))[:count].contiguous()


def balls(count: int, side: int) -> Tensor:
    at = torch.stack(torch.meshgrid(*[torch.arange(side) - side / 2] * 3, indexing="ij"))
    distance = (at**2).sum(0)
    return torch.stack([(distance < (side * (0.2 + 0.2 * k / count)) ** 2) for k in range(count)]).to(torch.uint8)


def cases(device: torch.device, scale: float) -> Iterator[Case]:
    """scale: of the batch sizes; 1 fills a large GPU."""
    images = many(lesions(224), max(int(4096 * scale), 2)).to(device)
    volumes = balls(max(int(32 * scale), 2), 96 if scale >= 1 else 24).to(device)
    yield from erosion("erode 7x7, 224x224", images)
    yield from erosion("erode 7x7x7, 96^3", volumes)
    yield from affine(images)
    yield from elastic(images)
    yield from elastic_volumes(volumes)
    yield from mixes(images, volumes, scale)
    yield from rows(images)


def erosion(group: str, masks: Tensor) -> Iterator[Case]:
    count, size, axes = len(masks), masks[0].numel(), masks.dim() - 1
    want = qf.erode(masks[:4].cpu(), RADIUS)
    pool = F.max_pool2d if axes == 2 else F.max_pool3d

    def of(run: Run, values: Tensor | None = want) -> Callable[[], tuple[Run, Tensor | None]]:
        return lambda: (run, values)

    def ours(name: str) -> Callable[[], tuple[Run, Tensor]]:
        return lambda: (served(qf.erode, name, masks, RADIUS), want)

    def copy() -> tuple[Run, None]:
        out = torch.empty_like(masks)
        return lambda: out.copy_(masks), None

    def pooled(values: Tensor) -> Tensor:
        return 1 - pool(1 - values, 2 * RADIUS + 1, stride=1, padding=RADIUS)

    def max_pool() -> tuple[Run, Tensor]:
        values = masks[:, None].half() if masks.is_cuda else masks[:, None].float()
        return lambda: pooled(values), want

    def compiled() -> tuple[Run, Tensor]:
        plain = torch.compile(lambda m: (pooled((m != 0).float()[:, None]) != 0).to(torch.uint8), dynamic=False)
        return lambda: plain(masks), want

    def kornia() -> tuple[Run, Tensor]:
        from kornia.morphology import erosion

        values, window = masks[:256, None].float(), torch.ones(7, 7, device=masks.device)
        return lambda: erosion(values, window), want

    def monai() -> tuple[Run, Tensor]:
        from monai.transforms.utils_morphological_ops import erode

        values = masks[:256, None].float()
        return lambda: erode(values, (7,) * axes, pad_value=1.0), want

    def cupyx() -> tuple[Run, Tensor]:
        import cupy
        from cupyx.scipy import ndimage

        values = cupy.asarray(masks[:256].bool())
        window = cupy.ones((1, *(7,) * axes), bool)
        return lambda: torch.as_tensor(
            ndimage.binary_erosion(values, window, border_value=1), device=masks.device
        ), want

    for name in ("cuda", "triton", "native"):
        yield Case(group, f"qgssl_fast {name}", count, size, ours(name))
    yield Case(group, "limit: copy of the bytes", count, size, copy)
    yield Case(group, "torch max_pool", count, size, max_pool)
    yield Case(group, "torch.compile of max_pool", count, size, compiled)
    few = min(count, 256)
    for name, make in (("kornia", kornia), ("MONAI", monai), ("cupyx.scipy.ndimage", cupyx)):
        if name != "kornia" or axes == 2:
            yield Case(group, name, few, size, make)


def affine(masks: Tensor) -> Iterator[Case]:
    group, count, side = f"affine by {DEGREES:g} degrees, 224x224", len(masks), masks.shape[-1]
    c, s, middle = math.cos(math.radians(DEGREES)), math.sin(math.radians(DEGREES)), (side - 1) / 2
    rows = [[c, -s, middle - c * middle + s * middle], [s, c, middle - s * middle - c * middle]]
    matrices = (torch.tensor([rows] * count, device=masks.device) * 65536).round().to(torch.int32)
    want = qf.affine(masks[:4].cpu(), matrices[:4].cpu())

    def ours(name: str) -> Callable[[], tuple[Run, Tensor]]:
        return lambda: (served(qf.affine, name, masks, matrices), want)

    def grid_sample() -> tuple[Run, None]:
        values = masks[:, None].float()
        theta = torch.tensor([[[c, -s, 0.0], [s, c, 0.0]]], device=masks.device).expand(count, 2, 3)

        def run() -> Tensor:
            grid = F.affine_grid(theta, list(values.shape), align_corners=False)
            return F.grid_sample(values, grid, mode="nearest", align_corners=False)

        return run, None

    def kornia() -> tuple[Run, None]:
        from kornia.geometry.transform import warp_affine

        values, inverse = masks[:, None].float(), torch.tensor([rows] * count, device=masks.device)
        return lambda: warp_affine(values, inverse, (side, side), mode="nearest"), None

    for name in ("cuda", "triton"):
        yield Case(group, f"qgssl_fast {name}", count, masks[0].numel(), ours(name))
    yield Case(group, "torch grid_sample", count, masks[0].numel(), grid_sample)
    yield Case(group, "kornia", count, masks[0].numel(), kornia)


def elastic(masks: Tensor) -> Iterator[Case]:
    group, count, side = "elastic, 224x224", len(masks), masks.shape[-1]
    want = qf.elastic(masks[:4].cpu(), AMPLITUDE, SMOOTHNESS)

    def ours(name: str) -> Callable[[], tuple[Run, Tensor]]:
        return lambda: (served(qf.elastic, name, masks, AMPLITUDE, SMOOTHNESS), want)

    def kornia() -> tuple[Run, None]:
        from kornia.geometry.transform import elastic_transform2d

        values = masks[:256, None].float()

        def run() -> Tensor:
            noise = 2 * torch.rand(len(values), 2, side, side, device=masks.device) - 1
            return elastic_transform2d(values, noise, (33, 33), (5.0, 5.0), (0.5, 0.5), mode="nearest")

        return run, None

    for name in ("cuda", "triton"):
        yield Case(group, f"qgssl_fast {name}", count, masks[0].numel(), ours(name))
    yield Case(group, "kornia", min(count, 256), masks[0].numel(), kornia)


def elastic_volumes(masks: Tensor) -> Iterator[Case]:
    group = "elastic, 96^3"
    want = qf.elastic(masks[:2].cpu(), AMPLITUDE, SMOOTHNESS)

    def ours(name: str) -> Callable[[], tuple[Run, Tensor]]:
        return lambda: (served(qf.elastic, name, masks, AMPLITUDE, SMOOTHNESS), want)

    def monai() -> tuple[Run, None]:
        from monai.transforms import Rand3DElastic

        transform = Rand3DElastic((4, 6), (50, 150), prob=1, mode="nearest", device=masks.device)
        return lambda: transform(masks[:1].float()), None

    for name in ("cuda", "triton"):
        yield Case(group, f"qgssl_fast {name}", len(masks), masks[0].numel(), ours(name))
    yield Case(group, "MONAI", 1, masks[0].numel(), monai)


def corrupting(masks: Tensor, recipe: qf.Recipe, channel: torch.dtype | None = None) -> tuple[Run, Tensor]:
    draws, ids, bank = iter(range(1, 10**9)), torch.arange(len(masks), device=masks.device), MaskBank(masks[:64])
    bank.add(masks[:64].roll(1, 1))
    images = ids % 64
    out = None if channel is None else torch.zeros(len(masks), 4, *masks.shape[1:], dtype=channel, device=masks.device)
    name = "cuda" if masks.is_cuda else "native"
    common = {"bank": bank, "backend": name, "out": None if out is None else out[:, 3]}
    host = {"sample_ids": ids[:64].cpu(), "bank": bank, "image_ids": images[:64].cpu()}
    want = qf.corrupt(masks[:64].cpu(), recipe, **host).masks
    first = qf.corrupt(masks, recipe, sample_ids=ids, image_ids=images, **common).masks[: len(want)]
    assert torch.equal(first.cpu().to(want.dtype), want), "wrong: not timed"
    return lambda: qf.corrupt(
        masks, recipe, sample_ids=ids + len(masks) * next(draws), image_ids=images, **common
    ), None


def mixes(images: Tensor, volumes: Tensor, scale: float) -> Iterator[Case]:
    size, recipe = images[0].numel(), qf.load_recipe("paper")
    for name in ("paper", "default"):
        make = lambda name=name: corrupting(images, qf.load_recipe(name))  # noqa: E731
        yield Case("mix, 224x224", f"{name}, batch {len(images)}", len(images), size, make)
    large = many(images, int(65536 * scale)) if scale >= 1 else images
    yield Case("mix, 224x224", f"paper, batch {len(large)}", len(large), size, lambda: corrupting(large, recipe))
    for batch in (32, 64, 256, 1024):
        some = many(images, batch)
        yield Case("mix, 224x224", f"paper, batch {batch}", batch, size, lambda some=some: corrupting(some, recipe))
    for kind in (torch.bfloat16, torch.float32):
        name = str(kind).removeprefix("torch.")
        make = lambda kind=kind: corrupting(images, recipe, kind)  # noqa: E731
        yield Case("mix, 224x224", f"paper, into a {name} channel", len(images), size, make)
    solid = qf.load_recipe("default").without_bank()
    yield Case("mix, 96^3", "default", len(volumes), volumes[0].numel(), lambda: corrupting(volumes, solid))


def rows(images: Tensor) -> Iterator[Case]:
    recipe = qf.load_recipe("default")
    for row in recipe.rows:
        only = recipe.only(row.name)
        make = lambda only=only: corrupting(images, only)  # noqa: E731
        yield Case("rows, 224x224", row.name, len(images), images[0].numel(), make)
