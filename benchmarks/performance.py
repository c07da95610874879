"""Makes docs/performance.md, its pictures, and the measured tables of README.md and pages of docs/ from results.

python benchmarks/performance.py [--results FOLDER] [--docs FOLDER]

Text comes from performance.template.md, whose {{names}} are filled; why ours is slower than a peer, or short of an aim,
stands in reasons.toml. tests/package/test_performance.py says when a committed page is not what this makes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import bench_step
import losses_table
import reached
from pages import markdown, number, replaced, told

from qgssl_fast.bench import pictures, report, suite
from qgssl_fast.files import write_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
ALONE = "itself"
"""An aim in masks a second: about 30 times what the published generator does (see the template)."""
README = [
    ("the paper's mix of corruptions and Dice, 224x224", [("mix_paper", "per mask, opencv", "OpenCV mask by mask")]),
    ("erosion 7x7, 224x224; 7x7x7, 96^3", [("erode", "opencv", "OpenCV"), ("erode_3d", "fastmorph", "fastmorph")]),
    ("elastic warp, 224x224; 96^3", [("elastic", "opencv", "OpenCV"), ("elastic_3d", "torchio", "TorchIO")]),
    ("augmentation of a colour image with its mask, 224x224", [("augment_2d", "albumentations", "Albumentations")]),
]
"""Lines of the README's table: what is told of a case, beside which contender."""
# Case, contender, and how many times faster ours is meant to be; of a limit: the share of it.
AIMS = [
    ("mix_paper", ALONE, 60_000), ("mix_paper", "per mask, opencv", 30),
    ("erode", "opencv", 3), ("erode", "copy", 0.7), ("erode_many", "copy", 0.7),
    ("erode_3d", "fastmorph", 30), ("elastic", "opencv", 25), ("elastic_3d", "torchio", 100),
    ("elastic_3d", "monai", 100), ("bce_dice", "eager", 10), ("bce_dice", "compiled", 5), ("mse", "eager", 5),
    ("mse", "compiled", 2.5), ("augment_2d", "albumentations", 5),
]  # fmt: skip
PARTS = ("masks", "losses", "data", "scaling", "steps", "losses-table")
FILES = {"steps": "step-cpu.json", "losses-table": "losses-cpu.json"}
UNKNOWN = "The reason is not known yet."


class Results:
    """The files of results, and the reasons beside them."""

    def __init__(self, folder: Path, reasons: Path = HERE / "reasons.toml") -> None:
        self.folder = folder
        names = {part: FILES.get(part, f"bench-{part}.json") for part in PARTS}
        self.of = {part: json.loads((folder / name).read_text(encoding="utf-8")) for part, name in names.items()}
        self.reasons: dict[str, dict[str, str]] = tomllib.loads(reasons.read_text(encoding="utf-8"))
        self.rows = [row for part in ("masks", "losses", "data") for row in self.of[part]["rows"]]

    def row(self, case: str, contender: str) -> dict[str, Any]:
        """One contender's, or ours of the case."""
        for row in self.rows:
            if row["case"] == case and contender in (row["contender"], row["kind"]):
                return row
        raise SystemExit(f"performance: no {contender!r} of case {case!r} among the results")

    def told(self, part: str) -> str:
        return told(self.of[part]["machine"], self.of[part]["command"])

    def reason(self, case: str, contender: str, kind: str) -> str:
        return self.reasons.get(f"{case}: {contender}", {}).get(kind, UNKNOWN).strip()


def ratio(results: Results, case: str, contender: str) -> float | None:
    ours = results.row(case, "ours")
    if contender == ALONE:
        return float(ours["per_second"]) if ours["per_second"] else None
    other = results.row(case, contender)
    if not ours["per_second"] or not other["per_second"]:
        return None
    return float(ours["per_second"] / other["per_second"])


def aims(results: Results) -> str:
    rows = []
    for case, contender, aim in AIMS:
        found, ours = ratio(results, case, contender), results.row(case, "ours")
        says = "–" if found is None else "reached" if found >= aim else "**short**"
        cells = [number(ours["per_second"]), "–", "–", "–", f"{aim:,} a second"]
        if contender != ALONE:
            other = results.row(case, contender)["per_second"]
            cells = [cells[0], f"`{contender}`", number(other), number(found), f"{aim:g}"]
        rows.append((ours["title"], *cells, says))
    return markdown(("work", "ours, a second", "beside", "it does", "ratio", "aim", ""), rows)


