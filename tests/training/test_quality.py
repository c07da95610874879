"""The predictor's training on masks that a recipe softens."""

import pytest
import torch

import qgssl_fast as qf
from qgssl_fast.corruption import MaskBank
from qgssl_fast.data import DeviceStore, make_phantoms
from qgssl_fast.data.judge import Conventions
from qgssl_fast.quality.dense import dense_loss
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


@pytest.mark.parametrize(("classes", "size"), [(2, (32, 32)), (4, (32, 32)), (3, (16, 16, 16))])
def test_dense_targets_move_with_the_images(classes, size):
    """Two classes: the errors that corruption made; more: the true labels; both under the image's own geometry."""
    g = torch.Generator().manual_seed(0)
    masks = torch.randint(0, classes, (5, *size), generator=g, dtype=torch.uint8)
    images = (masks.unsqueeze(1) * 60).repeat(1, 3, *[1] * len(size)).contiguous()
    labels = tuple(range(classes))
    store = DeviceStore(images, masks, list("abcde"), [size] * 5, Conventions(labels=labels))
    bank = MaskBank(masks, classes)
    recipe = qf.load_recipe("default" if classes == 2 else "labels").replace(p_weak=0.0)
    predictor = QualityPredictor("small", len(size), 3, classes, options={"features": [4, 8], "dense": 4})
    seen = []

    def remember(logits, errors, truth):
        seen.append((logits.shape, errors))
        return dense_loss(logits, errors, truth)

    stage = QualityStage(QualityConfig(batch=4, augmentation="moved"), predictor, store, bank, None, recipe, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qgssl_fast.training.stages.quality.dense_loss", remember)
        batch = stage.draw(0, Part())
        loss, values = stage.loss(batch)
    loss.backward()
    assert values["dense"] > 0
    assert all(p.grad is not None for p in predictor.parameters())
    (shape, target) = seen[0]
    assert shape == (4, 1 if classes == 2 else classes, *size)
    _, truth = store.pairs(batch["index"])
    out = stage.corruptor(truth, batch["ids"], image_ids=batch["index"], errors=True)

    def moved(what):
        how = {"seed": stage.seed, "sample_ids": batch["ids"]}
        return qf.augment(images[batch["index"]], what, stage.augmentation, **how)[1]

    if classes == 2:
        assert torch.equal(target, moved(out.errors))
        assert torch.equal(target.bool(), moved(out.masks) != moved(truth))
    else:
        assert torch.equal(target, moved(truth))
