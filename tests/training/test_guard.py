"""The guard against reward hacking, and the predictor's refreshes."""

from __future__ import annotations

import copy
import io
import math
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from torch import nn

from qgssl_fast.corruption import MaskBank
from qgssl_fast.methods import make_method
from qgssl_fast.networks import Segmenter, hard_labels
from qgssl_fast.ops.overlap import dice
from qgssl_fast.quality import QualityPredictor, make_guide
from qgssl_fast.recipes import load_recipe
from qgssl_fast.training.config import Config, LambdaConfig, QualityConfig, SegmenterConfig
from qgssl_fast.training.engine import Engine
from qgssl_fast.training.guard import Guard
from qgssl_fast.training.logging import Log
from qgssl_fast.training.loop import fit
from qgssl_fast.training.refresh import Refresher
from qgssl_fast.training.settings import flatten, from_dict, load_preset, to_dict
from qgssl_fast.training.stage import Part
from qgssl_fast.training.stages import FixedSet, QualityStage, SegmenterStage

from .test_segmenter_stage import segmenter, stores  # noqa: F401

CONFIG = SegmenterConfig(
    epochs=4, steps_per_epoch=1, labelled_batch=2, unlabelled_batch=2, refresh=2, refresh_steps=3,
    regularizer_lambda=LambdaConfig(1, 0, 0.5),
)  # fmt: skip


@pytest.fixture
def predictor():
    torch.manual_seed(9)
    return QualityPredictor("small", options={"features": [4, 8], "hidden": 8, "dense": 4}).eval()


def test_the_rule():
    guard = Guard(None, 0.1)
    guard.compare(0.7, 0.5, active=False)
    guard.compare(0.75, 0.5, active=False)  # the predictor's own bias, 0.25
    assert guard.compare(0.9, 0.6, active=True) == {"val_student_quality": 0.9, "val_student_dice": 0.6, "guard": 1.0}
    assert guard.said == []
    assert guard.compare(0.9, 0.5, active=True)["guard"] == pytest.approx(0.1)
    assert guard.compare(0.9, 0.6, active=True)["guard"] == pytest.approx(0.1)
    assert guard.compare(0.95, 0.4, active=True)["guard"] == pytest.approx(0.01)
    assert "risen over true Dice 0.400 by 0.300 (more than 0.1): back to the weights before, lambda" in guard.said[1]
    other = Guard(None, 0.1)
    other.load_state_dict(guard.state_dict())
    assert (other.cuts, other.base) == (2, pytest.approx(0.25))
    assert other.compare(0.95, 0.4, active=True)["guard"] == 0
    assert other.compare(0.95, 0.4, active=True)["guard"] == 0
    assert len(other.said) == 1  # from then on the labelled images have it to themselves
    late = Guard(None, 0.1)
    assert math.isnan(late.base)
    assert late.compare(0.9, 0.1, active=True)["guard"] == 1  # the first look is what later ones are compared with


def test_what_goes_back():
    network, guard = nn.Linear(1, 1), Guard(None, 0.1)
    guard.watch(model=network)
    weights = []
    for truth in (0.5, 0.5, 0.3, 0.5):
        nn.init.normal_(network.weight)
        weights.append(network.weight.clone())
        guard.compare(0.6, truth, active=True)
        assert torch.equal(network.weight, weights[-1] if truth == 0.5 else weights[-2])
    other = Guard(None, 0.1)
    other.watch(model=nn.Linear(1, 1))
    other.load_state_dict(guard.state_dict())  # a checkpoint holds them
    other.compare(0.6, 0.3, active=True)
    assert torch.equal(other._networks["model"].weight, weights[-1])


class LikesAll(QualityPredictor):
    """The fuller a mask, the higher its quality: the shortest way to reward hacking."""

    def forward(self, images, masks, **options):
        return masks.flatten(1).mean(1)


def test_what_it_is_for(stores, tmp_path):  # noqa: F811
    """Where lambda is much too large predicted quality rises and Dice falls; under guard neither does."""
    config = replace(CONFIG, epochs=10, steps_per_epoch=8, labelled_batch=4, lr=0.03, min_lr=0.03, ema=0.8, refresh=0)
    config = replace(config, regularizer_lambda=LambdaConfig(5, 0, 30.0))

    def train(margin):
        guard = Guard(LikesAll("small", options={"features": [4]}), margin)
        guide = make_guide("regularizer", guard._predictor[0])
        stage = SegmenterStage("QAR", config, segmenter(1), make_method("QAR"), guide, stores, 1, guard)
        folder, said = tmp_path / f"{margin}", io.StringIO()
        folder.mkdir()
        log = Log(folder, Console(file=said, width=300), trackers=())
        fit(stage, Engine(Config(device="cpu")), folder, log)
        return log.rows()[4], log.rows()[-1], said.getvalue()  # the last epoch without lambda, and the last

    before, hacked, said = train(1.0)
    assert hacked["val_student_quality"] > before["val_student_quality"] + 0.3
    assert hacked["val_dice"] < before["val_dice"] - 0.1
    assert said == ""
    before, kept, said = train(0.05)
    assert kept["val_student_quality"] < before["val_student_quality"] + 0.2
    assert kept["val_dice"] > hacked["val_dice"] + 0.1
    assert "back to the weights before, lambda of the regulariser is cut to 0.1 of its schedule" in said


