"""What the compilers make of the sources: no symbol shared between instruction sets, no spills on a GPU."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from qgssl_fast.recipes import load_recipe

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
        common = ["-std=c++17", "-O1", "-fPIC", "-fopenmp", "-ffp-contract=off", "-fno-exceptions"]
        source = [f"-DQG_NAMESPACE=qg_{name}", "-c", str(csrc / "cpu" / f"{stem}.cpp"), "-o", str(target)]
        subprocess.run([compiler, *common, *flags, *source], check=True)
        symbols = subprocess.run([nm, "-C", str(target)], capture_output=True, text=True, check=True).stdout
        kinds = re.findall(r"^[0-9a-f]* +(\w) (.*)$", symbols, re.MULTILINE)
        # What bears the set's own namespace meets no other set's.
        assert not [symbol for symbol in kinds if symbol[0] in "VvWwu" and not symbol[1].startswith(f"qg_{name}::")]
        assert [text.split("(")[0] for kind, text in kinds if kind == "T"] == [f"qg_{name}::{stem}"]


# Registers a thread at most: so many threads of it fit on a processor, which has 65,536.
REGISTERS = {"affine": 128, "corrupt": 128, "elastic": 128, "morph": 64, "overlap": 64}


@pytest.mark.parametrize("stem", REGISTERS)
def test_cuda_kernels_compile_without_spills(csrc, tmp_path, stem):
    nvcc = os.environ.get("CUDACXX") or shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    if shutil.which(nvcc) is None or subprocess.run([nvcc, "--version"], capture_output=True).returncode:
        pytest.skip("no working nvcc")
    codes = [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in (80, 90)]
    command = [nvcc, "-std=c++17", "-DQG_NAMESPACE=qg_cuda", "--expt-relaxed-constexpr", "-Xptxas=-v", *codes, "-c"]
    source = [str(csrc / "cuda" / f"{stem}.cu"), "-o", str(Path(tmp_path) / "out.o")]
    done = subprocess.run([*command, *source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    assert len(spills) >= 2
    assert set(spills) == {("0", "0")}, done.stderr
    used = re.findall(r"Used (\d+) registers.*?(\d+) bytes smem", done.stderr)
    assert len(used) == 2  # one kernel for two architectures
    for registers, shared in used:
        assert int(registers) <= REGISTERS[stem]
        assert int(shared) <= STATIC
    version = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
    if "release 13.0" in version:  # the page's
        stack = max(map(int, re.findall(r"(\d+) bytes stack frame", done.stderr)))
        row = page_of(csrc)[f"qg_{stem}"]
        assert row["registers"] == f"{used[0][0]} / {used[1][0]}"
        assert row["shared"].split("+")[-1].split()[0] == used[0][1]
        assert row["stack"] == str(stack)


STATIC = 512  # csrc/cuda/plan.h: kStatic


MACHINES = {"A100": (108, 163 << 10, 164 << 10), "H100": (132, 227 << 10, 228 << 10)}  # as _cuda.machine gives them


def page_of(csrc: Path) -> dict[str, dict[str, str]]:
    """The compiler's report as docs/gpu.md has it, by kernel."""
    names = ("kernel", "threads", "registers", "shared", "stack", "blocks")
    text = (csrc.parent / "docs" / "gpu.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `qg_")]
    return {row[0].split("`")[1]: dict(zip(names, row)) for row in rows}


def plans(batch: int, machine: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
    """Blocks, threads, bytes of shared memory and words of scratch of each kernel for images of 224x224."""
    module = pytest.importorskip("qgssl_fast._C", reason="the C++ module is not built")
    size, tables = (batch, 1, 224, 224), load_recipe("default").tables
    there = (1, 1, 0, 50176, 0, 0, 0, 1, 1, 1)  # what lies behind pointers is not looked at
    recipe = ((2, 2, 4096, 4096), *tables.address, 1, (0, 1, 1, 0), (1,) * 8)
    found = (
        module.plan_corrupt(there, size, *recipe, machine),
        module.plan_affine(1, 1, 1, False, size, 2, machine),
        module.plan_elastic(1, 1, (int(3.385 * 2**16), 5 << 16), 0, 1, size, (2, 2, 4096, 4096), machine),
        module.plan_morph(1, 1, 0, 3, size, machine),
        module.plan_overlap(1, 1, 1, 2, batch, 50176, machine),
    )
    return {plan[0]: plan[1:5] for plan in found}


def test_the_page_has_the_launches_of_the_plan(csrc):
    page = page_of(csrc)
    assert {name.removeprefix("qg_") for name in page} == set(REGISTERS)
    for k, (machine, sizes) in enumerate(MACHINES.items()):
        for kernel, (_, threads, shared, _) in plans(10**6, sizes).items():
            row = page[kernel]
            each = dict(re.findall(r"(\w+): (\d+)", row["threads"])) or {machine: row["threads"]}
            dynamic, _, static = row["shared"].removesuffix(" bytes").rpartition("+")
            assert int(each[machine]) == threads
            assert int(dynamic.strip().replace(",", "") or 0) == shared
            # Registers are given to warps by 256, of shared memory every block takes 1 KB more.
            registers = -(-int(row["registers"].split(" / ")[k]) * 32 // 256) * 256 * threads // 32
            fit = min(65536 // registers, sizes[2] // (shared + int(static) + 1024), 2048 // threads, 32)
            assert int(row["blocks"].split(" (")[0].split(" / ")[k]) == fit, (kernel, machine)


@pytest.mark.parametrize("name", MACHINES)
def test_eight_blocks_of_an_image_are_resident(name):
    machine = MACHINES[name]
    blocks, threads, shared, words = plans(10**6, machine)["qg_corrupt"]
    assert blocks == 8 * machine[0]
    assert 8 * threads * REGISTERS["corrupt"] <= 65536
    assert 8 * (shared + 1024 + STATIC) <= machine[2]  # the driver takes 1 KB of each block
    assert shared == (3 * 4 * 7 * 225 + 7) // 8 * 8  # mask and two spares
    assert words * 4 < 8 * machine[0] * 500_000
