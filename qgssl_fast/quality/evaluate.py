"""How right a quality predictor is, and whether it looks at the image at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..ops.pixels import in_unit
from .predictor import QualityPredictor


def evaluate_predictor(
    predictor: QualityPredictor,
    images: Tensor,
    masks: Tensor,
    targets: Tensor,
    image_ids: Tensor | None = None,
    batch_size: int = 64,
    seed: int = 0,
    dependence: bool = True,
) -> dict[str, Any]:
    """Compare predicted with true quality, also with the images blacked out and exchanged.

    images: uint8, or floating in [0, 1], [M, C, *S]. masks: [N, *S] as the predictor takes them. targets: true quality,
    floating, [N] or [N, classes - 1]. image_ids: int [N], which image each mask belongs to; None: the i-th to the i-th.
    Returns {"mae", "pearson", "spearman", "n", "predicted": array, "true": array, "blacked_out": {"mae", "pearson",
    "spearman"}, "shuffled": the same, or None where there is one image only}; dependence=False leaves the last two out.
    Shuffled: every mask with another image,
    one seeded cycle through all. A predictor that loses nothing by it judges shapes, not whether they fit the image.
    Raises InputError for lengths that do not match. The predictor is left in the mode it was in.
    """
    count = len(masks)
    ids = torch.arange(count) if image_ids is None else image_ids.cpu().long()
    if len(targets) != count or len(ids) != count or count == 0:
        raise InputError(
            f"evaluate_predictor: wanted as many targets and image ids as masks (1 or more), "
            f"got {len(targets)}, {len(ids)} and {count}"
        )
    if int(ids.min()) < 0 or int(ids.max()) >= len(images):
        raise InputError(f"evaluate_predictor: image ids must be 0..{len(images) - 1}, got {ids.min()}..{ids.max()}")
    used = torch.unique(ids)
    others = torch.empty(len(images), dtype=torch.long)
    order = used[torch.randperm(len(used), generator=torch.Generator().manual_seed(seed))]
    others[order] = order.roll(1)

    def predict(chosen: Tensor | None) -> np.ndarray:
        return _predict(predictor, images, masks, chosen, batch_size)

    true = targets.detach().float().cpu().numpy()
    predicted = predict(ids)
    found = {**agreement(predicted, true), "n": count, "predicted": predicted, "true": true}
    if not dependence:
        return found
    return found | {
        "blacked_out": agreement(predict(None), true),
        "shuffled": agreement(predict(others[ids]), true) if len(used) > 1 else None,
    }


@torch.no_grad()
def spread_agreement(
    predictor: QualityPredictor, images: Tensor, masks: Tensor, targets: Tensor, image_ids: Tensor, passes: int = 8
) -> dict[str, float]:
    """Does the spread under the head's dropout tell where the predictor is wrong? Arguments as `evaluate_predictor`.

    Returns {"spread": mean standard deviation over `passes`, "spearman_with_error": its rank correlation with the
    absolute error of the mean}. Drawn from one seed; the caller's chance is not moved.
    """
    parameter = next(predictor.parameters())
    predictor.eval()
    means, deviations = [], []
    with torch.random.fork_rng(devices=[parameter.device] if parameter.is_cuda else []):
        torch.manual_seed(0)
        for at, mask in zip(image_ids.split(64), masks.split(64)):
            image = images[at.to(images.device)].to(parameter.device)
            mean, deviation = predictor.spread(in_unit(image, parameter.dtype), mask.to(parameter.device), passes)
            means.append(mean.float().cpu())  # sync
            deviations.append(deviation.float().cpu())
    spread = torch.cat(deviations).flatten().numpy()
    error = (torch.cat(means) - targets.float().cpu()).abs().flatten().numpy()
    agreed = pearson(ranks(spread), ranks(error))
    return {"spread": float(spread.mean()), "spearman_with_error": agreed}


@torch.no_grad()
def _predict(
    predictor: QualityPredictor, images: Tensor, masks: Tensor, ids: Tensor | None, batch_size: int
) -> np.ndarray:
    """Predicted quality of every mask with the image that `ids` names, or with a black one."""
    parameter = next(predictor.parameters())
    training = predictor.training
    predictor.eval()
    scores = []
    for start in range(0, len(masks), batch_size):
        mask = masks[start : start + batch_size].to(parameter.device)
        if ids is None:
            image = images.new_zeros(len(mask), *images.shape[1:])
        else:
            image = images[ids[start : start + batch_size].to(images.device)]
        image = in_unit(image.to(parameter.device), parameter.dtype)
        scores.append(predictor(image, mask).float().cpu())  # sync
    predictor.train(training)
    return torch.cat(scores).numpy()


def agreement(predicted: Any, true: Any) -> dict[str, float]:
    """{"mae", "pearson", "spearman"} of two arrays of one shape, flattened."""
    a, b = np.asarray(predicted, np.float64).ravel(), np.asarray(true, np.float64).ravel()
    if a.shape != b.shape or a.size == 0:
        raise InputError(f"agreement: wanted two arrays of one size, at least 1, got {a.size} and {b.size}")
    return {"mae": float(np.abs(a - b).mean()), "pearson": pearson(a, b), "spearman": pearson(ranks(a), ranks(b))}


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two float64 arrays [N]; 0 where one of them is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip((a / np.linalg.norm(a)) @ (b / np.linalg.norm(b)), -1, 1))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, equal values sharing their mean rank."""
    _, index, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return ((last - count + last - 1) / 2)[index]
