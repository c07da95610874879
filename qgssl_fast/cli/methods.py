"""``qgssl-fast methods``: what can be trained, by name, with its source; and which guides go with which methods."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..errors import InputError
from ..methods import METHODS, PUBLISHED, make_method
from ..quality.guides import GUIDES, make_guide
from ..quality.predictor import QualityPredictor


def configure(parser: ArgumentParser, words: list[str]) -> None:
    """Add the options."""
    parser.add_argument("--why", type=bool, default=False, help="also tell why each refused combination is refused")


def run(settings: Namespace, words: list[str]) -> int:
    """Print the tables; returns 0."""
    console = Console(width=160)
    refused = combinations()
    names = {pair: name for name, pair in PUBLISHED.items()}
    table = Table(title="methods (--method) by guides (--guide); published names; - refused, + yes")
    table.add_column("method")
    for guide in GUIDES:
        table.add_column(guide)
    for method in METHODS:
        marks = ["-" if (method, guide) in refused else names.get((method, guide), "+") for guide in GUIDES]
        table.add_row(method, *marks)
    console.print(table)
    for title, rows in (
        ("method", {name: f"{cls.source}{_needs(name)}" for name, cls in METHODS.items()}),
        ("guide", {name: doc for name, (_, doc) in GUIDES.items()}),
    ):
        listed = Table(title=f"{title}s")
        listed.add_column(title)
        listed.add_column("source" if title == "method" else "what it does")
        for row in rows.items():
            listed.add_row(*map(escape, row))
        console.print(listed)
    console.print("Guides can be joined: --guide quality+regularizer is both mechanisms at once.", highlight=False)
    if settings.why:
        for (method, guide), reason in refused.items():
            console.print(f"{method}+{guide}: {reason}", highlight=False)
    return 0


def combinations() -> dict[tuple[str, str], str]:
    """The pairs of method and guide that make no sense, with the reason."""
    predictor = QualityPredictor("small", options={"features": [2], "hidden": 1, "dense": 1})
    found = {}
    for method in METHODS:
        for guide in GUIDES:
            try:
                make_method(method).check(make_guide(guide, predictor))
            except InputError as error:
                found[method, guide] = str(error)
    return found


def _needs(name: str) -> str:
    cls = METHODS[name]
    parts = [
        text
        for text, needed in (
            ("EMA teacher", cls.needs_teacher),
            (f"{cls.networks} networks", cls.networks > 1),
            ("two strong views", cls.strong_views > 1),
            ("labelled images", cls.needs_labelled),
        )
        if needed
    ]
    return f"; needs {', '.join(parts)}" if parts else ""
