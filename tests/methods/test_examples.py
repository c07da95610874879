"""The example loops run, and learn."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from qgssl_fast.quality import QualityPredictor

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("plain_pytorch_loop", EXAMPLES / "plain_pytorch_loop.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_plain_pytorch_loop(example, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["plain_pytorch_loop.py"])
    example.main()
    first, last = capsys.readouterr().out.removeprefix("loss ").split(" -> ")
    assert float(last) < float(first)


def test_plain_pytorch_loop_with_a_file(example, tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    path = QualityPredictor("small", options={"features": [8, 8]}).save(tmp_path / "quality.safetensors")
    monkeypatch.setattr(sys, "argv", ["plain_pytorch_loop.py", str(path)])
    example.main()
    assert "loss" in capsys.readouterr().out


def test_examples_are_short():
    assert all(len(path.read_text(encoding="utf-8").splitlines()) < 80 for path in EXAMPLES.glob("*.py"))
