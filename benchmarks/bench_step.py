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
from pathlib import Path
from typing import Any

import pytest
import torch
from machine import describe
from pages import markdown, replaced, told

from qgssl_fast.bench.steps import CASES, PHASES, Setting, measure, timing_corruption, whole_step  # noqa: F401
from qgssl_fast.files import write_text
from qgssl_fast.training.engine import Engine


def test_case(timed, case, contender):
    timed(case, contender.make())


@pytest.mark.parametrize("preset", ["phantoms", "cpu"])
@pytest.mark.benchmark(group="a step of the quality predictor")
def test_share_of_corruption(benchmark, preset, tmp_path):
    torch.set_num_threads(2)
    setting = Setting(preset, tmp_path)
    engine, stage = Engine(setting.config), setting.stage("quality")
    engine.prepare(stage)
    spent = timing_corruption(stage)
    benchmark.pedantic(whole_step(stage, engine), rounds=60, warmup_rounds=5)
    if benchmark.stats is not None:
        benchmark.extra_info["corruption_share"] = statistics.median(spent[5:]) / benchmark.stats.stats.median
        benchmark.extra_info["batch"] = setting.config.quality.batch


def table(found: dict[str, dict[str, Any]]) -> str:
    """Markdown."""
    head = ("preset", "step", "whole step", "networks alone", "overhead", "published way", "ratio")
    lines = []
    for name, row in found.items():
        preset, phase = name.split(": ")
        usual = f"{1e3 / row['usual_ms']:.2f} steps/s" if "usual_ms" in row else "–"
        ratio = f"{row['times_usual']:.1f}" if "usual_ms" in row else "–"
        whole = f"{row['whole_ms']:.1f} ms, {1e3 / row['whole_ms']:.2f} steps/s"
        lines.append((preset, phase, whole, f"{row['networks_ms']:.1f} ms", f"{row['overhead']:.1%}", usual, ratio))
    return markdown(head, lines)


def block(results: dict[str, Any]) -> str:
    """The measured part of docs/training.md."""
    return f"{told(results['machine'], results['command'])}\n\n{table(results['steps'])}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--presets", nargs="+", default=["phantoms", "cpu"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, help="file of results to write")
    parser.add_argument("--docs", type=Path, help="page whose table to renew")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    rows = {}
    for preset in chosen.presets:
        with tempfile.TemporaryDirectory() as folder:
            setting = Setting(preset, Path(folder), chosen.device)
            for phase, name in PHASES.items():
                rows[f"{preset}: {name}"] = measure(setting, phase, chosen.rounds, usual=True)
                print(table(rows).splitlines()[-1], flush=True)
    machine = describe() | {"threads": chosen.threads, "device": chosen.device}
    command = f"python benchmarks/bench_step.py --presets {' '.join(chosen.presets)} --rounds {chosen.rounds}"
    results = {"machine": machine, "command": command, "steps": rows}
    if chosen.out:
        write_text(chosen.out, json.dumps(results, indent=1) + "\n")
    if chosen.docs:
        write_text(chosen.docs, replaced(chosen.docs, {"steps": block(results)}))


if __name__ == "__main__":
    main()
