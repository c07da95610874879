"""The Triton kernels without a GPU: interpreted against the reference, and compiled ahead of time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run(script: str, **environment: str) -> str:
    # The interpreter and the compiler cannot share a process, and the choice is made when triton is imported.
    pytest.importorskip("triton", reason="triton is not installed")
    env = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    command = [sys.executable, str(HERE / script)]
    done = subprocess.run(command, env={**env, **environment}, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_interpreted_kernels_give_the_bytes_of_the_reference():
    assert "ok" in run("triton_interpreted.py", TRITON_INTERPRET="1")


def test_interpreted_losses_are_near_the_reference():
    assert "ok" in run("triton_losses.py", TRITON_INTERPRET="1")


def test_interpreted_augmentation_gives_the_references_values():
    assert "ok" in run("triton_augment.py", TRITON_INTERPRET="1")


def test_kernels_compile_for_gpus_without_spills(tmp_path):
    out = run("triton_compiled.py", TRITON_CACHE_DIR=str(tmp_path))
    assert out.count("window_kernel") == 9
    assert out.count("overlap_kernel") == 6
    assert out.count("loss_kernel") == 3 * (26 + 8)
    assert out.count("dice_kernel") == 12
    assert out.count("affine_kernel") == 9
    assert out.count("nodes_kernel") == 6
    assert out.count("elastic_kernel") == 9
    assert out.count("move_kernel") == 15
    assert out.count("look_kernel") == 9
