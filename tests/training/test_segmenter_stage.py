"""Every method in the one loop: what lambda = 0 is, how networks begin, what is refused before training."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from qgssl_fast.data import DeviceStore, make_phantoms
from qgssl_fast.errors import InputError
from qgssl_fast.methods import METHODS
from qgssl_fast.networks import Ensemble, Segmenter
from qgssl_fast.quality import QualityPredictor
from qgssl_fast.training.config import Config, LambdaConfig, SegmenterConfig
from qgssl_fast.training.engine import Engine
from qgssl_fast.training.logging import Log
from qgssl_fast.training.loop import fit
from qgssl_fast.training.pairs import check_pool, make_pair
from qgssl_fast.training.stage import Part
from qgssl_fast.training.stages import SegmenterStage

CONFIG = SegmenterConfig(
    epochs=2, steps_per_epoch=2, labelled_batch=3, unlabelled_batch=4, lr=0.01, ema=0.9,
    method_lambda=LambdaConfig(0, 0, 0.5), regularizer_lambda=LambdaConfig(0, 0, 0.5),
)  # fmt: skip


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    counts = {"train": 4, "val": 2, "test": 1, "unlabeled": 6}
    dataset = make_phantoms(tmp_path_factory.mktemp("set") / "phantoms", 32, counts)
    return {name: DeviceStore.from_cases(cases, (32, 32), channels=3) for name, cases in dataset.splits.items()}


def segmenter(seed=0):
    torch.manual_seed(seed)
    return Segmenter("UNet", image_size=(32, 32), options={"channels": [4, 8, 8], "strides": [2, 2], "dropout": 0.2})


def train(name, guide, config, stores, folder):
    torch.manual_seed(9)
    predictor = QualityPredictor("small", options={"features": [4, 8], "hidden": 8})
    method, guide = make_pair(name, guide, predictor, config)
    model = segmenter() if method.networks == 1 else Ensemble([segmenter(), segmenter(1)])
    stage = SegmenterStage(name, config, model, method, guide, stores, seed=0)
    folder.mkdir(parents=True)
    log = Log(folder, Console(file=io.StringIO()))
    fit(stage, Engine(Config(device="cpu")), folder, log)
    log.close()
    return Segmenter.load(folder / "last.safetensors").state_dict(), log.rows()


@pytest.mark.parametrize("name", sorted(METHODS))
def test_lambda_zero_is_supervised(name, stores, tmp_path):
    zero = LambdaConfig(0, 0, 0.0)
    config = replace(CONFIG, method_lambda=zero, regularizer_lambda=zero)
    guide = "quality+regularizer" if METHODS[name].needs_unlabelled else "regularizer"
    ours, _ = train(name, guide, config, stores, tmp_path / "ours")
    theirs, _ = train("supervised", "none", CONFIG, stores, tmp_path / "supervised")
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_trains(name, stores, tmp_path):
    guide = "quality+regularizer" if METHODS[name].needs_unlabelled else "regularizer"
    ours, rows = train(name, guide, CONFIG, stores, tmp_path / "ours")
    theirs, _ = train("supervised", "none", CONFIG, stores, tmp_path / "supervised")
    assert any(not torch.equal(ours[key], theirs[key]) for key in theirs)
    assert all(key in row for row in rows for key in ("supervised", "regularizer", "regularizer_quality"))
    assert all(("weight_mean" in row) == METHODS[name].needs_unlabelled for row in rows)


def test_two_networks_stay_different(stores):
    method, guide = make_pair("cps", "none", None, CONFIG)
    stage = SegmenterStage("cps", CONFIG, Ensemble([segmenter(), segmenter(1)]), method, guide, stores, seed=0)
    first, second = (dict(network.named_parameters()) for network in stage.members)
    weights = [key for key in first if key.endswith("weight") and first[key].ndim > 1]
    assert weights
    assert not any(torch.equal(first[key], second[key]) for key in weights)
    groups = stage.clip_groups()
    assert [len(group) for group in groups] == [len(first)] * 2
    loss, _ = stage.loss(stage.draw(0, Part()))
    loss.backward()
    assert all(p.grad is not None for group in groups for p in group)
    assert all(p.grad is None for p in stage.ema.teacher.parameters())


@pytest.mark.parametrize(
    ("name", "guide", "changes", "text"),
    [
        ("pseudo_label", "none", {"ema": 0.0}, "pseudo_label needs a teacher.*segmenter.ema is 0"),
        ("pseudo_label", "quality", {}, "guide quality needs a quality predictor"),
        ("supervised", "threshold", {}, "supervised has no unlabelled loss"),
        ("cps", "none", {"method": {"csp": {}}}, "segmenter.method: no such name 'csp'"),
        ("cps", "none", {"method": {"cps": 1}}, "segmenter.method: wanted {cps: {option: value}}, got {cps: 1}"),
        ("cps", "none", {"guide": {"threshold": 0.5}}, "segmenter.guide: wanted {threshold: {option: value}}"),
        ("pseudo_label", "threshold", {"guide": {"threshold": {"treshold": 1}}}, "did you mean threshold"),
    ],
)
def test_refused_before_training(name, guide, changes, text):
    with pytest.raises(InputError, match=text):
        make_pair(name, guide, None, replace(CONFIG, **changes))


def test_pool_smaller_than_a_batch(tmp_path):
    with pytest.raises(InputError, match=r"PL-QW take 4 unlabelled images a step, .* has 3; lower it to 3 or less"):
        check_pool(["PL-QW"], 3, 4, tmp_path)
    check_pool([], 0, 4, tmp_path)
    check_pool(["PL-QW"], 4, 4, tmp_path)


def test_a_run_builds_networks_that_began_differently(stores):
    """Each from a name of its own, by which a run seeds it; the first as for every other method."""
    from qgssl_fast.training.assemble import assemble
    from qgssl_fast.training.inputs import Inputs
    from qgssl_fast.training.schedule import stable_seed

    torch.manual_seed(9)
    predictor = QualityPredictor("small", options={"features": [4, 8], "hidden": 8})
    config = Config(segmenter=replace(CONFIG, guard=0.1))
    inputs = Inputs(Path(), stores, [], [0.5] * 3, [0.2] * 3)
    asked = []

    def network(name):
        asked.append(name)
        return segmenter(stable_seed(0, name))

    stage, own, shown = assemble("x", ("cps", "regularizer"), config, inputs, {}, predictor, network, None)
    assert asked == ["segmenter", "segmenter/1"]
    first, second = stage.members
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters()))
    assert (own, shown, stage.refresh) == (predictor, {}, None)
    assert stage.guard is not None
    assemble("y", ("supervised", "none"), config, inputs, {}, predictor, network, None)
    assert asked[2:] == ["segmenter"]
