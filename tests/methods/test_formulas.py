"""The loss of each method, computed again in plain torch by the formula of its own publication."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from qgssl_fast.methods import make_method
from qgssl_fast.methods.contrastive import draw
from qgssl_fast.methods.mixing import box_of_area, box_of_part
from qgssl_fast.quality import make_guide

from .conftest import (
    confidence_of,
    entropy_dice,
    entropy_of,
    labels_of,
    network,
    probs_of,
    quality_weights,
    weighted,
)  # fmt: skip


def quality(setting, images, labels):
    """A quality guide whose threshold leaves out two of five samples, and its weights."""
    predictor = setting[3].eval()
    q = predictor(images, labels.byte()).detach()
    threshold = (q.mean(1) if q.ndim == 2 else q).median().item()
    return make_guide("quality", predictor, threshold=threshold), quality_weights(predictor, images, labels, threshold)


def taught(setting):
    logits = setting[1](setting[2].weak).detach()
    return logits, labels_of(logits)


@pytest.mark.parametrize("guide_name", ["none", "threshold", "confidence", "quality"])
def test_pseudo_label(setting, guide_name):
    """Abhishek and Hamarneh 2026: SUM w l / SUM w; PL-T keeps pixels, PL-C weighs by mean confidence squared."""
    student, teacher, batch, _ = setting
    answers, labels = taught(setting)
    c = confidence_of(answers)
    w, pixels, guide = torch.ones(5), [None] * 5, make_guide("none")
    if guide_name == "threshold":
        pixels = (c >= c.median()).float()
        guide = make_guide(guide_name, threshold=c.median().item())
    elif guide_name == "confidence":
        mean = c.mean((1, 2))
        w = mean**2 * (mean >= mean.median())
        guide = make_guide(guide_name, threshold=mean.median().item())
    elif guide_name == "quality":
        guide, w = quality(setting, batch.weak, labels)
    loss, logs = make_method("pseudo_label").loss(student, teacher, batch, guide)
    logits = student(batch.strong)
    wanted = weighted([entropy_dice(logits[i], labels[i], pixels[i]) for i in range(5)], w)
    torch.testing.assert_close(loss, wanted)
    torch.testing.assert_close(logs["weight_mean"], w.mean())
    torch.testing.assert_close(logs["weight_zero"], (w == 0).float().mean())


@pytest.mark.parametrize("kind", ["mse", "kl"])
@pytest.mark.parametrize("guided", [False, True])
def test_mean_teacher(setting, kind, guided):
    """Tarvainen and Valpola 2017, section 2: ||f' - f||^2; MT-QW: its mean by quality."""
    student, teacher, batch, _ = setting
    answers, labels = taught(setting)
    guide, w = quality(setting, batch.weak, labels) if guided else (make_guide("none"), torch.ones(5))
    loss, _ = make_method("mean_teacher", kind=kind).loss(student, teacher, batch, guide)
    t, p = probs_of(answers), probs_of(student(batch.strong))
    if kind == "mse":
        each = (t - p).square().mean((1, 2, 3))
    else:
        t, p = (torch.cat([x, 1 - x], 1) if x.shape[1] == 1 else x for x in (t, p))
        each = (t * (t.log() - p.log())).sum(1).mean((1, 2))
    torch.testing.assert_close(loss, weighted(each, w))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_ua_mt(setting, dropout):
    """Yu et al. 2019, eq. 2 and 3: MSE over the pixels whose entropy under dropout is below H."""
    student, _, batch, _ = setting
    teacher = network(student.num_classes, 1, dropout=dropout).eval()
    with torch.no_grad():
        teacher.network.model[2].conv.weight *= 4  # some pixels are sure
    torch.manual_seed(5)
    guide = make_guide("uncertainty", passes=3)
    loss, logs = make_method("UA-MT").loss(student, teacher, batch, guide)
    assert not any(m.training for m in teacher.modules())
    t, p = probs_of(teacher(batch.weak)), probs_of(student(batch.strong))
    for m in teacher.modules():
        m.train(isinstance(m, nn.Dropout))
    torch.manual_seed(5)
    with torch.no_grad():
        noise = [(torch.randn_like(batch.weak) * 0.1).clamp(-0.2, 0.2)]
        passes = [probs_of(teacher(batch.weak + noise[0]))]
        for _ in range(2):
            noise = (torch.randn_like(batch.weak) * 0.1).clamp(-0.2, 0.2)
            passes.append(probs_of(teacher(batch.weak + noise)))
    mu = torch.stack(passes).mean(0)
    mu = torch.cat([mu, 1 - mu], 1) if mu.shape[1] == 1 else mu
    u = -(mu * mu.log()).sum(1)
    limit = (0.75 + 0.25 * math.exp(-5 * (1 - 0.5) ** 2)) * math.log(mu.shape[1])
    inside = (u < limit).float()
    assert 0 < inside.mean() < 1
    each = [(inside[i] * (t - p)[i].square().mean(0)).sum() / inside[i].sum().clamp(min=1) for i in range(5)]
    torch.testing.assert_close(loss, weighted(each, (inside.sum((1, 2)) > 0).float()))
    torch.testing.assert_close(logs["pixels_kept"], inside.mean())


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_ict(setting, guided, alpha):
    """Verma et al. 2019: squared error between f(Mix(u_j, u_m)) and Mix(f'(u_j), f'(u_m))."""
    student, teacher, batch, _ = setting
    answers, labels = taught(setting)
    guide, w = quality(setting, batch.weak, labels) if guided else (make_guide("none"), torch.ones(5))
    torch.manual_seed(6)
    loss, _ = make_method("ict", alpha=alpha).loss(student, teacher, batch, guide)
    torch.manual_seed(6)
    k = torch.rand(5) if alpha == 1 else torch._sample_dirichlet(torch.full((5, 2), alpha))[:, 0]
    other = [4, 0, 1, 2, 3]
    images = torch.stack([k[i] * batch.weak[i] + (1 - k[i]) * batch.weak[j] for i, j in enumerate(other)])
    p, t = probs_of(student(images)), probs_of(answers)
    each = [(p[i] - k[i] * t[i] - (1 - k[i]) * t[j]).square().mean() for i, j in enumerate(other)]
    torch.testing.assert_close(loss, weighted(each, [k[i] * w[i] + (1 - k[i]) * w[j] for i, j in enumerate(other)]))


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("kind", ["entropy", "entropy_dice"])
def test_cps(setting, guided, kind):
    """Chen et al. 2021, eq. 2: l_ce(p_1, y_2) + l_ce(p_2, y_1)."""
    first, _, batch, predictor = setting
    second = network(first.num_classes, 9)
    guide = make_guide("quality", predictor, threshold=0.0) if guided else make_guide("none")
    loss, _ = make_method("cps", loss=kind).loss((first, second), None, batch, guide)
    p1, p2 = first(batch.weak), second(batch.weak)
    wanted = 0
    for p, other in ((p1, p2), (p2, p1)):
        y = labels_of(other.detach())
        w = quality_weights(predictor, batch.weak, y, 0.0) if guided else torch.ones(5)
        each = entropy_of(p, y).mean((1, 2)) if kind == "entropy" else [entropy_dice(p[i], y[i]) for i in range(5)]
        wanted = wanted + weighted(each, w)
    torch.testing.assert_close(loss, wanted)


