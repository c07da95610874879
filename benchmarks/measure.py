"""Measures everything that docs/ tells of speed anew and makes its pages, part by part; goes on where it was cut.

python benchmarks/measure.py [--parts masks losses ...] [--again] [--work build/measured]

Parts that were measured at this commit are skipped, unless --again. Each takes under four minutes, on one core (scaling
on two; instructions only where valgrind is). Results lie in --work until all of them are there; then they go to
benchmarks/results together and the pages are made (performance.py). Nothing else should run beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import machine
import performance

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BENCH = [sys.executable, "-m", "qgssl_fast", "bench"]
FAMILIES = ["morph", "overlap", "warp", "corrupt", "edge", "spots", "shape", "parts", "fill"]


def commands(part: str, work: Path) -> list[list[str]]:
    """What measures a part into `work`."""
    python, out = sys.executable, os.path.relpath(work / part, ROOT)
    return {
        "masks": [[*BENCH, "--only", *FAMILIES, "--out", out]],
        "losses": [[*BENCH, "--only", "losses", "--out", out]],
        "data": [[*BENCH, "--only", "augment", "store", "--out", out]],
        "scaling": [[*BENCH, "--only", "mix_paper", "mix_default", "--threads", "2", "--scaling", "--out", out]],
        "steps": [[python, "benchmarks/bench_step.py", "--presets", "cpu", "--rounds", "15",
                   "--out", os.path.relpath(work / "step-cpu.json", ROOT)]],
        "losses-table": [
            [python, "-m", "pytest", "-q", "benchmarks/bench_losses.py", "--benchmark-only",
             "--benchmark-timer=time.process_time", f"--benchmark-json={out}.json"],
            [python, "benchmarks/losses_table.py", f"{out}.json", "--out", str(work / "losses-cpu.json")],
        ],
        "gate": [[python, "benchmarks/gate.py", "--write", str(work / "gate.json")]],
        "instructions": [[python, "benchmarks/instructions.py", "--out", str(work / "instructions.toml")]],
    }[part]  # fmt: skip


PARTS = (*performance.PARTS, "gate", *(["instructions"] if shutil.which("valgrind") else []))
NAMES = {**performance.FILES, "gate": "gate.json", "instructions": "instructions.toml"}


def file_of(part: str, work: Path) -> Path:
    """Where a part's result lies."""
    return work / NAMES.get(part, f"{part}/bench.json")


def done(path: Path, commit: str) -> bool:
    if not path.is_file():
        return False
    if path.suffix == ".toml":
        return f"# commit {commit}," in path.read_text(encoding="utf-8")
    found = str(json.loads(path.read_text(encoding="utf-8"))["machine"]["commit"])
    return found.startswith(commit.rstrip("+")) and found.endswith("+") == commit.endswith("+")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--again", action="store_true", help="also what was measured at this commit")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "measured")
    chosen = parser.parse_args()
    chosen.work = chosen.work.resolve()
    chosen.work.mkdir(parents=True, exist_ok=True)
    commit = machine.commit()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    for part in chosen.parts:
        result = file_of(part, chosen.work)
        if done(result, commit) and not chosen.again:
            print(f"{part}: there", flush=True)
            continue
        began = time.perf_counter()
        for command in commands(part, chosen.work):
            code = subprocess.run(command, cwd=ROOT, env=environment).returncode
            if code:
                print(f"measure: {part}: {' '.join(command)} ended with {code}", file=sys.stderr)
                return code
        print(f"{part}: {time.perf_counter() - began:.0f} s", flush=True)
    lacking = [part for part in PARTS if not done(file_of(part, chosen.work), commit)]
    if lacking:
        print(f"not yet measured at {commit}: {', '.join(lacking)}; results and pages stay as they are")
        return 0
    for part in PARTS:
        folder = ROOT / "qgssl_fast" / "bench" if part == "instructions" else RESULTS
        shutil.copyfile(file_of(part, chosen.work), folder / NAMES.get(part, f"bench-{part}.json"))
    return subprocess.run([sys.executable, "benchmarks/performance.py"], cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
