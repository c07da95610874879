"""The predictor's training on masks that a recipe softens."""

import torch

import qgssl_fast as qf
from qgssl_fast.corruption import MaskBank
from qgssl_fast.data import DeviceStore, make_phantoms
from qgssl_fast.quality.predictor import QualityPredictor
from qgssl_fast.recipes.softness import Softness
from qgssl_fast.training.config import QualityConfig
from qgssl_fast.training.stage import Part
from qgssl_fast.training.stages.quality import FixedSet, QualityStage


def test_soft_masks_train_the_predictor(tmp_path, monkeypatch):
    dataset = make_phantoms(tmp_path / "phantoms", 32, {"train": 4, "val": 2, "test": 1, "unlabeled": 1})
    stores = {name: DeviceStore.from_cases(dataset.splits[name], (32, 32), channels=3) for name in ("train", "val")}
    banks = {name: MaskBank(store.masks) for name, store in stores.items()}
    recipe = qf.load_recipe("default").replace(p_weak=0.0, softness=Softness(0.5, 1, 3, 1.0, 4.0))
    fixed = FixedSet.draw(stores["val"], banks["val"], recipe, 3, 0)
    assert fixed.masks.dtype == torch.uint8  # figures are of hard masks
    predictor = QualityPredictor("small", in_channels=3)
    stage = QualityStage(QualityConfig(batch=8), predictor, stores["train"], banks["train"], fixed, recipe, 0)
    seen = []
    forward = QualityPredictor.forward
    monkeypatch.setattr(
        QualityPredictor, "forward", lambda self, x, m, **how: seen.append(m) or forward(self, x, m, **how)
    )
    loss, _ = stage.loss(stage.draw(0, Part()))
    loss.backward()
    assert torch.isfinite(loss)
    (masks,) = seen
    assert masks.dtype == torch.float32
    assert 0 <= float(masks.min()) < float(masks.max()) <= 1
    soft = ((masks > 0) & (masks < 1)).flatten(1).any(1)
    assert 1 <= int(soft.sum()) <= 7