def short(results: Results) -> str:
    lines = []
    for case, contender, aim in AIMS:
        found = ratio(results, case, contender)
        if found is not None and found < aim:
            title, why = results.row(case, "ours")["title"], results.reason(case, contender, "short")
            wanted = f"{aim:,} a second" if contender == ALONE else f"{aim:g} times `{contender}`"
            lines.append(f"- {title}, {number(found)} instead of {wanted}: {why}")
    return "Short are\n\n" + "\n".join(lines) if lines else "All are reached."


def table(results: Results, part: str) -> str:
    """A line a case: ours with its percentiles, the share of the limit, and each peer with the ratio."""
    cases: dict[str, list[dict[str, Any]]] = {}
    for row in results.of[part]["rows"]:
        cases.setdefault(row["case"], []).append(row)
    lines = []
    for rows in cases.values():
        ours = next(row for row in rows if row["kind"] == "ours")
        peers = sorted((row for row in rows if row["kind"] == "peer"), key=lambda row: row["seconds_p50"] or 1e9)
        beside = ", ".join(map(_peer, (row for row in peers if "not installed" not in row["why_not"])))
        ends = " to ".join(number(1 / ours[f"seconds_{end}"]) for end in ("p80", "p20")) if ours["per_second"] else "–"
        share = "–" if ours["share_of_limit"] is None else f"{ours['share_of_limit']:.0%}"
        name = f"{ours['title']} (`{ours['case']}`)"
        lines.append((name, f"{number(ours['per_second'])} {ours['unit']}", ends, share, beside or "–"))
    head = ("work", "ours, a second", "20 to 80 %", "of the limit", "peers, a second (ours is times)")
    absent = sorted({row["contender"] for row in results.of[part]["rows"] if "not installed" in row["why_not"]})
    note = f"\n\nNot installed, so not measured: {', '.join(absent)}." if absent else ""
    return f"{results.told(part)}\n\n{markdown(head, lines)}{note}"


def _peer(row: dict[str, Any]) -> str:
    if not row["per_second"]:
        return f"{row['contender']} not timed: {row['why_not']}"
    return f"{row['contender']} {number(row['per_second'])} ({row['ratio']:.3g})"


def steps(results: Results) -> str:
    """Samples a second of both phases, ours and the published way."""
    lines = []
    for name, row in results.of["steps"]["steps"].items():
        cells = [f"{row['samples'] / row['whole_ms'] * 1e3:.1f}", f"{row['outside']:.1%}"]
        if "usual_ms" in row:
            usual = f"{row['samples'] / row['usual_ms'] * 1e3:.1f}"
            cells += [usual, f"{row['usual_outside']:.1%}", f"{row['times_usual']:.2f}"]
        lines.append((name, str(row["samples"]), *cells, *["–"] * (5 - len(cells))))
    head = ("preset: step", "images a step", "ours, images a second", "outside the networks",
            "published way", "outside the networks", "ours is times")  # fmt: skip
    shares = [
        f"{row['corruption_share']:.2%} of {name}"
        for name, row in results.of["steps"]["steps"].items()
        if "corruption_share" in row
    ]
    note = f"\n\nCorruption takes {', '.join(shares)}." if shares else ""
    return f"{results.told('steps')}\n\n{markdown(head, lines)}{note}"


def scaling(results: Results) -> str:
    """What two threads bring, by the batch, and in brackets what they bring to arithmetic."""
    rows = results.of["scaling"]["scaling"]
    sizes = sorted({row["size"] for row in rows if row["axis"] == "batch"})
    works = list(dict.fromkeys(row["work"] for row in rows))
    lines = []
    for work in works:
        cells = []
        for size in sizes:
            found = [
                f"{row['times']:.2f} ({row['times_machine']:.2f})"
                for row in rows
                if (row["axis"], row["work"], row["size"]) == ("batch", work, size)
                and row["threads"] > 1
                and row["times"]
            ]
            cells.append(found[0] if found else "–")
        lines.append((f"`{work}`", *cells))
    head = ("two threads over one, batch of", *map(str, sizes))
    return f"{results.told('scaling')}\n\n{markdown(head, lines)}"


