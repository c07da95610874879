"""Each method's loss against its formula in plain torch; who gets gradients; names."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qgssl_fast.errors import InputError
from qgssl_fast.methods import PUBLISHED, Unlabelled, list_methods, make_method, resolve_name
from qgssl_fast.quality import QualityPredictor, make_guide


def network(channels, seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, channels, 1))


@pytest.fixture(params=[2, 3], ids=["binary", "classes"])
def setting(request):
    classes = request.param
    channels = 1 if classes == 2 else classes
    g = torch.Generator().manual_seed(0)
    batch = Unlabelled(torch.rand(5, 3, 16, 16, generator=g), torch.rand(5, 3, 16, 16, generator=g))
    torch.manual_seed(2)
    predictor = QualityPredictor("small", num_classes=classes, options={"features": [8, 8], "hidden": 16})
    return network(channels, 0), network(channels, 1).eval(), batch, predictor


def entropy_dice(logits, labels):
    """0.5 (B)CE + 0.5 (1 - soft Dice) of one sample, [K, H, W] and [H, W]."""
    if len(logits) == 1:
        entropy = nn.functional.binary_cross_entropy_with_logits(logits[0], labels.float())
        pairs = [(logits[0].sigmoid(), (labels == 1).float())]
    else:
        entropy = nn.functional.cross_entropy(logits[None], labels[None].long())
        pairs = [(p, (labels == k).float()) for k, p in enumerate(logits.softmax(0)) if k > 0]
    dice = torch.stack([(2 * (p * t).sum() + 1e-6) / (p.sum() + t.sum() + 1e-6) for p, t in pairs]).mean()
    return 0.5 * entropy + 0.5 * (1 - dice)


def labels_of(logits):
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)


@pytest.mark.parametrize("guide_name", ["none", "quality"])
def test_pseudo_label_is_the_formula(setting, guide_name):
    student, teacher, batch, predictor = setting
    labels = labels_of(teacher(batch.weak))
    q = predictor.eval()(batch.weak, labels.byte()).detach()
    q = q.mean(1) if q.ndim == 2 else q
    threshold = q.median().item()  # two of five samples are below
    w = q**2 * (q >= threshold) if guide_name == "quality" else torch.ones(5)
    guide = make_guide(guide_name, predictor, **({"threshold": threshold} if guide_name == "quality" else {}))
    loss, logs = make_method("pseudo_label").loss(student, teacher, batch, guide)
    logits = student(batch.strong)
    wanted = sum(w[i] * entropy_dice(logits[i], labels[i]) for i in range(5)) / w.sum()
    torch.testing.assert_close(loss, wanted)
    if guide_name == "quality":
        torch.testing.assert_close(logs["quality_mean"], q.mean())
    torch.testing.assert_close(logs["weight_mean"], w.mean())
    torch.testing.assert_close(logs["weight_zero"], (w == 0).float().mean())
    assert all(value.ndim == 0 and not value.requires_grad for value in logs.values())


def test_all_quality_one_is_the_unguided_method(setting, monkeypatch):
    student, teacher, batch, predictor = setting
    method = make_method("pseudo_label")
    plain, _ = method.loss(student, teacher, batch, make_guide("none"))
    guide = make_guide("quality", predictor)
    monkeypatch.setattr(guide, "predict", lambda images, masks: torch.ones(len(images)))
    guided, _ = method.loss(student, teacher, batch, guide)
    assert torch.equal(guided, plain)


def test_all_weights_zero_is_zero(setting):
    student, teacher, batch, predictor = setting
    loss, logs = make_method("PL-QW").loss(student, teacher, batch, make_guide("quality", predictor, threshold=1.0))
    loss.backward()
    assert loss == 0
    assert logs["weight_zero"] == 1
    assert all(p.grad is None or not p.grad.any() for p in student.parameters())


def test_teacher_gets_no_gradient_and_stays_as_it_is(setting):
    student, teacher, batch, predictor = setting
    teacher.train()
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    loss, _ = make_method("pseudo_label").loss(student, teacher, batch, make_guide("quality", predictor, threshold=0.0))
    loss.backward()
    assert all(p.grad is None for p in [*teacher.parameters(), *predictor.parameters()])
    assert all(p.grad is not None for p in student.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())


def test_qar_is_the_formula(setting):
    student, _, batch, predictor = setting
    method, guide = make_method("QAR"), make_guide("regularizer", predictor)
    assert method.wants_unlabelled(guide)
    loss, logs = method.loss(student, None, batch, guide)
    logits = student(batch.weak)
    probs = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)[:, 1:]
    torch.testing.assert_close(loss, 1 - predictor(batch.weak, probs).mean())
    torch.testing.assert_close(logs["regularizer_quality"], 1 - loss)
    loss.backward()
    assert any(p.grad.any() for p in student.parameters())
    assert all(p.grad is None for p in predictor.parameters())


def test_supervised_has_nothing_to_add(setting):
    student, teacher, batch, _ = setting
    method, guide = make_method("supervised"), make_guide("none")
    assert not method.wants_unlabelled(guide)
    assert method.loss(student, teacher, batch, guide) == (torch.zeros(()), {})


def test_both_mechanisms_at_once(setting):
    student, teacher, batch, predictor = setting
    method, guide = make_method("pseudo_label"), make_guide("regularizer", predictor)
    both = method.losses(student, teacher, batch, guide)
    plain, _ = method.loss(student, teacher, batch, make_guide("none"))
    logits = student(batch.strong)
    probs = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)
    torch.testing.assert_close(both.method, plain)
    torch.testing.assert_close(both.regularizer, guide.regularization(batch.weak, probs))
    torch.testing.assert_close(method.loss(student, teacher, batch, guide)[0], both.method + both.regularizer)


def test_missing_teacher(setting):
    student, _, batch, _ = setting
    with pytest.raises(InputError, match="pseudo_label needs a teacher"):
        make_method("pseudo_label").loss(student, None, batch, make_guide("none"))


def test_weights_without_a_loss_are_refused(setting):
    predictor = setting[3]
    with pytest.raises(InputError, match="supervised has no unlabelled loss that guide quality could weigh"):
        make_method("supervised").check(make_guide("quality", predictor))
    make_method("supervised").check(make_guide("regularizer", predictor))
    make_method("pseudo_label").check(make_guide("quality", predictor))


def test_names():
    assert len(PUBLISHED) == 14
    assert resolve_name("PL-QW") == ("pseudo_label", "quality")
    assert resolve_name("QAR") == ("supervised", "regularizer")
    assert resolve_name("SUP") == ("supervised", "none")
    assert resolve_name("pseudo_label") == ("pseudo_label", "none")
    assert resolve_name("pseudo_label+regularizer") == ("pseudo_label", "regularizer")
    assert list(list_methods()) == ["supervised", "pseudo_label"]
    for name in ("supervised", "pseudo_label"):
        method = make_method(name)
        assert (method.name, method.networks) == (name, 1)
        assert method.source
    assert make_method("pseudo_label").needs_teacher


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("MT-QW", {}, "method: MT-QW is not there yet; published names that are: SUP, PL-QW, QAR"),
        ("PL-T", {}, "PL-T is not there yet"),
        ("pseudolabel", {}, r"method: no such name 'pseudolabel' \(did you mean pseudo_label\?\)"),
        ("pseudo_label+qualty", {}, r"guide: no such name 'qualty' \(did you mean quality\?\)"),
        ("pseudo_label", {"weight": 1}, "method pseudo_label: option: no such name 'weight'"),
    ],
)
def test_wrong_names(name, options, text):
    with pytest.raises(InputError, match=text):
        make_method(name, **options)
