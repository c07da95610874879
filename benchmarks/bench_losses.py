"""Losses and their gradients on one thread, beside torch eager as the published code has it, torch.compile and MONAI.

pytest benchmarks/bench_losses.py --benchmark-timer=time.process_time --benchmark-json=losses.json
python benchmarks/losses_table.py losses.json --out benchmarks/results/losses-cpu.json --docs docs/losses.md
The time is the processor's, which other work on the machine does not stretch.
Each run makes a loss and its gradient by the logits; both are compared with a float64 reference before any time is
taken (MONAI's losses are other means of the same quantities and are compared in their sign alone). `peak_bytes` in the
extra info is the most that a run holds at once beyond its inputs, the gradient included.
"""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable

import pytest
import torch

from qgssl_fast.bench.losses import CONTENDERS, SHAPES, work


def peak_bytes(run: Callable[[], object]) -> int:
    with torch.profiler.profile(profile_memory=True) as profile:
        run()
    held = most = 0
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("case", SHAPES)
@pytest.mark.benchmark(group="losses")
def test_loss(benchmark, case, contender):
    one = work(contender, case)
    run = one.run
    one.check(run())
    run()
    began = clock.perf_counter()
    run()
    rounds = max(int(1.2 / (clock.perf_counter() - began)), 5)  # as long for each contender
    benchmark.pedantic(run, warmup_rounds=3, rounds=rounds)
    if benchmark.stats is not None:
        benchmark.extra_info["milliseconds"] = benchmark.stats.stats.min * 1e3
    benchmark.extra_info["peak_bytes"] = peak_bytes(run)
    benchmark.extra_info["gradient_bytes"] = math.prod(SHAPES[case][1]) * 4