def test_what_is_compared(predictor, stores):  # noqa: F811
    model, guard = segmenter().eval(), Guard(predictor, 0.1)
    found = guard.look(model, stores["val"], active=False)
    images = stores["val"].images.float() / 255
    with torch.no_grad():
        logits = model(images)
        assert found["val_student_quality"] == pytest.approx(
            predictor(images, logits.sigmoid()).mean().item(), abs=1e-5
        )
    wanted = dice(hard_labels(logits), stores["val"].truth).mean().item()
    assert found["val_student_dice"] == pytest.approx(wanted)


def stage_of(predictor, stores, guard=None, refresher=None):  # noqa: F811
    guide = make_guide("regularizer", predictor)
    refresh = (refresher.refresh, refresher.predictor) if refresher else (None, None)
    return SegmenterStage("QAR", CONFIG, segmenter(), make_method("QAR"), guide, stores, 0, guard, *refresh)


def refresher_of(predictor, stores):  # noqa: F811
    bank = MaskBank(stores["train"].truth)
    recipe = load_recipe("default").replace(p_weak=0.0)
    fixed = FixedSet.draw(stores["val"], MaskBank(stores["val"].truth), recipe, 2, 0)
    config = QualityConfig(batch=4, lr=0.01, beta=0.1)
    stage = QualityStage(config, predictor, stores["train"], bank, fixed, recipe, 0)
    return Refresher(stage, stores["val"], 60, 0)


def test_a_cut_lambda_is_what_the_step_gets(predictor, stores):  # noqa: F811
    guard = Guard(predictor, 0.1)
    stage = stage_of(predictor, stores, guard)
    assert stage.weights(3) == {"regularizer": 0.5}
    guard.cuts = 2
    assert stage.weights(3) == {"regularizer": pytest.approx(0.005)}
    guard.cuts = 3
    assert stage.weights(3) == {"regularizer": 0}
    assert "unlabelled" not in stage.draw(3, Part())
    assert stage.scheduled(3) == {"regularizer": 0.5}
    assert "guard" in stage.modules()


def test_a_refresh_learns_the_masks_of_now(predictor, stores):  # noqa: F811
    refresher, model = refresher_of(predictor, stores), segmenter()
    before = copy.deepcopy(predictor.state_dict())
    first = refresher.refresh(model, 1)
    second = refresher.refresh(model, 2)
    assert second < first
    assert any(not torch.equal(before[key], value) for key, value in predictor.state_dict().items())
    assert not predictor.training
    assert not any(p.requires_grad for p in predictor.parameters())


def test_both_in_a_run(predictor, stores, tmp_path):  # noqa: F811
    """The log says so, and all of it is a function of the seed."""

    def train(folder):
        own = copy.deepcopy(predictor)
        refresher = refresher_of(own, stores)
        refresher.steps = 3
        stage = stage_of(own, stores, Guard(own, 0.0001), refresher)
        said = io.StringIO()
        folder.mkdir()
        fit(stage, Engine(Config(device="cpu")), folder, Log(folder, Console(file=said, width=200)))
        return own.state_dict(), Segmenter.load(folder / "last.safetensors").state_dict(), said.getvalue()

    whole, weights, said = train(tmp_path / "whole")
    assert "segmenter/QAR, epoch 2: the predictor was off by" in said
    again, same, _ = train(tmp_path / "again")
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    assert all(torch.equal(weights[key], same[key]) for key in weights)


def test_the_published_preset_has_none_of_it():
    values = load_preset("paper")
    config = from_dict(to_dict(Config()))
    found = flatten(to_dict(config)) | values
    off = {"weak.folds": 1, "quality.dense": 0, "quality.soft": 0.0, "quality.calibrate": False,
           "segmenter.gate": False, "segmenter.guard": 0.0, "segmenter.refresh": 0}  # fmt: skip
    assert {key: found[key] for key in off} == off
    assert found["quality.augmentation"] == "image_only"
