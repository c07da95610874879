"""Does a predicted quality of 0.8 mean 0.8? A reliability table and the expected calibration error."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError


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