@pytest.mark.parametrize("guided", [False, True])
def test_contrastive(setting, guided):
    """Wang et al. 2021, eq. 3 (van den Oord et al. 2018, eq. 4), 0.1 of it on top of the pseudo-labels."""
    student, teacher, batch, _ = setting
    student.eval()
    answers, labels = taught(setting)
    guide, w = quality(setting, batch.weak, labels) if guided else (make_guide("none"), torch.ones(5))
    confidence = confidence_of(answers).median().item()
    method = make_method("contrastive", negatives=8, confidence=confidence)
    torch.manual_seed(8)
    loss, logs = method.loss(student, teacher, batch, guide)
    logits, features = student(batch.strong, features=True)
    z = F.normalize(F.interpolate(features, scale_factor=1), dim=1)
    step = 16 // z.shape[2]
    sure = (confidence_of(answers) >= confidence)[:, ::step, ::step].reshape(-1)
    y, worth = labels[:, ::step, ::step].reshape(-1), w.repeat_interleave(z[0, 0].numel()) * sure
    z = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])
    torch.manual_seed(8)
    losses, weights = [], []
    for k in range(student.num_classes):
        own, others = worth * (y == k), worth * (y != k)
        anchors, negatives = draw(own, 16).tolist(), draw(others, 8).tolist()
        negatives = [n for n in negatives if others[n] > 0]
        for i, j in zip(anchors[:8], anchors[8:]):
            if own[i] > 0 and own[j] > 0 and negatives:
                near = (z[i] @ z[j] / 0.1).exp()
                far = sum((z[i] @ z[n] / 0.1).exp() for n in negatives)
                losses.append(-(near / (near + far)).log())
                weights.append(own[i])
    assert len(losses) >= 8
    contrast = weighted(losses, weights)
    torch.testing.assert_close(logs["contrast"], contrast.detach())
    plain = weighted([entropy_dice(logits[i], labels[i]) for i in range(5)], w)
    torch.testing.assert_close(loss, plain + 0.1 * contrast)


