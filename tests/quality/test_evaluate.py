"""Figures of a predictor against scipy and hand-worked cases; a predictor that is blind to the image is found out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from qgssl_fast.errors import InputError
from qgssl_fast.quality import evaluate_predictor, expected_calibration_error, reliability
from qgssl_fast.quality.evaluate import agreement


class Stub(nn.Module):
    """Scores made by a function, in place of a trained predictor."""

    def __init__(self, score):
        super().__init__()
        self.score, self.one = score, nn.Parameter(torch.ones(1))

    def forward(self, images, masks):
        return self.score(images, masks)


def looks(images, masks):
    """Dice of the mask with the bright part of the image: right, as long as the image is."""
    truth = images[:, 0] > 0.5
    return 2 * (truth & masks.bool()).flatten(1).sum(1) / (truth.flatten(1).sum(1) + masks.flatten(1).sum(1))


def sample(images=5, each=4):
    g = torch.Generator().manual_seed(0)
    truth = torch.rand(images, 8, 8, generator=g) > 0.5
    pictures = truth.unsqueeze(1).to(torch.uint8) * 255
    ids = torch.arange(images).repeat_interleave(each)
    flip = torch.rand(len(ids), 8, 8, generator=g) < torch.rand(len(ids), 1, 1, generator=g) / 2
    masks = (truth[ids] ^ flip).to(torch.uint8)
    return pictures, masks, looks(pictures[ids].float(), masks), ids


def test_agreement_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    a, b = rng.random(50), rng.integers(0, 9, 50) / 10  # b has ties
    found = agreement(a, b)
    assert found["mae"] == pytest.approx(np.abs(a - b).mean())
    assert found["pearson"] == pytest.approx(stats.pearsonr(a, b)[0])
    assert found["spearman"] == pytest.approx(stats.spearmanr(a, b)[0])


def test_constant_values_have_no_correlation():
    assert agreement([0.5, 0.5], [0.1, 0.9]) == {"mae": pytest.approx(0.4), "pearson": 0.0, "spearman": 0.0}
    assert agreement([0.5], [0.5]) == {"mae": 0.0, "pearson": 0.0, "spearman": 0.0}


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_who_looks_at_the_image(batch_size):
    images, masks, targets, ids = sample()
    found = evaluate_predictor(Stub(looks), images, masks, targets, ids, batch_size)
    assert found["mae"] == pytest.approx(0, abs=1e-7)
    assert found["pearson"] == pytest.approx(1)
    assert found["n"] == 20
    np.testing.assert_allclose(found["predicted"], found["true"])
    assert found["blacked_out"]["pearson"] == 0  # a black image: Dice 0 everywhere
    assert found["blacked_out"]["mae"] == pytest.approx(targets.mean().item())
    assert found["shuffled"]["pearson"] < 0.7


def test_who_does_not():
    images, masks, targets, ids = sample()
    blind = Stub(lambda images, masks: masks.float().flatten(1).mean(1))
    found = evaluate_predictor(blind, images, masks, targets, ids)
    for other in ("blacked_out", "shuffled"):
        assert found[other] == {key: found[key] for key in ("mae", "pearson", "spearman")}


def test_no_mask_keeps_its_image_when_shuffled():
    images = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 1, 4, 4)
    ids = torch.tensor([0, 0, 2, 3, 5])
    masks = ids.view(-1, 1, 1).expand(5, 4, 4).to(torch.uint8)
    seen = []

    def remember(images, masks):
        seen.append(((images[:, 0, 0, 0] * 255).round().long(), masks[:, 0, 0].long()))
        return torch.zeros(len(masks))

    evaluate_predictor(Stub(remember), images, masks, torch.zeros(5), ids)
    (plain, own), _, (shuffled, _) = seen
    assert torch.equal(plain, own)
    assert not (shuffled == own).any()
    assert set(shuffled.tolist()) == {0, 2, 3, 5}  # only images that have masks


def test_seeded_and_leaves_the_mode(monkeypatch):
    images, masks, targets, ids = sample()
    model = Stub(looks).train()
    first, second = (evaluate_predictor(model, images, masks, targets, ids, seed=3) for _ in range(2))
    assert first["shuffled"] == second["shuffled"]
    assert model.training


def test_one_image_cannot_be_shuffled():
    images, masks, targets, _ = sample(1, 4)
    found = evaluate_predictor(Stub(looks), images, masks, targets, torch.zeros(4, dtype=torch.long))
    assert found["shuffled"] is None


def test_wrong_lengths():
    images, masks, targets, ids = sample()
    with pytest.raises(InputError, match="got 19, 20 and 20"):
        evaluate_predictor(Stub(looks), images, masks, targets[1:], ids)
    with pytest.raises(InputError, match=r"image ids must be 0\.\.3, got 0\.\.4"):
        evaluate_predictor(Stub(looks), images[:4], masks, targets, ids)
    with pytest.raises(InputError, match="got 0, 0 and 0"):
        evaluate_predictor(Stub(looks), images, masks[:0], targets[:0], ids[:0])


def test_reliability_by_hand():
    table = reliability([0.05, 0.15, 0.12, 1.0], [0.0, 0.3, 0.1, 0.9])
    assert table["count"].tolist() == [1, 2, 0, 0, 0, 0, 0, 0, 0, 1]
    assert table["predicted"][1] == pytest.approx(0.135)
    assert table["true"][1] == pytest.approx(0.2)
    assert (table["lower"][1], table["upper"][9]) == (pytest.approx(0.1), 1.0)
    wanted = (1 * 0.05 + 2 * 0.065 + 1 * 0.1) / 4
    assert expected_calibration_error(table) == pytest.approx(wanted)
    assert expected_calibration_error(reliability([], [])) == 0
    assert expected_calibration_error(reliability([0.2, 0.9], [0.2, 0.9])) == 0


def test_reliability_refuses():
    with pytest.raises(InputError, match="as many true as predicted"):
        reliability([0.1], [0.1, 0.2])
    with pytest.raises(InputError, match=r"predicted must lie in \[0, 1\]"):
        reliability([float("nan")], [0.1])
    with pytest.raises(InputError, match="bins must be >= 1, got 0"):
        reliability([0.1], [0.1], bins=0)
