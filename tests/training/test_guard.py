"""The guard against reward hacking, and the predictor's refreshes."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch
from rich.console import Console

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
    assert guard.compare(0.9, 0.5, active=True)["guard"] == 0.5
    assert guard.compare(0.95, 0.4, active=True)["guard"] == 0.25
    assert "risen over true Dice 0.400 by 0.300 (more than 0.1): lambda" in guard.said[1]
    other = Guard(None, 0.1)
    other.load_state_dict(guard.state_dict())
    assert (other.scale, other.base) == (0.25, pytest.approx(0.25))
    late = Guard(None, 0.1)
    assert math.isnan(late.base)
    assert late.compare(0.9, 0.1, active=True)["guard"] == 1  # the first look is what later ones are compared with


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
    guard.scale = 0.25
    assert stage.weights(3) == {"regularizer": 0.125}
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