def test_contrast_without_sure_pixels_is_zero(setting):
    student, teacher, batch, _ = setting
    loss, logs = make_method("contrastive", confidence=1.0).loss(student, teacher, batch, make_guide("none"))
    assert logs["contrast"] == 0
    loss.backward()
    assert all(p.grad.isfinite().all() for p in student.parameters())


@pytest.mark.parametrize("guided", [False, True])
def test_fixmatch(setting, guided):
    """Sohn et al. 2020, eq. 4: the mean over all pixels of [max p_w >= tau] H(y, p_s), the label is the student's."""
    student, _, batch, predictor = setting
    student.eval()
    answers = student(batch.weak).detach()
    labels, tau = labels_of(answers), confidence_of(answers).median().item()
    guide = make_guide("quality", predictor, threshold=0.0) if guided else make_guide("none")
    w = quality_weights(predictor, batch.weak, labels, 0.0) if guided else torch.ones(5)
    loss, logs = make_method("fixmatch", threshold=tau).loss(student, None, batch, guide)
    sure = (confidence_of(answers) >= tau).float()
    each = (sure * entropy_of(student(batch.strong), labels)).mean((1, 2))
    torch.testing.assert_close(loss, weighted(each, w))
    torch.testing.assert_close(logs["pixels_sure"], sure.mean())


@pytest.mark.parametrize("cutmix", [0.0, 1.0])
@pytest.mark.parametrize("guided", [False, True])
def test_unimatch(setting, guided, cutmix):
    """Yang et al. 2023: 0.5 H(p_w, p_fp) + 0.25 (H(p_w, p_s1) + H(p_w, p_s2)) over sure pixels."""
    student, _, batch, predictor = setting
    student.eval()
    answers = student(batch.weak).detach()
    labels, tau = labels_of(answers), confidence_of(answers).median().item()
    guide = make_guide("quality", predictor, threshold=0.0) if guided else make_guide("none")
    w = quality_weights(predictor, batch.weak, labels, 0.0) if guided else torch.ones(5)
    torch.manual_seed(4)
    loss, _ = make_method("unimatch", threshold=tau, cutmix=cutmix).loss(student, None, batch, guide)
    sure = (confidence_of(answers) >= tau).float()
    torch.manual_seed(4)
    _, dropped = student(batch.weak, drop=0.5)
    wanted = 0.5 * weighted((sure * entropy_of(dropped, labels)).mean((1, 2)), w)
    for view in (batch.strong, batch.second):
        box = box_of_area(5, 0.02, 0.4, 0.3, (16, 16), torch.device("cpu"))
        torch.rand(5)
        images, y, kept, value = view.clone(), labels.clone(), sure.clone(), w.view(-1, 1, 1).repeat(1, 16, 16)
        for i, j in enumerate([4, 0, 1, 2, 3]) if cutmix else ():
            images[i][:, box[i]] = view[j][:, box[i]]
            y[i][box[i]], kept[i][box[i]], value[i][box[i]] = labels[j][box[i]], sure[j][box[i]], w[j]
        wanted = wanted + 0.25 * (value * kept * entropy_of(student(images), y)).sum() / value.sum()
    torch.testing.assert_close(loss, wanted)


