"""The built C++ module: its instruction sets, chance, argument checks, and life after a fork."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from qgssl_fast.kernels import native
from qgssl_fast.recipes import load_recipe
from qgssl_fast.recipes.softness import Softness

_C = pytest.importorskip("qgssl_fast._C", reason="the C++ module is not built")


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # Not where the tests are started from: a checkout's own folder would hide what is installed.
    place = {"cwd": os.sep, "env": {**os.environ, **environment}}
    return subprocess.run([sys.executable, "-c", code], **place, capture_output=True, text=True, timeout=120)


# Known answers of Random123 1.14 (kat_vectors).
@pytest.mark.parametrize(
    ("counter", "seed", "words"),
    [
        ((0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1, 2**32 - 1, 2**64 - 1), 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x0370734413198A2E),
            0x299F31D0A4093822,
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter, seed, words):
    assert _C.philox(*counter, seed) == words


def test_best_instruction_set_is_chosen():
    done = run("from qgssl_fast import _C; print(_C.isa(), _C.isas()[-1])", QGSSL_ISA="")
    best, last = done.stdout.split()
    assert best == last


@pytest.mark.parametrize("isa", _C.isas())
def test_environment_fixes_the_instruction_set(isa):
    code = "from qgssl_fast.kernels import native; print(native.describe())"
    assert run(code, QGSSL_ISA=isa).stdout.startswith(f"ISA {isa} of")


def test_unknown_instruction_set_is_told():
    code = "import torch; from qgssl_fast.ops import morph; morph.erode(torch.ones(1, 2, 2, dtype=torch.uint8), 1)"
    done = run(code, QGSSL_ISA="sse9")
    assert done.returncode == 1
    assert "InputError: QGSSL_ISA: instruction set must be one of baseline" in done.stderr
    assert "got 'sse9'" in done.stderr


class TestRawCalls:
    masks = torch.ones(2, 4, 4, dtype=torch.uint8)

    def test_morph(self):
        data = self.masks.data_ptr()
        for arguments, text in [
            ((0, data, 0, 1, (2, 1, 4, 4), 1), "in must not be null"),
            ((data, 0, 0, 1, (2, 1, 4, 4), 1), "out must not be null"),
            ((data, data, 0, -1, (2, 1, 4, 4), 1), "radius must be >= 0, got -1"),
            ((data, data, 4, 1, (2, 1, 4, 4), 1), "op must be 0..3, got 4"),
            ((data, data, 0, 1, (2, 0, 4, 4), 1), "sides of a mask must be >= 1"),
            ((data, data, 0, 1, (1, 2**20, 2**20, 64), 1), "fewer than 2\\^31 words"),
        ]:
            with pytest.raises(ValueError, match=text):
                _C.morph(*arguments)

    def corrupt(self, table, kind=0, frame=(2, 2, 4096, 4096)):
        out, counts, quality, rows, ids = (torch.zeros(64, dtype=torch.int64) for _ in range(5))
        told = (counts.data_ptr(), quality.data_ptr(), rows.data_ptr())
        masks = (self.masks.data_ptr(), out.data_ptr(), kind, 16, 0, 0, 0, *told)
        chance = (0, ids.data_ptr(), 0, 0)
        _C.corrupt(masks, (2, 1, 4, 4), frame, table.ctypes.data, len(table), chance, (0,) * 8, 1)

    def test_recipes_are_checked(self):
        flat = load_recipe("paper").without_bank().tables.flat
        self.corrupt(flat)
        rows, start, groups = int(flat[0]), int(flat[1]), 6
        for word, value, text in [
            (0, 10**6, "rows lie outside"),
            (1, -1, "rows lie outside"),
            (2, rows, "a bank row is not there"),
            (start, 5, "row 0 has no operation of that number"),
            (groups + 1, len(flat), "a choice lies outside"),
            (groups + 2, 0, "a category has no row to draw"),
            (groups + 4, 2, "a category has no row to draw"),
            (int(flat[groups + 1]), 7, "a choice has a value out of range"),
            (int(flat[groups + 3]), rows, "a choice has a value out of range"),
        ]:
            wrong = flat.copy()
            wrong[word] = value
            with pytest.raises(ValueError, match=text):
                self.corrupt(wrong)
        with pytest.raises(ValueError, match="too short"):
            self.corrupt(flat[:25])
        with pytest.raises(ValueError, match="the kind of out"):
            self.corrupt(flat, kind=4)
        for frame, text in [
            ((2, 1, 4096, 4096), "classes must be in 2..256"),
            ((4, 2, 4096, 4096), "axes must be 3, or 2"),
            ((3, 2, 1, 4096), "sides of a voxel must be 1/16 to 64 times"),
        ]:
            with pytest.raises(ValueError, match=text):
                self.corrupt(flat, frame=frame)
        with pytest.raises(ValueError, match="labels and probabilities need numbers"):
            self.corrupt(flat, kind=1, frame=(2, 3, 4096, 4096))
        soft = load_recipe("paper").without_bank().replace(softness=Softness(1.0, 2, 4)).tables.flat
        with pytest.raises(ValueError, match="labels and probabilities need numbers"):
            self.corrupt(soft, kind=1)
        for word, value in ((22, 0), (23, 32), (22, 5), (24, 1), (25, 1 << 20)):
            wrong = soft.copy()
            wrong[word] = value
            with pytest.raises(ValueError, match="softness must have radii"):
                self.corrupt(wrong)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_does_not_hang():
    code = """
import os, signal, sys, torch
from qgssl_fast.ops import morph
from qgssl_fast.kernels import native
from qgssl_fast.recipes import load_recipe
from qgssl_fast.recipes.softness import Softness
torch.set_num_threads(2)
masks = (torch.rand(64, 50, 50) < 0.5).to(torch.uint8)
want = morph.erode(masks, 1, backend="native").numpy()
child = os.fork()
if child == 0:
    signal.alarm(20)
    got = morph.erode(masks, 1, backend="native").numpy()  # torch itself would hang in a comparison
    os._exit(0 if (got == want).all() else 1)
sys.exit(os.waitpid(child, 0)[1])
"""
    done = run(code)
    assert done.returncode == 0, done.stderr


def flags_of(address: int) -> list[str]:
    """VmFlags of the mapping that holds `address`."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(bounds[1], 16) <= address < int(bounds[2], 16)
        elif inside and line.startswith("VmFlags:"):
            return line.split()[1:]
    return []


@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage/enabled").exists(), reason="no large pages here")
def test_new_large_tensors_ask_for_large_pages(monkeypatch):
    fresh = torch.empty(64 << 20, dtype=torch.uint8)
    assert native.in_large_pages(fresh) is fresh
    assert "hg" in flags_of(fresh.data_ptr() + fresh.nbytes // 2)
    monkeypatch.setattr(native, "cpu", None)  # not asked
    small = torch.empty(native.LARGE - 1, dtype=torch.uint8)
    assert native.in_large_pages(small) is small
