import pytest
import torch
from torch import nn

from qgssl_fast.training.ema import Ema
from qgssl_fast.training.schedule import cosine, ramp, stable_seed


def test_ramp_is_the_published_one():
    """PL-QW: 0 until epoch 15, then linear over 30 epochs to 0.25."""
    assert [ramp(e, 15, 30, 0.25) for e in (0, 14.9, 15, 30, 45, 199)] == [0, 0, 0, 0.125, 0.25, 0.25]
    assert ramp(3, 3, 0, 0.5) == 0.5


def test_cosine_ends():
    assert cosine(0, 100, 1e-4, 1e-6) == pytest.approx(1e-4)
    assert cosine(50, 100, 1e-4, 0) == pytest.approx(5e-5)
    assert cosine(100, 100, 1e-4, 1e-6) == pytest.approx(1e-6)


def test_warmup_rises_to_the_cosine():
    rates = [cosine(step, 100, 1e-3, 0, warmup=10) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[4] == pytest.approx(cosine(4, 100, 1e-3) / 2)
    assert rates[9:] == [cosine(step, 100, 1e-3) for step in range(9, 100)]


def test_seeds_differ_and_stay():
    assert stable_seed(0, "weak") != stable_seed(0, "quality") != stable_seed(1, "quality")
    assert stable_seed(0, "weak") == stable_seed(0, "weak") < 2**63


def test_ema_formula_and_buffers():
    torch.manual_seed(0)
    student = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    ema = Ema(student, decay=0.5)
    before = ema.teacher[0].weight.clone()
    student(torch.randn(4, 1, 8, 8))
    with torch.no_grad():
        student[0].weight.add_(1)
    ema.update(student, step=0)  # decay = min(0.5, 1 / 10)
    assert torch.allclose(ema.teacher[0].weight, 0.1 * before + 0.9 * student[0].weight)
    assert torch.allclose(ema.teacher[1].running_mean, 0.9 * student[1].running_mean)
    assert ema.teacher[1].num_batches_tracked == 1
    assert not ema.teacher.training
    assert not any(p.requires_grad for p in ema.teacher.parameters())