def instructions() -> str:
    """What callgrind counted, of the kernels without AVX-512."""
    cases = {case.name: case for case in suite.CASES}
    lines = [
        (f"{cases[name].title} (`{name}`)", isa, f"{count:,.0f}", f"{count / cases[name].bytes:.3g}")
        for isa, counts in report.instructions().items()
        for name, count in counts.items()
    ]
    return markdown(("work", "instruction set", "instructions for one", "for a byte"), lines)


def slower(results: Results) -> str:
    rows = [row for row in results.rows if row["kind"] == "peer" and row["ratio"] is not None and row["ratio"] < 1]
    lines = []
    for row in rows:
        title = results.row(row["case"], "ours")["title"]
        why = results.reason(row["case"], row["contender"], "slower")
        lines.append(f"- {title}: `{row['contender']}` is {1 / row['ratio']:.2f} times as fast. {why}")
    for name, step in results.of["steps"]["steps"].items():
        if step.get("times_usual", 1) < 1:
            why = results.reason(name, "published way", "slower")
            lines.append(f"- {name}: the published way is {1 / step['times_usual']:.2f} times as fast. {why}")
    return "\n".join(lines) if lines else "Nowhere among the cases above, in this run."


def page(results: Results, template: str) -> str:
    made = {
        "instructions": instructions(),
        "aims": aims(results), "short": short(results), "steps": steps(results), "scaling": scaling(results),
        "slower": slower(results), "operations": table(results, "masks"), "losses": table(results, "losses"),
        "data": table(results, "data"),
    }  # fmt: skip
    names = set(re.findall(r"{{(\w+)}}", template))
    if names != set(made):
        raise SystemExit(f"performance: the template names {sorted(names)}, wanted {sorted(made)}")
    return re.sub(r"{{(\w+)}}", lambda found: made[found[1]], template)


def brief(results: Results) -> str:
    """The README's table."""
    lines = []
    for title, cases in README:
        ours = [number(results.row(case, "ours")["per_second"]) for case, _, _ in cases]
        times = [number(ratio(results, case, contender)) for case, contender, _ in cases]
        lines.append((title, "; ".join(ours), "; ".join(name for _, _, name in cases), "; ".join(times)))
    losses = results.of["losses-table"]
    title = "weighted BCE+Dice, 32x1x224x224"
    took = {name: row["milliseconds"] for name, row in losses["cases"][title].items()}
    times = [f"{took[peer] / took['ours']:.1f}" for peer in ("eager", "compiled")]
    commit = str(losses["machine"]["commit"])[:7]
    title += f", with its gradient, each by itself (`benchmarks/bench_losses.py`, commit {commit})"
    lines.append((title, f"{1e3 / took['ours']:,.0f} batches", "torch eager; `torch.compile`", "; ".join(times)))
    machine = results.of["masks"]["machine"]
    on = f"{machine['processor']}, {machine['isa']}, torch {machine['torch']}, commit {machine['commit'][:7]}"
    shown = markdown(("work", "ours, a second", "beside", "times"), lines)
    return f"One core of an {on}, contenders in turns (`qgssl-fast bench`):\n\n{shown}"


def pages(results: Results, docs: Path) -> dict[Path, str]:
    """Every page with figures, as it has to be."""
    template = (HERE / "performance.template.md").read_text(encoding="utf-8")
    step, loss = results.of["steps"], results.of["losses-table"]
    return {
        docs / "performance.md": page(results, template),
        docs / "training.md": replaced(docs / "training.md", {"steps": bench_step.block(step)}),
        docs.parent / "README.md": replaced(
            docs.parent / "README.md", {"speed": brief(results), "reached": reached.block(results.folder)}
        ),
        docs / "data.md": replaced(docs / "data.md", {"phantom-seeds": reached.seeds(results.folder)}),
        docs / "losses.md": replaced(docs / "losses.md", {"losses-cpu": losses_table.block(loss)}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--docs", type=Path, default=HERE.parent / "docs")
    chosen = parser.parse_args()
    results = Results(chosen.results)
    for path, text in pages(results, chosen.docs).items():
        write_text(path, text)
        print(path)
    machine = results.of["masks"]["machine"]
    on = told(machine, results.of["masks"]["command"]).replace("`", "")
    pictures.roofline(chosen.docs / "pictures" / "performance-roofline.png", results.rows, on)
    rows = results.of["scaling"]["scaling"]
    pictures.scaling(chosen.docs / "pictures" / "performance-scaling.png", rows, on)


if __name__ == "__main__":
    main()
