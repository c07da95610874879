"""Raw calls of the losses' kernels: what they refuse instead of touching memory."""

from __future__ import annotations

import pytest
import torch

_C = pytest.importorskip("qgssl_fast._C", reason="the C++ module is not built")
NOTHING = (0,) * 7


def plane(x: torch.Tensor, kind: int) -> tuple[int, ...]:
    return (x.data_ptr(), kind, *x.stride()[:2], 0, *x.stride()[2:])


LOGITS, LABELS = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
SUMS, LOSSES, WEIGHTS = torch.zeros(2, 3), torch.zeros(2), torch.ones(2)


def losses(**other):
    given = {
        "logits": plane(LOGITS, 0),
        "target": plane(LABELS, 3),
        "pixels": NOTHING,
        "gradient": NOTHING,
        "numbers": (0, 0, 0, 0, 0),
        "size": (2, 1, 1, 4, 4),
        "sums": SUMS.data_ptr(),
        "losses": LOSSES.data_ptr(),
        "weights": 0,
        "mean": 0,
        "total": 0,
        "threads": 1,
    }
    _C.losses(*(given | other).values())


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"logits": NOTHING}, "logits must not be null"),
        ({"target": NOTHING}, "target must not be null"),
        ({"sums": 0}, "sums must not be null"),
        ({"losses": 0}, "losses must not be null"),
        ({"numbers": (0, 0, 1, 0, 0)}, "weights must not be null"),
        ({"numbers": (0, 0, 1, 0, 0), "weights": WEIGHTS.data_ptr()}, "gradient must not be null"),
        ({"numbers": (0, 0, 2, 0, 0), "weights": WEIGHTS.data_ptr()}, "mean must not be null"),
        ({"numbers": (3, 0, 0, 0, 0)}, "loss must be 0..2"),
        ({"numbers": (0, 3, 0, 0, 0)}, "form must be 0..2"),
        ({"numbers": (0, 0, 3, 0, 0)}, "pass must be 0..2"),
        ({"numbers": (0, 0, 2, 0, 0), "pixels": plane(LOGITS, 0)}, "need pixels of the same weight"),
        ({"numbers": (0, 1, 0, 1, 0)}, "labels alone can be ignored"),
        ({"numbers": (0, 1, 0, 0, 0)}, "target has no known kind of numbers"),
        ({"logits": plane(LOGITS, 5)}, "logits has no known kind of numbers"),
        ({"size": (2, 256, 1, 4, 4)}, "classes must be in 1..255"),
        ({"size": (2, 1, 0, 4, 4)}, "sides must be >= 1"),
        ({"size": (1, 1, 2**20, 2**20, 4)}, "up to 2\\^40 pixels"),
    ],
)
def test_losses(other, text):
    losses()
    with pytest.raises(ValueError, match=text):
        losses(**other)


def test_soft_dice():
    given = [plane(LOGITS, 0), plane(LABELS, 3), NOTHING, NOTHING, 0, 0, (2, 1, 1, 4, 4)]
    pointers = [SUMS.data_ptr(), LOSSES.data_ptr(), 0]
    _C.soft_dice(*given, *pointers, 1)
    for place, value, text in [
        (0, NOTHING, "probs must not be null"),
        (3, plane(LOGITS, 0), "labels have no gradient"),
        (4, 2, "form must be 0 or 1"),
        (5, 2, "pass must be 0 or 1"),
        (5, 1, "weights must not be null"),
        (6, (2, 0, 1, 4, 4), "classes must be in 1..255"),
    ]:
        wrong = given.copy()
        wrong[place] = value
        with pytest.raises(ValueError, match=text):
            _C.soft_dice(*wrong, *pointers, 1)
