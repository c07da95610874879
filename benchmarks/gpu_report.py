"""Puts what gpu.sh left into summary.json and tables.md: the parts, the kernels beside their peers and limits.

python benchmarks/gpu_report.py PARTS.tsv OUT    (standard library alone: it must run where all else failed)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# Of the copy's rate, or masks a second, or a share at most: what is meant to be reached on an H200.
AIMS = {
    "erode 7x7, 224x224": ("copy", 0.5),
    "affine by 17 degrees, 224x224": ("copy", 0.5),
    "mix, 224x224": ("masks", 5e6),
    "share": ("share", 0.02),
}


def read_parts(path: Path) -> list[dict[str, str]]:
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return [dict(zip(("part", "result", "seconds", "note"), row)) for row in rows]


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def of_cases(bench: dict[str, Any]) -> str:
    copy = bench["limits"]["copy_bytes_per_second"]
    texts = []
    for group in dict.fromkeys(case["group"] for case in bench["cases"]):
        rows = []
        for case in (case for case in bench["cases"] if case["group"] == group):
            if "masks_per_second" in case:
                rate, part = case["masks_per_second"], case["bytes_per_second"] / copy
                rows.append([case["name"], f"{rate:,.0f}", f"{part:.2f}", f"{case['seconds'] * 1e6:,.1f}"])
            else:
                rows.append([case["name"], f"wrong: {case['wrong']}" if "wrong" in case else case["skipped"], "", ""])
        texts.append(f"### {group}\n" + table(["what", "masks a second", "of the copy", "us a call"], rows))
    return "\n\n".join(texts)


def of_shares(bench: dict[str, Any]) -> str:
    rows = [
        [str(s["batch"]), f"{s['step_seconds'] * 1e3:.2f}", f"{s['corruption_seconds'] * 1e3:.3f}", f"{s['share']:.1%}"]
        for s in bench["share"]
        if "share" in s
    ]
    return table(["batch", "ResNet-18 step, ms", "corruption, ms", "share"], rows)


def reached(bench: dict[str, Any]) -> list[dict[str, Any]]:
    """Each aim with the best that was measured for it."""
    copy, found = bench["limits"]["copy_bytes_per_second"], []
    for group, (kind, aim) in AIMS.items():
        if kind == "share":
            values = [s["share"] for s in bench["share"] if "share" in s]
            best = min(values) if values else None
        else:
            key = "bytes_per_second" if kind == "copy" else "masks_per_second"
            ours = [c for c in bench["cases"] if c["group"] == group and key in c]
            ours = [c for c in ours if kind == "masks" or c["name"] == "qgssl_fast cuda"]
            best = max((c[key] / (copy if kind == "copy" else 1) for c in ours), default=None)
        met = best is not None and (best <= aim if kind == "share" else best >= aim)
        found.append({"what": group, "of": kind, "aim": aim, "measured": best, "reached": met})
    return found


def main() -> None:
    parts, out = read_parts(Path(sys.argv[1])), Path(sys.argv[2])
    summary: dict[str, Any] = {"parts": parts}
    text = "# What this machine told\n\n" + table(
        ["part", "result", "seconds", "note"], [[p["part"], p["result"], p["seconds"], p["note"]] for p in parts]
    )
    if (out / "bench.json").is_file():
        bench = json.loads((out / "bench.json").read_text(encoding="utf-8"))
        summary |= {key: bench[key] for key in ("machine", "limits")} | {"aims": reached(bench)}
        limits = bench["limits"]
        text += (
            f"\n\n{json.dumps(bench['machine'])}\n\nCopy {limits['copy_bytes_per_second'] / 1e12:.2f} TB/s both ways, "
        )
        text += f"bf16 matrix product {limits['bf16_flops'] / 1e12:.0f} TFLOP/s.\n\n"
        rows = [[str(a[key]) for key in ("what", "of", "aim", "measured", "reached")] for a in summary["aims"]]
        text += table(["aim", "of", "wanted", "measured", "reached"], rows)
        text += f"\n\n{of_shares(bench)}\n\n{of_cases(bench)}"
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    (out / "tables.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
