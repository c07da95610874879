"""Pictures of what was measured: bytes moved beside what a copy moves, and time against size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from ..reporting.style import COLOURS, FAINT, INK, figure


def roofline(path: Path, rows: Sequence[dict[str, Any]], told: str) -> None:
    """Bytes a second that ours moves in each case, from the 20th to the 80th percentile, beside the fastest peer and
    the copy of the same bytes. rows: of report.records; cases without bytes or without a time are left out. Where
    instructions are known, a second picture beside it has them for each byte, below the copy's roof."""
    cases = [row for row in rows if row["kind"] == "ours" and row["per_second"] and row["bytes"]]
    cases.reverse()
    known = [row for row in cases if row["instructions"]]
    with figure(path, 15 if known else 9, 1.4 + 0.27 * max(len(cases), 8 if known else 0), "Bytes moved") as fig:
        axes = fig.subplots(1, 2 if known else 1, squeeze=False)[0]
        ax = axes[0]
        if known:
            _by_instructions(axes[1], known, rows)
        for y, ours in enumerate(cases):
            size, beside = ours["bytes"] / 1e9, [row for row in rows if row["case"] == ours["case"]]
            limits = [size * row["per_second"] for row in beside if row["kind"] == "limit" and row["per_second"]]
            peers = [size * row["per_second"] for row in beside if row["kind"] == "peer" and row["per_second"]]
            ends = [size / ours[key] for key in ("seconds_p80", "seconds_p20")]
            for rate in limits:
                ax.plot([1e-4, rate], [y, y], color="#e6e8eb", linewidth=7, solid_capstyle="butt", zorder=1)
                ax.plot([rate, rate], [y - 0.38, y + 0.38], color=INK, zorder=2)
            ax.plot(ends, [y, y], color=COLOURS[0], linewidth=3, zorder=3)
            ax.plot(size * ours["per_second"], y, "o", color=COLOURS[0], markersize=6, zorder=4)
            if peers:
                ax.plot(max(peers), y, "d", color=COLOURS[1], markersize=5, zorder=3)
        ax.set_yticks(range(len(cases)), [row["title"] for row in cases], fontsize=8)
        ax.set_ylim(-0.6, len(cases) - 0.4)
        ax.set_xscale("log")
        low = min((size for row in cases for size in [row["bytes"] / 1e9 * row["per_second"]]), default=1)
        ax.set_xlim(low / 300, None)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_xlabel("GB a second, read and written")
        fig.supxlabel(told, fontsize=8, color=FAINT)
        ax.grid(axis="y", visible=False)
        for label, style in (("ours", {"color": COLOURS[0], "marker": "o", "linestyle": ""}),
                             ("fastest peer", {"color": COLOURS[1], "marker": "d", "linestyle": ""}),
                             ("copy of the same bytes", {"color": INK})):  # fmt: skip
            ax.plot([], [], label=label, **style)  # type: ignore[arg-type]
        fig.legend(loc="outside upper right", ncols=3)


def _by_instructions(ax: Axes, known: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]) -> None:
    """GB a second against instructions for a byte; slanted lines are instructions a nanosecond."""
    places = [(row["instructions"] / row["bytes"], row["bytes"] * row["per_second"] / 1e9) for row in known]
    names = {row["case"] for row in known}
    copies = [r["bytes"] * r["per_second"] / 1e9 for r in rows if r["kind"] == "limit" and r["case"] in names]
    ends = min(x for x, _ in places) / 3, max(x for x, _ in places) * 3
    for row, (x, y) in zip(known, places):
        ax.plot(x, y, "o", color=COLOURS[0])
        ax.annotate(row["case"], (x, y), xytext=(5, 4), textcoords="offset points", fontsize=7.5)
    if copies:
        ax.plot(ends, [max(copies)] * 2, color=INK)
    for rate in (1, 4, 16):
        ax.plot(ends, [rate / x for x in ends], "--", color=FAINT, linewidth=1)
        ax.annotate(f"{rate} a ns", (ends[1], rate / ends[1]), fontsize=7.5, color=FAINT, ha="right")
    ax.set_xscale("log")
    ax.set_yscale("log")
    for side in (ax.xaxis, ax.yaxis):
        side.set_major_formatter("{x:g}")
    ax.set_xlabel("instructions for a byte read or written")
    ax.set_ylabel("GB a second")


def scaling(path: Path, rows: Sequence[dict[str, Any]], told: str) -> None:
    """Seconds for one mask against what grows; rows: of scaling.scaling, wrong ones left out."""
    axes = {
        "batch": "masks of 224x224 in a batch",
        "side": "side of an image (px)",
        "volume": "side of a cube (voxels)",
    }
    works = list(dict.fromkeys(row["work"] for row in rows))
    with figure(path, 11, 3.8, "Time for one mask against size") as fig:
        for ax, (axis, label) in zip(fig.subplots(1, 3), axes.items()):
            for colour, work in zip(COLOURS, works):
                for threads in sorted({row["threads"] for row in rows}):
                    points = [
                        (row["size"], row["seconds"] * 1e6)
                        for row in rows
                        if (row["axis"], row["work"], row["threads"]) == (axis, work, threads) and row["seconds"]
                    ]
                    if points:
                        style = "-" if threads == 1 else "--"
                        name = work if threads == 1 else None
                        ax.plot(*zip(*points), style, color=colour, marker=".", label=name)
            ax.set_xscale("log", base=2)
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter("{x:g}")
            ax.set_xlabel(label)
            sizes = sorted({row["size"] for row in rows if row["axis"] == axis})
            ax.set_xticks(sizes, [str(size) for size in sizes])
            ax.minorticks_off()
        fig.axes[0].set_ylabel("microseconds a mask")
        most = max((row["threads"] for row in rows), default=1)
        if most > 1:
            fig.axes[0].plot([], [], "--", color=FAINT, label=f"{most} threads")
        fig.legend(*fig.axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=6)
        fig.supxlabel(told, fontsize=8, color=FAINT)
