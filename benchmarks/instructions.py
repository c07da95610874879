"""Counts the instructions of our kernels with valgrind's callgrind: the same number in every run, unlike time.

python benchmarks/instructions.py --out qgssl_fast/bench/instructions.toml

valgrind knows no AVX-512, so the AVX2 kernels are counted, on one thread, for what `qgssl-fast bench` times under
QGSSL_ISA=avx2. Some two minutes; needs valgrind.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import machine

from qgssl_fast.files import write_text

CASES = ("erode", "erode_3d", "dice", "elastic", "affine", "mix_paper", "row_jagged_5", "row_smooth_11",
         "row_polygon_5", "row_largest_only", "row_holes_and_islands", "bce_dice", "mse", "ce_dice_4",
         "augment_2d")  # fmt: skip
TASKS = {"morph": "Morph", "affine": "Affine", "corrupt": "Corrupt", "elastic": "Elastic", "losses": "Loss",
         "overlap": "Overlap", "augment": "Augment"}  # fmt: skip
MARK = "qg_avx2::soft_dice(qg::SoftDiceTask const&)"
"""A kernel that no case uses: a call of it ends what has been counted so far."""


def count() -> None:
    """In valgrind: each case once, between two marks; prints how many things it does."""
    import torch

    from qgssl_fast.bench import suite
    from qgssl_fast.ops.losses import soft_dice

    torch.set_num_threads(1)
    probabilities = torch.zeros(1, 1, 4, 4)
    for name in CASES:
        (case,) = suite.select([name])
        work = next(one for one in case.contenders if one.kind == "ours").make()
        soft_dice(probabilities, probabilities)
        work.run()
        soft_dice(probabilities, probabilities)
        print("counted", name, work.count, flush=True)


def counted(folder: Path) -> dict[str, float]:
    """By case: instructions for one thing."""
    toggles = [f"--toggle-collect=qg_avx2::{name}(qg::{task}Task const&)" for name, task in TASKS.items()]
    command = ["valgrind", "--tool=callgrind", "--collect-atstart=no", *toggles, f"--dump-after={MARK}"]
    command += [f"--callgrind-out-file={folder / 'out'}", sys.executable, __file__, "--count"]
    done = subprocess.run(command, env={**os.environ, "QGSSL_ISA": "avx2"}, capture_output=True, text=True)
    found = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("counted ")]
    if done.returncode or len(found) != len(CASES):
        raise SystemExit(f"instructions: valgrind ended with {done.returncode}\n{done.stderr[-2000:]}")
    totals = {}
    for k, (name, things) in enumerate(found):
        text = (folder / f"out.{2 * k + 2}").read_text(encoding="utf-8")
        totals[name] = int(re.search(r"^totals: (\d+)", text, re.MULTILINE)[1]) / int(things)  # type: ignore[index]
    return totals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, help="TOML file to write")
    parser.add_argument("--count", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.count:
        count()
        return
    if shutil.which("valgrind") is None:
        raise SystemExit("instructions: valgrind is not installed")
    with tempfile.TemporaryDirectory() as folder:
        totals = counted(Path(folder))
    about = machine.describe()
    lines = ["# Instructions of our kernels for one mask, pair or sample on one thread, counted by callgrind:",
             "# python benchmarks/instructions.py --out qgssl_fast/bench/instructions.toml",
             f"# commit {about['commit']}, torch {about['torch']}", "", "[avx2]"]  # fmt: skip
    lines += [f"{name} = {total:.0f}" for name, total in totals.items()]
    print("\n".join(lines))
    if chosen.out:
        write_text(chosen.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
