"""Stages on a handful of phantoms, small enough that a step takes milliseconds."""

from __future__ import annotations

import io

import pytest
import torch
from rich.console import Console

from qgssl_fast.corruption import MaskBank
from qgssl_fast.data import DeviceStore, make_phantoms
from qgssl_fast.methods import METHODS
from qgssl_fast.networks import Ensemble, Segmenter
from qgssl_fast.quality import QualityPredictor
from qgssl_fast.recipes import load_recipe
from qgssl_fast.training.config import Config, LambdaConfig, QualityConfig, SegmenterConfig, WeakConfig
from qgssl_fast.training.engine import Engine
from qgssl_fast.training.logging import Log
from qgssl_fast.training.pairs import make_pair
from qgssl_fast.training.stages import FixedSet, QualityStage, SegmenterStage, WeakStage

SIDE = 32
NAMES = ["weak", "quality", *(f"segmenter/{name}" for name in sorted(METHODS))]
"""Every stage, and that of segmenters with every method that there is."""


@pytest.fixture(scope="session")
def stores(tmp_path_factory):
    counts = {"train": 6, "val": 3, "test": 1, "unlabeled": 8}
    dataset = make_phantoms(tmp_path_factory.mktemp("set") / "phantoms", SIDE, counts)
    return {name: DeviceStore.from_cases(cases, (SIDE, SIDE), channels=3) for name, cases in dataset.splits.items()}


def network(seed=0):
    torch.manual_seed(seed)
    options = {"channels": [4, 8, 8], "strides": [2, 2], "dropout": 0.2, "bias": False}
    return Segmenter("UNet", image_size=(SIDE, SIDE), options=options)


def predictor():
    torch.manual_seed(9)
    return QualityPredictor("small", options={"features": [4, 8], "hidden": 8})


@pytest.fixture
def make_stage(stores, tmp_path):
    """make_stage("weak" | "quality" | "segmenter/METHOD", **settings of its config)."""

    def make(name, folder=tmp_path, **changes):
        kind, _, method_name = name.partition("/")
        if kind == "weak":
            settings = {"epochs": 3, "steps_per_epoch": 4, "batch": 4, "snapshots": [1, 2]} | changes
            return WeakStage(WeakConfig(**settings), network(), stores, folder, 0)
        if kind == "quality":
            banks = {split: MaskBank(stores[split].truth) for split in ("train", "val")}
            recipe = load_recipe("default").replace(p_weak=0.0)
            fixed = FixedSet.draw(stores["val"], banks["val"], recipe, 3, 0)
            settings = QualityConfig(**{"epochs": 3, "steps_per_epoch": 4, "batch": 8} | changes)
            return QualityStage(settings, predictor(), stores["train"], banks["train"], fixed, recipe, 0)
        settings = SegmenterConfig(**{
            "epochs": 3, "steps_per_epoch": 4, "labelled_batch": 4, "unlabelled_batch": 4, "lr": 0.01, "ema": 0.9,
            "method_lambda": LambdaConfig(1, 0, 0.5), "regularizer_lambda": LambdaConfig(1, 0, 0.5),
        } | changes)  # fmt: skip
        guide = "quality+regularizer" if METHODS[method_name].needs_unlabelled else "regularizer"
        method, guide = make_pair(method_name, guide, predictor(), settings)
        model = network() if method.networks == 1 else Ensemble([network(), network(1)])
        return SegmenterStage(method_name, settings, model, method, guide, stores, seed=0)

    return make


@pytest.fixture
def make_engine():
    return lambda **settings: Engine(Config(device="cpu", checkpoint_seconds=0.0, **settings))


@pytest.fixture
def make_log():
    return lambda folder: Log(folder, Console(file=io.StringIO()), trackers=())


def weights(stage):
    """A copy of all that a stage's checkpoint would hold of networks."""
    return {
        f"{name}/{key}": value.clone()
        for name, module in stage.modules().items()
        for key, value in module.state_dict().items()
    }
