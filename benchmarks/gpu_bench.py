"""Times the kernels on a GPU beside what people use and beside the machine's limits; writes JSON after each case.

python benchmarks/gpu_bench.py --out results.json [--seconds 400] [--only REGEX] [--device cpu --scale 0.001]
A case is checked, warmed up, then timed by device events: the median of seven samples of 20 ms or more each. What
cannot be had on the machine is told with its reason. Exit status 1 where a result was wrong.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bench_corrupt import lesions
from gpu_cases import cases, corrupting, many
from machine import describe

import qgssl_fast as qf
from qgssl_fast.files import write_text

SAMPLE, SAMPLES = 0.02, 7  # seconds, number


def seconds(run: Callable[[], Any], device: torch.device, sample: float = SAMPLE) -> list[float]:
    """Of one run each: SAMPLES figures, in order."""
    for _ in range(3):
        run()
    took = 0.0
    loops = 1
    while took < sample / 2:  # how many fill a sample
        took = _elapsed(run, loops, device)
        loops = max(loops * 2, 1) if took < sample / 2 else max(1, round(loops * sample / took))
    return sorted(_elapsed(run, loops, device) / loops for _ in range(SAMPLES))


def _elapsed(run: Callable[[], Any], loops: int, device: torch.device) -> float:
    if device.type != "cuda":
        began = time.perf_counter()
        for _ in range(loops):
            run()
        return time.perf_counter() - began
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(loops):
        run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3


def limits(device: torch.device, scale: float) -> dict[str, float]:
    """Bytes a second of a copy, counted both ways, and of floating-point operations of a bf16 matrix product."""
    source = torch.randint(0, 2, (max(int(2**30 * scale), 2**16),), dtype=torch.uint8, device=device)
    out = torch.empty_like(source)
    copy = statistics.median(seconds(lambda: out.copy_(source), device))
    side = 8192 if scale >= 1 else 256
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    product = statistics.median(seconds(lambda: a @ b, device))
    return {"copy_bytes_per_second": 2 * source.numel() / copy, "bf16_flops": 2 * side**3 / product}


def measure(case: Any, device: torch.device) -> dict[str, Any]:
    run, want = case.make()
    if want is not None:
        got = torch.as_tensor(run())[: len(want)].reshape(want.shape).to(torch.uint8).cpu()
        if not torch.equal(got, want[: len(got)]):
            return {"wrong": f"{int((got != want[: len(got)]).sum())} of {want.numel()} pixels"}
    found = seconds(run, device)
    middle = statistics.median(found)
    return {
        "seconds": middle,
        "least": found[0],
        "most": found[-1],
        "masks_per_second": case.count / middle,
        "bytes_per_second": 2 * case.count * case.bytes / middle,
    }


def share(device: torch.device, batch: int, scale: float) -> dict[str, Any]:
    """A training step of a ResNet-18 in bf16 on 4x224x224, and the corruption of its masks."""
    from monai.networks.nets import resnet18

    model = resnet18(spatial_dims=2, n_input_channels=4, num_classes=1).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), fused=device.type == "cuda")
    side = 224 if scale >= 1 else 32
    masks = many(lesions(side), batch).to(device)
    corrupt, _ = corrupting(masks, qf.load_recipe("paper"), torch.bfloat16)
    inputs = torch.randn(batch, 4, side, side, device=device).to(memory_format=torch.channels_last)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16):
            loss = model(inputs).float().square().mean()
        loss.backward()
        optimizer.step()

    alone, corruption = (statistics.median(seconds(run, device, 0.2 * scale)) for run in (step, corrupt))
    return {"batch": batch, "step_seconds": alone, "corruption_seconds": corruption, "share": corruption / alone}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--scale", type=float, default=1.0, help="of the batch sizes")
    parser.add_argument("--seconds", type=float, default=400.0, help="after which no case is begun")
    parser.add_argument("--only", default="", help="regular expression of GROUP: NAME")
    chosen = parser.parse_args()
    device, began = torch.device(chosen.device), time.monotonic()
    results: dict[str, Any] = {"machine": describe(), "limits": limits(device, chosen.scale), "cases": [], "share": []}

    def save() -> None:
        write_text(chosen.out, json.dumps(results, indent=1) + "\n")

    for case in cases(device, chosen.scale):
        title = f"{case.group}: {case.name}"
        if not re.search(chosen.only, title):
            continue
        if time.monotonic() - began > chosen.seconds:
            found = {"skipped": f"begun no more after {chosen.seconds:g} s"}
        else:
            found = tell(lambda case=case: measure(case, device), title)
        results["cases"].append({"group": case.group, "name": case.name, "count": case.count, **found})
        save()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    for batch in (64, 256) if chosen.scale >= 1 else (2,):
        if re.search(chosen.only, "share"):
            results["share"].append(
                tell(lambda batch=batch: share(device, batch, chosen.scale), f"share, batch {batch}")
            )
            save()
    return 1 if any("wrong" in case for case in results["cases"]) else 0


def tell(measured: Callable[[], dict[str, Any]], title: str) -> dict[str, Any]:
    try:
        found = measured()
    except Exception as error:  # a peer that is not there or does not fit must not stop the rest
        text = str(error).splitlines()
        found = {"skipped": f"{type(error).__name__}: {text[0] if text else ''}"}
    print(title, {key: value for key, value in found.items() if key != "count"}, flush=True)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