@pytest.mark.parametrize("guided", [False, True])
def test_bcp(setting, guided):
    """Bai et al. 2023: L_seg M + alpha L_seg (1 - M) of X_in, and the other way of X_out."""
    student, _, batch, _ = setting
    student.eval()
    _, labels = taught(setting)
    guide, w = quality(setting, batch.weak, labels) if guided else (make_guide("none"), torch.ones(5))
    torch.manual_seed(4)
    loss, _ = make_method("bcp", largest=False).loss(student, setting[1], batch, guide)
    torch.manual_seed(4)
    m = (~box_of_part(2, 2 / 3, (16, 16), torch.device("cpu"))).float()
    assert m.sum().item() == 2 * (256 - 10 * 10)
    images, masks = batch.labelled
    wanted = 0
    for pairs, own in (([(0, 0), (1, 1)], m), ([(3, 0), (4, 1)], 1 - m)):
        mixed = torch.stack([own[k] * images[j] + (1 - own[k]) * batch.weak[i] for k, (i, j) in enumerate(pairs)])
        y = [torch.where(own[k] > 0, masks[j], labels[i]) for k, (i, j) in enumerate(pairs)]
        logits = student(mixed)
        wanted = wanted + sum(entropy_dice(logits[k], y[k], own[k]) for k in range(2)) / 2
        pseudo = [entropy_dice(logits[k], y[k], 1 - own[k]) for k in range(2)]
        if sum(w[i] for i, _ in pairs) > 0:
            wanted = wanted + 0.5 * weighted(pseudo, [w[i] for i, _ in pairs])
    torch.testing.assert_close(loss, wanted)


def test_bcp_keeps_the_largest_component():
    from scipy.ndimage import label

    from qgssl_fast.methods.bcp import largest_component
    from qgssl_fast.ops.corrupt import corrupt

    masks = (torch.rand(4, 20, 20, generator=torch.Generator().manual_seed(0)) < 0.3).to(torch.uint8)
    kept = corrupt(masks, largest_component()).masks
    for before, after in zip(masks.numpy(), kept.numpy()):
        parts, count = label(before, structure=[[1] * 3] * 3)
        sizes = [(parts == k).sum() for k in range(1, count + 1)]
        assert after.sum() == max(sizes)
        assert label(after, structure=[[1] * 3] * 3)[1] == 1
        assert (after <= before).all()


@pytest.mark.parametrize("space", [(16, 16), (8, 12, 10)])
def test_boxes(space):
    torch.manual_seed(0)
    inside = box_of_part(5000, 0.5, space, torch.device("cpu"))
    assert (inside.flatten(1).sum(1) == math.prod(s // 2 for s in space)).all()
    assert inside.any(0).all()  # every pixel is in one of them
    shares = box_of_area(500, 0.02, 0.4, 0.3, space, torch.device("cpu")).float().flatten(1).mean(1)
    assert shares.max() <= 0.4 + 1e-6
    assert 0.1 < shares.mean() < 0.22
