"""Corruption of masks at 224x224: the mix of each recipe, on one and two threads, and each row alone.

pytest benchmarks/bench_corrupt.py --benchmark-columns=min,median --benchmark-group-by=group --benchmark-sort=min
`masks_per_second` (of the median) is in the extra info of --benchmark-json. Peers that are not installed are skipped.
`test_per_mask` does the paper's mix mask by mask with OpenCV (per_mask.py); the published generator itself made 1,700
to 2,600 masks a second on one core (the two ends are two machines); `times_published` is the ratio to the larger.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from per_mask import PerMask

import qgssl_fast as qf
from qgssl_fast.corruption import MaskBank

BATCH, SIDE = 64, 224


def lesions(side: int, count: int = BATCH) -> torch.Tensor:
    """Smooth random shapes that cover about a fifth of the image."""
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(count):
        y, x = np.mgrid[:side, :side] - side * rng.uniform(0.4, 0.6, (2, 1, 1))
        angle, radius = np.arctan2(y, x), side * rng.uniform(0.15, 0.33)
        for k in (2, 3, 5, 9):
            radius = radius + side * rng.uniform(0, 0.03) * np.cos(k * angle + rng.uniform(0, 6))
        masks.append(np.hypot(x, y) < radius)
    return torch.from_numpy(np.stack(masks).astype(np.uint8))


PUBLISHED = 2600  # masks a second


def time(benchmark, run, count: int, rounds: int = 0) -> None:
    if rounds:
        benchmark.pedantic(run, rounds=rounds, warmup_rounds=1)
    else:
        benchmark(run)
    if benchmark.stats is not None:
        benchmark.extra_info["masks_per_second"] = round(count / benchmark.stats.stats.median)


def measure(benchmark, recipe: qf.Recipe, backend: str, batch: int = BATCH) -> None:
    masks, images = lesions(SIDE).repeat(batch // BATCH, 1, 1), torch.arange(batch)
    bank = MaskBank(masks)
    bank.add(masks.roll(1, 1))
    draws = iter(range(10**9))

    def run(draw: int, backend: str = backend) -> qf.Corruption:
        ids = images + batch * draw
        return qf.corrupt(masks, recipe, sample_ids=ids, bank=bank, image_ids=images, backend=backend)

    # No time is told of a kernel that is wrong.
    if backend != "reference":
        for draw in range(2):
            out, truth = run(draw), run(draw, "reference")
            assert torch.equal(out.masks, truth.masks)
            assert torch.equal(out.overlap, truth.overlap)
    time(benchmark, lambda: run(next(draws)), batch, rounds=3 if backend == "reference" else 0)


@pytest.mark.parametrize(("backend", "threads"), [("native", 1), ("native", 2), ("reference", 1)])
@pytest.mark.parametrize("name", ["paper", "default"])
def test_mix(benchmark, name, backend, threads):
    benchmark.group = f"mix {name}"
    torch.set_num_threads(threads)
    measure(benchmark, qf.load_recipe(name), backend, 4 * BATCH if backend == "native" else BATCH)
    if benchmark.stats is not None and name == "paper":
        benchmark.extra_info["times_published"] = round(benchmark.extra_info["masks_per_second"] / PUBLISHED, 1)


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("row", [row.name for row in qf.load_recipe("default").rows])
def test_row(benchmark, row, backend):
    benchmark.group = f"row {row}"
    measure(benchmark, qf.load_recipe("default").only(row), backend)


def test_per_mask(benchmark):
    benchmark.group = "mix paper"
    peer = PerMask(qf.load_recipe("paper"), pytest.importorskip("cv2"))
    masks, rng = list(lesions(SIDE).numpy()), np.random.default_rng(0)
    out = [peer.corrupt(mask, masks, masks, rng) for mask in masks * 20]
    dice = np.array([found[1] for found in out])
    ours = qf.corrupt(lesions(SIDE).repeat(20, 1, 1), qf.load_recipe("paper").without_bank()).quality.numpy()
    assert abs(np.median(dice) - np.median(ours)) < 0.05  # the same work, about
    time(benchmark, lambda: [peer.corrupt(mask, masks, masks, rng) for mask in masks], len(masks), rounds=15)


def test_into_a_channel(benchmark):
    """The mix straight into a float32 channel of a network's input."""
    benchmark.group = "mix default"
    masks, recipe = lesions(SIDE).repeat(4, 1, 1), qf.load_recipe("default").without_bank()
    inputs, draws = torch.zeros(len(masks), 4, SIDE, SIDE), iter(range(10**9))
    ids = torch.arange(len(masks))
    time(
        benchmark,
        lambda: qf.corrupt(masks, recipe, sample_ids=ids + len(masks) * next(draws), out=inputs[:, 3]),
        len(masks),
    )


def test_volumes(benchmark):
    """The mix on volumes of 96^3."""
    benchmark.group = "mix default, 96^3"
    at = np.stack(np.indices((96, 96, 96)))
    masks = torch.from_numpy(np.stack([((at - 48) ** 2).sum(0) < r * r for r in range(20, 36)]).astype(np.uint8))
    recipe, draws, ids = qf.load_recipe("default").without_bank(), iter(range(10**9)), torch.arange(len(masks))
    time(benchmark, lambda: qf.corrupt(masks, recipe, sample_ids=ids + 16 * next(draws)), len(masks))


def test_copy(benchmark):
    """What no corruption can be faster than."""
    benchmark.group = "mix paper"
    masks = lesions(SIDE).repeat(4, 1, 1)
    out = torch.empty_like(masks)
    time(benchmark, lambda: out.copy_(masks), len(masks))


def rotate_by_opencv(cv2, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), rng.uniform(-15, 15), 1.0)
    return cv2.warpAffine(mask, matrix, (SIDE, SIDE), flags=cv2.INTER_NEAREST)


def elastic_by_opencv(cv2, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    dx, dy = (cv2.GaussianBlur(rng.uniform(-1, 1, mask.shape).astype(np.float32), (0, 0), 5) * 60 for _ in range(2))
    return cv2.remap(mask, x + dx, y + dy, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def smooth_by_opencv(cv2, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (cv2.GaussianBlur(mask * 255, (11, 11), 0) > 127).astype(np.uint8)


@pytest.mark.parametrize(
    ("row", "peer"),
    [("rotate_small", rotate_by_opencv), ("elastic_heavy", elastic_by_opencv), ("smooth_11", smooth_by_opencv)],
)
def test_row_by_opencv(benchmark, row, peer):
    cv2 = pytest.importorskip("cv2")
    cv2.setNumThreads(1)
    benchmark.group = f"row {row}"
    masks, rng = list(lesions(SIDE).numpy()), np.random.default_rng(0)
    time(benchmark, lambda: [peer(cv2, mask, rng) for mask in masks], len(masks), rounds=5)
