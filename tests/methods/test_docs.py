"""The worked example of docs/methods.md is a method that trains; its tables name all that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from qgssl_fast.methods import METHODS, PUBLISHED, make_method
from qgssl_fast.quality import list_guides, make_guide

from .conftest import probs_of, quality_weights

PAGE = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")


@pytest.fixture
def example(monkeypatch):
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "(Method)" in block]
    found: dict = {"__name__": "example"}
    exec(compile(code, "docs/methods.md", "exec"), found)
    monkeypatch.setitem(METHODS, "entropy", found["EntropyMinimisation"])
    assert len(code.splitlines()) < 35
    return make_method("entropy")


def test_the_example_is_its_formula_and_learns(example, setting):
    student, _, batch, predictor = setting
    logits = student(batch.weak)
    q = quality_weights(predictor, batch.weak, (logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(1)), 0.0)
    p = probs_of(logits)
    p = torch.cat([p, 1 - p], 1) if p.shape[1] == 1 else p
    h = -(p * p.log()).sum(1).mean((1, 2))
    loss, _ = example.loss(student, None, batch, make_guide("quality", predictor, threshold=0.0))
    torch.testing.assert_close(loss, (q * h).sum() / q.sum())
    optimizer = torch.optim.Adam(student.parameters(), 0.01)
    guide, losses = make_guide("regularizer", predictor), []
    for _ in range(10):
        both = example.losses(student, None, batch, guide)
        optimizer.zero_grad()
        (both.method + both.regularizer).backward()
        optimizer.step()
        losses.append(both.method.item())
    assert losses[-1] < losses[0]


def test_tables_are_whole():
    for name in (*METHODS, *list_guides(), *PUBLISHED):
        assert name in PAGE
    names = dict(re.findall(r"([A-Z]+(?:-[A-Z]+)?) \| `([a-z_+]+)`", PAGE))
    pairs = {name: "+".join(part for part in pair if part != "none") for name, pair in PUBLISHED.items()}
    assert names == pairs


def test_methods_are_short_and_the_loop_knows_none_by_name():
    import inspect

    from qgssl_fast.training import engine, graphs, loop, stage
    from qgssl_fast.training.stages import segmenter

    for cls in METHODS.values():
        lines = len(Path(inspect.getfile(cls)).read_text(encoding="utf-8").splitlines())
        assert lines <= 90, f"{cls.name}: {lines} lines"
    for module in (loop, engine, graphs, stage, segmenter):
        code = Path(module.__file__).read_text(encoding="utf-8")
        for name in (set(METHODS) | set(PUBLISHED)) - {"supervised"}:  # also the name of the loss on labelled images
            assert not re.search(rf"\b{name}\b", code, re.I), f"{module.__name__} names {name}"
