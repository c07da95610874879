"""Key ratios beside the committed ones: fails where one has fallen by more than a quarter.

python benchmarks/gate.py [--write benchmarks/results/gate.json]

Each ratio is how many times faster an operation is than a yardstick on the same core, in turns with it, one thread: a
copy for what moves bytes, torch's max pooling for what computes, torch eager, SciPy or MONAI for the same work. Times
are the processor's, which other work on the machine does not stretch, and the fastest fifth of rounds counts, of both.
What falls short is measured again, thrice at most, and the best counts. Committed ratios are per instruction set (one
processor can run them all); gate.json says on which processor. On another one ratios are others too, and only a fall by
more than half fails. A ratio that cannot be had is skipped by name, with the reason.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from qgssl_fast.bench import report, suite
from qgssl_fast.bench.case import Missing, Work, Wrong
from qgssl_fast.bench.measure import in_turns, keep_memory
from qgssl_fast.errors import InputError
from qgssl_fast.files import write_text
from qgssl_fast.kernels import native

COMMITTED = Path(__file__).resolve().parent / "results" / "gate.json"
FALL, FALL_ELSEWHERE, ATTEMPTS = 0.25, 0.5, 3
POOL = ("erode", "max_pool")
# Ours of a case, and the case and contender that it is compared with.
RATIOS = [
    ("erode", "erode", "copy"), ("erode", *POOL), ("erode_3d", "erode_3d", "scipy"), ("dice", "dice", "torch"),
    ("elastic", *POOL), ("elastic_3d", *POOL), ("affine", *POOL), ("mix_paper", *POOL), ("mix_default", *POOL),
    ("mix_3d", *POOL), ("row_polygon_5", *POOL), ("row_largest_only", "row_largest_only", "scipy"),
    ("bce_dice", "bce_dice", "eager"), ("mse", "mse", "eager"), ("ce_dice_4", "ce_dice_4", "eager"),
    ("augment_2d", "augment_2d", "monai"),
]  # fmt: skip


def name_of(ours: str, case: str, contender: str) -> str:
    return f"{ours} over {contender}" if ours == case else f"{ours} over {case}'s {contender}"


def prepare(ours: str, case: str, contender: str) -> tuple[Work, Work]:
    """Both, checked: Missing or Wrong where one cannot be measured."""
    found = []
    for name, of in ((ours, None), (case, contender)):
        (chosen,) = suite.select([name])
        kind = next(one for one in chosen.contenders if one.kind == "ours") if of is None else chosen.contender(of)
        work = kind.make()
        work.check(work.run())
        found.append(work)
    return found[0], found[1]


def measured(works: tuple[Work, Work], seconds: float) -> float:
    """The other's time for a thing over ours, each that of its fastest fifth of rounds."""
    times = in_turns({"ours": works[0].run, "other": works[1].run}, seconds, 7, time.process_time)
    ours, other = (sorted(times[name])[len(times[name]) // 5] for name in ("ours", "other"))
    return (other / works[1].count) / (ours / works[0].count)


def gate(committed: dict[str, Any], found: dict[str, Any], seconds: float = 0.15) -> int:
    """Prints a line for each ratio; 1 where one fell or a result is wrong, else 0."""
    same = found["processor"] == committed["machine"]["processor"]
    fall = FALL if same else FALL_ELSEWHERE
    if not same:
        print(f"committed on {committed['machine']['processor']}, this is {found['processor']}: a fall of half fails")
    known = committed["ratios"].get(found["isa"], {})
    failed = []
    for ratio in RATIOS:
        name = name_of(*ratio)
        if name not in known:
            print(f"{name}: skipped, none is committed for instruction set {found['isa']}")
            continue
        try:
            works = prepare(*ratio)
        except Missing as missing:
            print(f"{name}: skipped, {missing}")
            continue
        except Wrong as wrong:
            failed.append(name)
            print(f"{name}: FAILED, wrong: {wrong}")
            continue
        least, tries = known[name] * (1 - fall), []
        while len(tries) < ATTEMPTS and (not tries or max(tries) < least):
            tries.append(measured(works, seconds))
        good = max(tries) >= least
        if not good:
            failed.append(name)
        told = f"{', '.join(f'{value:.3g}' for value in tries)}; committed {known[name]:.3g}, wanted {least:.3g}"
        print(f"{name}: {'' if good else 'FAILED, '}{told}", flush=True)
    print(f"{len(failed)} of {len(RATIOS)} ratios failed" + (f": {'; '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def measure_all(seconds: float = 0.3) -> dict[str, dict[str, float]]:
    """For each instruction set of this processor the median of three measurements; a wrong result ends it."""
    ratios: dict[str, dict[str, float]] = {}
    for isa in native.cpu().isas():
        with native.using_isa(isa):
            ratios[isa] = {}
            for ratio in RATIOS:
                try:
                    works = prepare(*ratio)
                except Missing as missing:
                    raise SystemExit(f"gate: {name_of(*ratio)}: {missing}") from None
                value = statistics.median(measured(works, seconds) for _ in range(ATTEMPTS))
                ratios[isa][name_of(*ratio)] = round(value, 3)
                print(f"{isa}: {name_of(*ratio)}: {value:.3g}", flush=True)
    return ratios


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", type=Path, help="measure every instruction set and write this file instead")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    try:
        native.cpu()
    except InputError as error:
        print(f"all ratios: skipped, {error}")
        return 0
    found = report.machine()
    if chosen.write is None:
        return gate(json.loads(COMMITTED.read_text(encoding="utf-8")), found)
    command = "python benchmarks/gate.py --write benchmarks/results/gate.json"
    text = json.dumps({"machine": found, "command": command, "ratios": measure_all()}, indent=1) + "\n"
    write_text(chosen.write, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
