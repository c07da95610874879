"""Made-up images, masks and log rows."""

import numpy as np
import pytest


@pytest.fixture
def cases():
    """Ten RGB images uint8 [10, 3, 20, 30], discs as true masks, shifted discs as predictions, their Dice."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:20, :30]
    images = generator.integers(0, 256, (10, 3, 20, 30), dtype=np.uint8)
    true = np.stack([(y - 10) ** 2 + (x - 12) ** 2 < 36] * 10).astype(np.uint8)
    pred = np.stack([(y - 10) ** 2 + (x - 12 - k) ** 2 < 36 for k in range(10)]).astype(np.uint8)
    dice = 2 * (true & pred).sum((1, 2)) / (true.sum((1, 2)) + pred.sum((1, 2)))
    return images, true, pred, dice


@pytest.fixture
def log_rows():
    """Rows of a run: a long noisy loss, validation figures, two methods."""
    generator = np.random.default_rng(1)
    rows = [{"stage": "quality", "step": s, "epoch": s // 10, "loss": float(generator.uniform())} for s in range(100)]
    for method in ("SUP", "PL-QW"):
        for step in range(6):
            rows.append({"stage": f"segmenter/{method}", "step": step, "loss": 1 / (step + 1), "lambda": None})
            rows.append({"stage": f"segmenter/{method}", "step": step, "val_dice": 0.5 + step / 20})
    return rows
