"""Guides: the published formulas, where gradients go, and what is refused."""

from __future__ import annotations

import pytest
import torch

from qgssl_fast.errors import InputError
from qgssl_fast.quality import QualityGuide, QualityPredictor, Taught, list_guides, make_guide


@pytest.fixture
def predictor():
    torch.manual_seed(0)
    return QualityPredictor("small", options={"features": [8, 8], "hidden": 16})


@pytest.fixture
def batch():
    g = torch.Generator().manual_seed(1)
    return torch.rand(6, 3, 16, 16, generator=g), torch.randint(0, 2, (6, 16, 16), generator=g, dtype=torch.uint8)


def test_none_counts_everything_once(batch):
    guide = make_guide("none")
    verdict = guide.judge(Taught(batch[0], batch[1][:, None].float() - 0.5))
    assert torch.equal(verdict.weights, torch.ones(6))
    assert torch.equal(verdict.labels, batch[1])
    assert verdict.pixels is None
    assert guide.regularization(*batch) is None


def test_quality_weights_are_the_formula(predictor, batch):
    q = predictor.eval()(*batch).detach()
    threshold = q.sort().values[2].item()
    w = QualityGuide(predictor, threshold=threshold, temperature=3.0).weights(*batch)
    assert torch.equal(w, torch.where(q >= threshold, q**3, torch.zeros(6)))
    assert (w == 0).sum() == 2
    assert not w.requires_grad


def test_published_threshold_and_temperature(predictor):
    guide = make_guide("quality", predictor)
    assert (guide.threshold, guide.temperature) == (0.5, 2.0)


def test_several_classes(batch):
    predictor = QualityPredictor("small", num_classes=4, options={"features": [8, 8], "hidden": 16})
    q = predictor.eval()(*batch).detach()
    assert torch.equal(QualityGuide(predictor, 0, 1).weights(*batch), q.mean(1))
    assert torch.equal(QualityGuide(predictor, 0, 1, classes="minimum").weights(*batch), q.amin(1))


@pytest.mark.parametrize("name", ["quality", "regularizer"])
def test_regularization_differentiates_the_masks_alone(name, predictor, batch):
    predictor.train()
    guide = make_guide(name, predictor)
    images, masks = batch
    probs = (masks * 0.8 + 0.1).requires_grad_()
    loss = guide.regularization(images, probs)
    loss.backward()
    wanted = 1 - predictor.eval()(images, probs).mean()
    torch.testing.assert_close(loss, wanted)
    assert probs.grad.abs().sum() > 0
    assert all(p.grad is None for p in predictor.parameters())


def test_predictor_stays_in_eval_mode(predictor, batch):
    guide = make_guide("quality", predictor)
    before = {name: tensor.clone() for name, tensor in predictor.state_dict().items()}
    wanted = guide.weights(*batch)
    predictor.train()  # a loop that calls .train() on everything it knows
    assert torch.equal(guide.weights(*batch), wanted)
    assert not predictor.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in predictor.state_dict().items())


def test_empty_batch(predictor):
    images = torch.zeros(0, 3, 16, 16)
    for name in ("none", "threshold", "confidence", "quality"):
        assert make_guide(name, predictor).judge(Taught(images, torch.zeros(0, 1, 16, 16))).weights.shape == (0,)
    assert make_guide("quality", predictor).weights(images, torch.zeros(0, 16, 16)).shape == (0,)
    assert make_guide("regularizer", predictor).regularization(images, torch.zeros(0, 16, 16)) == 0


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("qualtiy", {}, r"guide: no such name 'qualtiy' \(did you mean quality\?\); there are: confidence, "),
        ("quality", {"treshold": 1}, r"guide quality: option: no such name 'treshold' \(did you mean threshold\?\)"),
        ("none", {"threshold": 1}, "guide none: option: no such name 'threshold'; there are: none"),
        ("quality", {"threshold": 1.5}, "threshold must be 0 <= threshold <= 1, got 1.5"),
        ("quality", {"temperature": -1}, "temperature must be >= 0, got -1"),
        ("quality", {"classes": "best"}, "classes must be mean or minimum, got 'best'"),
    ],
)
def test_wrong_arguments(name, options, text, predictor):
    with pytest.raises(InputError, match=text):
        make_guide(name, predictor, **options)


def test_a_predictor_is_needed():
    for name in ("quality", "regularizer"):
        with pytest.raises(InputError, match=f"guide {name} needs a quality predictor"):
            make_guide(name)
    assert {"none", "threshold", "confidence", "uncertainty", "quality", "regularizer"} <= set(list_guides())


def test_joined_guides(predictor, batch):
    guide = make_guide("threshold+quality+regularizer", predictor, threshold={"threshold": 0.6})
    taught = Taught(batch[0], torch.randn(6, 1, 16, 16, generator=torch.Generator().manual_seed(2)))
    verdict = guide.judge(taught)
    quality = make_guide("quality", predictor)
    assert torch.equal(verdict.weights, quality.weights(batch[0], taught.labels))
    assert torch.equal(verdict.pixels, (taught.confidence >= 0.6).float())
    assert (guide.weighs, guide.regularizes, guide.judges) == (True, True, True)
    assert set(verdict.logs) == {"pixels_kept", "quality_mean"}
    probs = taught.probs.requires_grad_()
    assert torch.equal(guide.regularization(batch[0], probs), quality.regularization(batch[0], probs))


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("quality+none", {}, "wanted different guides, none of them none"),
        ("quality+quality", {}, "wanted different guides"),
        ("quality+threshold", {"tau": {}}, r"options go by guide \(quality, threshold\), got 'tau'"),
        ("quality+treshold", {}, "did you mean threshold"),
        ("threshold", {"threshold": 2}, "guide threshold: threshold must be 0 <= threshold <= 1, got 2"),
        ("confidence", {"temperature": -1}, "guide confidence: temperature must be >= 0, got -1"),
        ("uncertainty", {"passes": 0}, "guide uncertainty: passes must be >= 1, got 0"),
    ],
)
def test_wrong_joins_and_values(name, options, text, predictor):
    with pytest.raises(InputError, match=text):
        make_guide(name, predictor, **options)


def test_regularization_of_hard_masks_is_refused(predictor, batch):
    with pytest.raises(TypeError, match=r"regularization needs probabilities, got torch\.uint8"):
        make_guide("regularizer", predictor).regularization(*batch)
