"""How much of a training step of the quality predictor the corruption of masks takes, on two threads of the CPU.

pytest benchmarks/bench_step.py
`corruption_share` in the extra info of --benchmark-json is the time within `corrupt` over that of the whole step: data,
corruption, augmentation, forward, backward, optimiser. Presets `phantoms` (64x64) and `cpu` (96x96), on phantoms.
"""

from __future__ import annotations

import time
from operator import attrgetter

import pytest
import torch

from qgssl_fast.corruption import MaskBank
from qgssl_fast.data import DeviceStore, make_phantoms
from qgssl_fast.quality.predictor import QualityPredictor
from qgssl_fast.recipes import load_recipe
from qgssl_fast.training.config import Config
from qgssl_fast.training.settings import load_preset
from qgssl_fast.training.stage import Part
from qgssl_fast.training.stages.quality import FixedSet, QualityStage


@pytest.mark.parametrize("preset", ["phantoms", "cpu"])
@pytest.mark.benchmark(group="a step of the quality predictor")
def test_share_of_corruption(benchmark, preset, tmp_path):
    torch.set_num_threads(2)
    config = Config()
    for key, value in load_preset(preset).items():
        section, _, name = key.rpartition(".")
        setattr(attrgetter(section)(config) if section else config, name, value)
    side = config.images.size[0]
    dataset = make_phantoms(tmp_path / "phantoms", side, {"train": 12, "val": 2, "test": 1, "unlabeled": 1})
    stores = {name: DeviceStore.from_cases(dataset.splits[name], (side, side), channels=3) for name in ("train", "val")}
    banks = {name: MaskBank(store.masks) for name, store in stores.items()}
    for store, bank in zip(stores.values(), banks.values()):
        bank.add(store.masks.roll(3, 1))
    recipe = load_recipe(config.quality.recipe)
    predictor = QualityPredictor(config.quality.backbone, in_channels=3, options=config.quality.options)
    fixed = FixedSet.draw(stores["val"], banks["val"], recipe, 2, 0)
    stage = QualityStage(config.quality, predictor, stores["train"], banks["train"], fixed, recipe, 0)
    spent, corruptor = [], stage.corruptor

    def timed(*arguments, **options):
        began = time.perf_counter()
        out = corruptor(*arguments, **options)
        spent.append(time.perf_counter() - began)
        return out

    stage.corruptor = timed
    steps = iter(range(10**9))

    def step() -> None:
        stage.optimizer.zero_grad()
        loss, _ = stage.loss(stage.draw(next(steps), Part()))
        loss.backward()
        stage.optimizer.step()

    benchmark.pedantic(step, rounds=60, warmup_rounds=5)
    if benchmark.stats is not None:
        corruption = sorted(spent[5:])[len(spent[5:]) // 2]
        benchmark.extra_info["corruption_share"] = corruption / benchmark.stats.stats.median
        benchmark.extra_info["batch"] = config.quality.batch
