"""A training step as a whole: against its networks alone, against the usual way of writing it, and its corruption.

pytest benchmarks/bench_step.py
python benchmarks/bench_step.py --out benchmarks/results/step-cpu.json --docs docs/training.md

What is compared with what, and how it is timed: qgssl_fast/bench/steps.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from machine import describe

from qgssl_fast.bench.steps import CASES, PHASES, Setting, measure, whole_step  # noqa: F401
from qgssl_fast.files import write_text
from qgssl_fast.training.engine import Engine


def test_case(timed, case, contender):
    timed(case, contender.make())


@pytest.mark.parametrize("preset", ["phantoms", "cpu"])
@pytest.mark.benchmark(group="a step of the quality predictor")
def test_share_of_corruption(benchmark, preset, tmp_path):
    torch.set_num_threads(2)
    setting = Setting(preset, tmp_path)
    engine, stage, spent = Engine(setting.config), setting.stage("quality"), []
    engine.prepare(stage)
    corruptor = stage.corruptor

    def timed(*arguments, **options):
        began = time.perf_counter()
        out = corruptor(*arguments, **options)
        spent.append(time.perf_counter() - began)
        return out

    stage.corruptor = timed
    benchmark.pedantic(whole_step(stage, engine), rounds=60, warmup_rounds=5)
    if benchmark.stats is not None:
        benchmark.extra_info["corruption_share"] = statistics.median(spent[5:]) / benchmark.stats.stats.median
        benchmark.extra_info["batch"] = setting.config.quality.batch


def table(found: dict[str, dict[str, Any]]) -> str:
    """Markdown."""
    head = ["preset", "step", "whole step", "networks alone", "overhead", "usual way", "ratio"]
    lines = [" | ".join(head), " | ".join(["---"] * len(head))]
    for name, row in found.items():
        preset, phase = name.split(": ")
        usual = f"{1e3 / row['usual_ms']:.2f} steps/s" if "usual_ms" in row else "–"
        ratio = f"{row['times_usual']:.1f}" if "usual_ms" in row else "–"
        whole = f"{row['whole_ms']:.1f} ms, {1e3 / row['whole_ms']:.2f} steps/s"
        cells = (preset, phase, whole, f"{row['networks_ms']:.1f} ms", f"{row['overhead']:.1%}", usual, ratio)
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--presets", nargs="+", default=["phantoms", "cpu"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, help="file of results to write; rows of other presets in it stay")
    parser.add_argument("--docs", type=Path, help="page whose table to renew")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    rows = json.loads(chosen.out.read_text(encoding="utf-8"))["steps"] if chosen.out and chosen.out.exists() else {}
    for preset in chosen.presets:
        with tempfile.TemporaryDirectory() as folder:
            setting = Setting(preset, Path(folder), chosen.device)
            for phase, name in PHASES.items():
                rows[f"{preset}: {name}"] = measure(setting, phase, chosen.rounds, usual=True)
                print(table(rows).splitlines()[-1], flush=True)
    machine = describe() | {"threads": chosen.threads, "device": chosen.device}
    if chosen.out:
        command = "python benchmarks/bench_step.py"
        write_text(chosen.out, json.dumps({"machine": machine, "command": command, "steps": rows}, indent=1) + "\n")
    if chosen.docs:
        page = chosen.docs.read_text(encoding="utf-8")
        head, rest = page.split("<!-- begin steps -->\n")
        told = (
            f"{machine['processor']}, {chosen.threads} thread(s), torch {machine['torch']}, commit {machine['commit']}"
        )
        rest = rest.split("<!-- end steps -->")[1]
        write_text(chosen.docs, f"{head}<!-- begin steps -->\n{told}.\n\n{table(rows)}\n<!-- end steps -->{rest}")


if __name__ == "__main__":
    main()
