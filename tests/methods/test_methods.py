"""What holds for every method; who gets gradients; names."""

from __future__ import annotations

import pytest
import torch

from qgssl_fast.errors import InputError
from qgssl_fast.methods import METHODS, PUBLISHED, Method, list_methods, make_method, resolve_name
from qgssl_fast.ops.losses import consistency
from qgssl_fast.quality import make_guide

from .conftest import network, probs_of

UNLABELLED = [name for name, cls in METHODS.items() if cls.needs_unlabelled]


def run(name, setting, guide, student=None):
    """Loss and logs of a method, with the students and the teacher that it wants, chance as at first."""
    own, teacher, batch, _ = setting
    method = make_method(name, **({"threshold": 0.0} if METHODS[name].own_threshold else {}))
    student = student or ((own, network(own.num_classes, 7)) if method.networks == 2 else own)
    torch.manual_seed(3)
    return method.loss(student, teacher if method.needs_teacher else None, batch, guide), student


@pytest.mark.parametrize("name", UNLABELLED)
def test_all_quality_one_is_the_unguided_method(name, setting, monkeypatch):
    guide = make_guide("quality", setting[3])
    monkeypatch.setattr(guide, "predict", lambda images, masks: torch.ones(len(images)))
    (guided, _), _ = run(name, setting, guide)
    (plain, _), _ = run(name, setting, make_guide("none"))
    assert plain > 0
    assert torch.equal(guided, plain)


@pytest.mark.parametrize("name", UNLABELLED)
def test_all_weights_zero_leave_nothing_of_the_pseudo_labels(name, setting):
    (loss, logs), student = run(name, setting, make_guide("quality", setting[3], threshold=1.0))
    assert logs["weight_zero"] == 1
    if METHODS[name].needs_labelled:
        return  # the labelled part of its images stays
    loss.backward()
    assert loss == 0
    for one in student if isinstance(student, tuple) else (student,):
        assert all(p.grad is None or not p.grad.any() for p in one.parameters())


@pytest.mark.parametrize("name", UNLABELLED)
def test_who_gets_a_gradient(name, setting):
    _, teacher, _, predictor = setting
    teacher.train()
    before = {key: tensor.clone() for key, tensor in teacher.state_dict().items()}
    (loss, logs), student = run(name, setting, make_guide("quality", predictor, threshold=0.0))
    loss.backward()
    assert all(p.grad is None for p in [*teacher.parameters(), *predictor.parameters()])
    for one in student if isinstance(student, tuple) else (student,):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in one.parameters())
    assert all(torch.equal(tensor, before[key]) for key, tensor in teacher.state_dict().items())
    assert all(value.ndim == 0 and not value.requires_grad for value in logs.values())


@pytest.mark.parametrize("name", UNLABELLED)
def test_both_mechanisms_at_once(name, setting):
    student, teacher, batch, predictor = setting
    method, guide = make_method(name), make_guide("quality+regularizer", predictor, quality={"threshold": 0.0})
    students = (student, network(student.num_classes, 7)) if method.networks == 2 else student
    for one in students if method.networks == 2 else (student,):
        one.eval()
    torch.manual_seed(3)
    both = method.losses(students, teacher, batch, guide)
    torch.manual_seed(3)
    loss, logits, _ = method.method_loss(students, teacher, batch, make_guide("quality", predictor, threshold=0.0))
    torch.testing.assert_close(both.method, loss)
    if logits is None:
        logits = student(batch.weak)
    each = (logits,) if isinstance(logits, torch.Tensor) else logits
    wanted = torch.stack([1 - predictor(batch.weak, probs_of(one)).mean() for one in each]).mean()
    torch.testing.assert_close(both.regularizer, wanted)


@pytest.mark.parametrize("name", [name for name, cls in METHODS.items() if cls.needs_teacher])
def test_missing_teacher(name, setting):
    with pytest.raises(InputError, match=f"{name} needs a teacher"):
        make_method(name).loss(setting[0], None, setting[2], make_guide("none"))


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


def test_the_regulariser_judges_every_network(setting):
    """A two-network method that gives it the logits of one alone is told."""
    student, _, batch, predictor = setting

    class Half(Method):
        name, source, networks = "half", "", 2

        def method_loss(self, student, teacher, batch, guide):
            logits = student[0](batch.weak)
            return consistency(logits, logits.detach().sigmoid(), None, "mse"), logits, {}

    with pytest.raises(InputError, match="half: guide regularizer wants the logits of all 2 networks, got 1"):
        Half().losses((student, student), None, batch, make_guide("regularizer", predictor))


@pytest.mark.parametrize(
    ("method", "guide", "text"),
    [
        ("supervised", "quality", "supervised has no unlabelled loss that guide quality could weigh"),
        ("supervised", "threshold", "supervised has no unlabelled loss"),
        ("supervised", "quality+regularizer", "supervised has no unlabelled loss"),
        ("fixmatch", "threshold", "fixmatch leaves out unsure pixels by itself"),
        ("unimatch", "threshold+quality", "unimatch leaves out unsure pixels by itself"),
        ("cps", "uncertainty", "cps has no teacher that guide uncertainty could ask"),
    ],
)
def test_combinations_that_make_no_sense(method, guide, text, setting):
    with pytest.raises(InputError, match=text.replace("+", r"\+")):
        make_method(method).check(make_guide(guide, setting[3]))


def test_combinations_that_do(setting):
    for name in PUBLISHED:
        method, guide = resolve_name(name)
        make_method(method).check(make_guide(guide, setting[3]))


def test_names():
    assert len(PUBLISHED) == 14
    assert resolve_name("PL-QW") == ("pseudo_label", "quality")
    assert resolve_name("QAR") == ("supervised", "regularizer")
    assert resolve_name("pseudo_label") == ("pseudo_label", "none")
    assert resolve_name("ict+quality+regularizer") == ("ict", "quality+regularizer")
    assert set(list_methods()) == set(METHODS)
    for name in METHODS:
        method = make_method(name)
        assert method.name == name
        assert method.source


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("pseudolabel", {}, r"method: no such name 'pseudolabel' \(did you mean pseudo_label\?\)"),
        ("pseudo_label+qualty", {}, r"guide: no such name 'qualty' \(did you mean quality\?\)"),
        ("pseudo_label", {"weight": 1}, "method pseudo_label: option: no such name 'weight'"),
        ("mean_teacher", {"kind": "l1"}, "mean_teacher: kind must be mse or kl, got 'l1'"),
        ("ict", {"alpha": 0}, "ict: alpha must be > 0, got 0"),
        ("cps", {"loss": "dice"}, "cps: loss must be entropy or entropy_dice, got 'dice'"),
        ("fixmatch", {"threshold": 2}, "fixmatch: threshold must be 0 <= threshold <= 1, got 2"),
        ("unimatch", {"drop": 1}, "unimatch: drop must be 0 < drop < 1, got 1"),
        ("bcp", {"box": 1}, "bcp: wanted alpha >= 0 and 0 < box < 1"),
        ("contrastive", {"temperature": 0}, "contrastive: wanted weight >= 0, temperature > 0"),
    ],
)
def test_wrong_names(name, options, text):
    with pytest.raises(InputError, match=text):
        make_method(name, **options)
