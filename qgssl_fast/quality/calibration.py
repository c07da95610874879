"""Does a predicted quality of 0.8 mean 0.8? A reliability table and the expected calibration error."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError

KNOTS = 33
"""Points of [0, 1] at which a calibration is kept."""


def isotonic(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The non-decreasing function nearest to (x, y) in squares, by pooling neighbours (Ayer et al. 1955), at `at`.

    x, y: float64 [N], N >= 1. Linear between the means of the pooled blocks, constant beyond the first and the last.
    """
    if len(x) == 0:
        raise InputError("isotonic: wanted at least one point, got none")
    order = np.argsort(x, kind="stable")
    blocks: list[list[float]] = []  # sum of x, sum of y, count
    for a, b in zip(x[order], y[order]):
        blocks.append([a, b, 1.0])
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][2] >= blocks[-1][1] * blocks[-2][2]:
            last = blocks.pop()
            blocks[-1] = [p + q for p, q in zip(blocks[-1], last)]
    sums = np.array(blocks)
    return np.interp(at, sums[:, 0] / sums[:, 2], sums[:, 1] / sums[:, 2])


def reliability(predicted: Any, true: Any, bins: int = 10) -> dict[str, np.ndarray]:
    """Mean predicted and mean true quality in `bins` equal intervals of [0, 1].

    predicted, true: numbers in [0, 1], same shape, flattened. Returns arrays [bins]: "lower", "upper" (the last
    includes 1), "predicted", "true" (both 0 where the bin is empty) and "count".
    Raises InputError for other shapes or values.
    """
    predicted, true = np.asarray(predicted, np.float64).ravel(), np.asarray(true, np.float64).ravel()
    if predicted.shape != true.shape:
        raise InputError(f"reliability: as many true as predicted values, got {true.size} and {predicted.size}")
    if bins < 1:
        raise InputError(f"reliability: bins must be >= 1, got {bins}")
    for name, values in (("predicted", predicted), ("true", true)):
        if not np.all((values >= 0) & (values <= 1)):
            raise InputError(f"reliability: {name} must lie in [0, 1]")
    edges = np.linspace(0, 1, bins + 1)
    index = np.minimum((predicted * bins).astype(np.int64), bins - 1)
    count = np.bincount(index, minlength=bins)
    at_least_one = np.maximum(count, 1)
    return {
        "lower": edges[:-1],
        "upper": edges[1:],
        "predicted": np.bincount(index, predicted, bins) / at_least_one,
        "true": np.bincount(index, true, bins) / at_least_one,
        "count": count,
    }


def expected_calibration_error(table: dict[str, np.ndarray]) -> float:
    """sum_b n_b / n |mean predicted - mean true| of a reliability table (Naeini et al. 2015); 0 for no samples."""
    gap = np.abs(table["predicted"] - table["true"])
    return float((table["count"] * gap).sum() / max(1, table["count"].sum()))
