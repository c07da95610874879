"""What the losses refuse, and with which words."""

from __future__ import annotations

import pytest
import torch

from qgssl_fast.errors import InputError
from qgssl_fast.ops.losses import bce_dice, ce_dice, consistency, soft_dice


def good(**other):
    arguments = {
        "student": torch.zeros(2, 1, 4, 4),
        "teacher": torch.zeros(2, 4, 4),
        "weights": torch.ones(2),
        "kind": "mse",
    }
    return arguments | other


@pytest.mark.parametrize(
    ("other", "error", "text"),
    [
        ({"kind": "l1"}, InputError, "kind must be one of mse, kl, bce_dice, ce_dice, got 'l1'"),
        ({"student": torch.zeros(2, 1, 4, 4).int()}, TypeError, "logits must be floating"),
        ({"student": torch.zeros(2, 4, 4)}, InputError, r"logits must be \[B, C, H, W\]"),
        ({"student": torch.zeros(2, 1, 0, 4)}, InputError, "hold pixels"),
        ({"teacher": torch.zeros(2, 5, 4)}, InputError, r"teacher must be \[2, 4, 4\]"),
        ({"teacher": torch.zeros(3, 4, 4, dtype=torch.uint8)}, InputError, r"teacher must be \[2, 4, 4\]"),
        ({"student": torch.zeros(2, 3, 4, 4)}, InputError, r"probabilities must be \[2, 3, 4, 4\] like the logits"),
        ({"weights": torch.ones(3)}, InputError, r"weights must be \[2\], one a sample, got \[3\]"),
        ({"weights": torch.ones(2).int()}, TypeError, "weights must be floating"),
        ({"pixel_weights": torch.ones(2, 4, 4).bool()}, TypeError, "pixel_weights must be floating"),
        ({"pixel_weights": torch.ones(2, 4, 5)}, InputError, r"pixel_weights must be \[2, 4, 4\]"),
        ({"weights": torch.ones(2, device="meta")}, InputError, "weights must be on the logits' device cpu, got meta"),
        ({"teacher": torch.ones(2, 4, 4, device="meta")}, InputError, "teacher must be on the logits' device cpu"),
        (
            {"teacher": torch.ones(2, 4, 4, dtype=torch.complex64)},
            TypeError,
            "teacher must be integer, bool or floating",
        ),
        ({"kind": "ce_dice"}, InputError, "bce_dice is for one"),
        ({"kind": "bce_dice", "student": torch.zeros(2, 3, 4, 4)}, InputError, "ce_dice is for several classes"),
    ],
)
def test_wrong_input(other, error, text):
    with pytest.raises(error, match=text):
        consistency(**good(**other))


def test_wrong_input_per_sample():
    with pytest.raises(InputError, match="ce_dice: ignore_index needs a target of integer labels"):
        ce_dice(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), ignore_index=0)
    with pytest.raises(TypeError, match="soft_dice: probs must be floating"):
        soft_dice(torch.zeros(2, 4, 4).int(), torch.zeros(2, 4, 4))
    with pytest.raises(InputError, match="bce_dice: target must be"):
        bce_dice(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 5))


def test_values_are_checked_when_debugging(monkeypatch):
    logits, labels = torch.zeros(3, 1, 5, 7), torch.ones(3, 5, 7, dtype=torch.uint8)
    labels[0, 0] = 0
    bce_dice(logits, labels + 1)  # looking would make the host wait
    monkeypatch.setenv("QGSSL_DEBUG", "1")
    with pytest.raises(InputError, match=r"bce_dice: target must hold labels 0..1, got 1..2"):
        bce_dice(logits, labels + 1)
    with pytest.raises(InputError, match=r"weights must be >= 0, got -1.0"):
        consistency(logits, labels, torch.tensor([1.0, -1.0, 1.0]), "mse")
