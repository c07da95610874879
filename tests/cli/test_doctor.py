"""The doctor says what is there, finds what is broken, and never stops in the middle."""

import io

import pytest
import torch
from rich.console import Console

from qgssl_fast import backend
from qgssl_fast.cli import doctor
from qgssl_fast.cli.main import main


def report():
    console = Console(file=io.StringIO(), width=200)
    code = doctor.doctor(console)
    return code, console.file.getvalue()


def test_this_machine():
    code, text = report()
    assert code == 0
    for words in (
        "reference",
        "erode",
        "corrupt",
        "machine",
        "SwinUNETR",
        "resnet18",
        torch.__version__,
        "all works on cpu",
    ):
        assert words in text
    assert text.count(" yes ") >= 1 + len(doctor.CHECKS)


def test_command(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", {"one": lambda device: f"[fine] on {device}"})
    assert main(["doctor"]) == 0
    assert "[fine] on cpu" in capsys.readouterr().out


def test_a_broken_operation_gives_1(monkeypatch):
    from qgssl_fast.ops import morph

    if why_not := backend.refusal("native", torch.device("cpu")):
        pytest.skip(why_not)
    right = morph.erode

    def wrong(masks, radius, *, backend="auto"):
        found = right(masks, radius, backend=backend)
        return found if backend == "reference" else 1 - found

    wrong.__name__ = "erode"
    monkeypatch.setattr(morph, "erode", wrong)
    code, text = report()
    assert code == 1
    assert "native erode differs in 50700 of 50700 pixels" in text
    assert "broken on cpu" in text


def test_what_fails_is_told_and_the_rest_goes_on(monkeypatch):
    def fails(device):
        raise RuntimeError("no [bold] memory")

    monkeypatch.setattr(doctor, "CHECKS", {"first": fails, "second": lambda device: "went on"})
    code, text = report()
    assert code == 1
    assert "RuntimeError: no [bold] memory" in text
    assert "went on" in text


def test_without_the_native_module(monkeypatch):
    monkeypatch.setattr(
        backend, "refusal", lambda name, device: None if name == "reference" else f"{name} is not built"
    )
    backend.reset()
    try:
        with pytest.warns(RuntimeWarning, match="slow reference"):
            code, text = report()
    finally:
        backend.reset()
    assert code == 0
    assert "only the reference is here" in text
    assert "native is not built" in text
