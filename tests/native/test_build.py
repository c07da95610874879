"""What the compilers make of the sources: no symbol shared between instruction sets, no spills on a GPU."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SETS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mbmi2", "-mpopcnt", "-mfma"],
    "avx512": [
        *("-mavx2", "-mbmi2", "-mpopcnt", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"),
        "-mprefer-vector-width=512",
    ],
}


def test_sets_are_those_of_the_build(csrc):
    text = (csrc.parent / "CMakeLists.txt").read_text()
    built = {name: flags.split() for name, flags in re.findall(r"^ *qgssl_isa\((\w+) ?([^)]*)\)", text, re.MULTILINE)}
    assert built == SETS


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the sets are x86's")
@pytest.mark.parametrize("stem", ["affine", "corrupt", "elastic", "losses", "morph", "overlap", "soft_dice"])
def test_no_symbol_is_shared_between_instruction_sets(compiler, csrc, tmp_path, stem):
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("nm is not installed")
    for name, flags in SETS.items():
        target = tmp_path / f"{name}.o"
        common = ["-std=c++17", "-O3", "-fPIC", "-fopenmp", "-ffp-contract=off", "-fno-exceptions"]
        source = [f"-DQG_NAMESPACE=qg_{name}", "-c", str(csrc / "cpu" / f"{stem}.cpp"), "-o", str(target)]
        subprocess.run([compiler, *common, *flags, *source], check=True)
        symbols = subprocess.run([nm, "-C", str(target)], capture_output=True, text=True, check=True).stdout
        kinds = re.findall(r"^[0-9a-f]* +(\w) (.*)$", symbols, re.MULTILINE)
        # What bears the set's own namespace meets no other set's.
        assert not [symbol for symbol in kinds if symbol[0] in "VvWwu" and not symbol[1].startswith(f"qg_{name}::")]
        assert [text.split("(")[0] for kind, text in kinds if kind == "T"] == [f"qg_{name}::{stem}"]


@pytest.mark.parametrize("stem", ["corrupt", "morph", "overlap"])
def test_cuda_kernels_compile_and_the_small_ones_do_not_spill(csrc, tmp_path, stem):
    nvcc = os.environ.get("CUDACXX") or shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    if shutil.which(nvcc) is None or subprocess.run([nvcc, "--version"], capture_output=True).returncode:
        pytest.skip("no working nvcc")
    codes = [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in (80, 90)]
    command = [nvcc, "-std=c++17", "-DQG_NAMESPACE=qg_cuda", "--expt-relaxed-constexpr", "-Xptxas=-v", *codes, "-c"]
    source = [str(csrc / "cuda" / f"{stem}.cu"), "-o", str(Path(tmp_path) / "out.o")]
    done = subprocess.run([*command, *source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if stem == "corrupt":
        return  # outlines and hulls of one worker keep arrays on its stack
    spills = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    assert spills == [("0", "0", "0")] * 4, done.stderr  # two kernels for two architectures
