"""The built C++ module: its instruction sets, chance, argument checks, and life after a fork."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from qgssl_fast.kernels.native import morph as native_morph
from qgssl_fast.ops import morph

_C = pytest.importorskip("qgssl_fast._C", reason="the C++ module is not built")


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )


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


def test_numbers_of_steps_agree():
    assert (native_morph._ERODE, native_morph._DILATE) == (_C.ERODE, _C.DILATE)
    assert (_C.MAX_STEPS, _C.STEP_WORDS) == (6, 8)


def test_best_instruction_set_is_chosen():
    done = run("from qgssl_fast import _C; print(_C.isa(), _C.isas()[-1])", QGSSL_ISA="")
    best, last = done.stdout.split()
    assert best == last


@pytest.mark.parametrize("isa", _C.isas())
def test_environment_fixes_the_instruction_set(isa):
    code = "from qgssl_fast.kernels import native; print(native.describe('native'))"
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
            ((0, data, 16, 0, 1, 2, 1, 4, 4, 1), "in must not be null"),
            ((data, 0, 16, 0, 1, 2, 1, 4, 4, 1), "out must not be null"),
            ((data, data, 16, 0, -1, 2, 1, 4, 4, 1), "step 0 of the program cannot be run"),
            ((data, data, 16, 99, 1, 2, 1, 4, 4, 1), "step 1 of the program cannot be run"),
            ((data, data, 16, 0, 1, 2, 0, 4, 4, 1), "sides of a mask must be >= 1"),
            ((data, data, 16, 0, 1, 1, 2**20, 2**20, 64, 1), "fewer than 2\\^31 words"),
        ]:
            with pytest.raises(ValueError, match=text):
                _C.morph(*arguments)

    def test_programs_and_counts(self):
        masks = (torch.rand(3, 1, 30, 70, generator=torch.Generator().manual_seed(0)) < 0.7).to(torch.uint8)
        programs = torch.zeros(3, 6, 8, dtype=torch.int32)
        programs[1, 0, :2] = torch.tensor([16, 1])
        programs[2, :2, :2] = torch.tensor([[17, 2], [16, 2]])
        out, counts = torch.empty_like(masks), torch.empty(3, 3, dtype=torch.int32)
        pointers = (masks.data_ptr(), out.data_ptr(), counts.data_ptr(), programs.data_ptr())
        _C.corrupt(*pointers, 3, 3, 1, 30, 70, 2)
        flat = masks[:, 0]
        want = torch.cat([flat[:1], morph.erode(flat[1:2], 1), morph.closing(flat[2:], 2)])
        assert torch.equal(out[:, 0], want)
        both, areas = (want & flat).sum((1, 2)), (want.sum((1, 2)), flat.sum((1, 2)))
        assert torch.equal(counts, torch.stack([both, *areas], 1).to(torch.int32))
        programs[2, 2, 0] = 5
        with pytest.raises(ValueError, match="step 2 of the program cannot be run"):
            _C.corrupt(*pointers, 3, 3, 1, 30, 70, 2)
        with pytest.raises(ValueError, match="one or one a mask"):
            _C.corrupt(*pointers, 2, 3, 1, 30, 70, 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_does_not_hang():
    code = """
import os, signal, sys, torch
from qgssl_fast.ops import morph
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
