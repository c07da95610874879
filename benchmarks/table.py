"""What pytest-benchmark measured as a short table: ours beside what people use, with the ratio and the aim.

pytest benchmarks --benchmark-only --benchmark-json=all.json
python benchmarks/table.py all.json --out results.json --docs page.md
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from machine import describe

from qgssl_fast.files import write_text

# Ours, a peer, and how many times faster ours is meant to be. Names are those of the benchmarks.
AIMS = [
    ("test_mix[paper-native-1]", "test_per_mask", 30.0),
    ("test_mix[paper-native-2]", "test_mix[paper-native-1]", 1.8),
    ("test_mix[default-native-2]", "test_mix[default-native-1]", 1.8),
    ("TestImages::test_ours[native]", "TestImages::test_peer[opencv]", 3.0),
    ("TestImages::test_ours[native]", "TestImages::test_limit_copy", 0.7),
    ("TestVolumes::test_ours", "TestVolumes::test_peer[fastmorph]", 30.0),
    ("TestElastic::test_ours[native]", "TestElastic::test_peer[opencv]", 25.0),
    ("TestElasticOfVolumes::test_ours", "TestElasticOfVolumes::test_peer[torchio]", 100.0),
    ("TestElasticOfVolumes::test_ours", "TestElasticOfVolumes::test_peer[monai]", 100.0),
]


def read(path: Path) -> dict[str, Any]:
    """By name: masks a second (of the median time), and whatever else a benchmark tells."""
    found = json.loads(path.read_text(encoding="utf-8"))
    named = {}
    for bench in found["benchmarks"]:
        name = re.sub(r"^.*?\.py::", "", bench["fullname"])
        named[name] = {"median_seconds": bench["stats"]["median"], **bench["extra_info"]}
    return named


def compare(found: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for ours, peer, aim in AIMS:
        if ours in found and peer in found:
            a, b = (found[name]["masks_per_second"] for name in (ours, peer))
            rows.append({"ours": ours, "per_second": a, "peer": peer, "peer_per_second": b, "ratio": a / b, "aim": aim})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = ["ours | masks a second | beside | masks a second | ratio | aim", " | ".join(["---"] * 6)]
    for row in rows:
        numbers = (f"{row['per_second']:,}", f"`{row['peer']}`", f"{row['peer_per_second']:,}")
        lines.append(" | ".join((f"`{row['ours']}`", *numbers, f"{row['ratio']:.2f}", f"{row['aim']:g}")))
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("json", type=Path, help="what --benchmark-json wrote")
    parser.add_argument("--out", type=Path, help="file of results to write")
    parser.add_argument("--docs", type=Path, help="page whose table to renew")
    chosen = parser.parse_args()
    found = read(chosen.json)
    rows = compare(found)
    if chosen.out:
        command = "pytest benchmarks --benchmark-only"
        results = {"machine": describe(), "command": command, "compared": rows, "all": found}
        write_text(chosen.out, json.dumps(results, indent=1) + "\n")
    print(table(rows))
    if chosen.docs:
        machine = describe()
        told = f"{machine['processor']}, torch {machine['torch']}, commit {machine['commit']}"
        text = f"{told}.\n\n{table(rows)}\n"
        shares = [
            f"`{name.split('[')[1].rstrip(']')}` {bench['corruption_share']:.1%}"
            for name, bench in found.items()
            if "corruption_share" in bench
        ]
        if shares:
            text += "\nCorruption's share of a training step of the quality predictor, two threads, by preset: "
            text += f"{', '.join(shares)}.\n"
        put(chosen.docs, text)


def put(path: Path, text: str) -> None:
    """The text between the marks of a page."""
    page = path.read_text(encoding="utf-8")
    begin, end = "<!-- begin engine-cpu -->\n", "<!-- end engine-cpu -->"
    head, rest = page.split(begin)
    write_text(path, head + begin + text + end + rest.split(end)[1])


if __name__ == "__main__":
    main()
