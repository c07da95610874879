"""Reads a recipe file and tells everything that is wrong with it, with line numbers."""

from __future__ import annotations

import re
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import Faults, InputError, nearest
from .operations import OPERATIONS, Parameter
from .recipe import Recipe, Row, coverage, ranges
from .softness import PARAMETERS as SOFTNESS
from .softness import Softness
from .tables import CATEGORIES, GROUPS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TOP = ("name", "extends", "rounding", "p_weak", "categories", "softness", "row")


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(p.name[:-5] for p in resources.files(__package__).iterdir() if p.name.endswith(".toml"))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A recipe by name ("paper", "default") or from a TOML file.

    Raises InputError that lists all faults of the file, with their lines. docs/corruption.md describes the format.
    """
    text_path = str(name_or_path)
    if text_path in recipe_names():
        text = (resources.files(__package__) / f"{text_path}.toml").read_text(encoding="utf-8")
        return parse_recipe(text, f"recipe {text_path}", text_path)
    path = Path(name_or_path)
    if not path.is_file():
        if path.suffix == ".toml" or len(path.parts) > 1:
            raise InputError(f"recipe {path}: there is no such file")
        raise InputError(f"recipe {text_path!r}: unknown; there are {', '.join(recipe_names())}, or give a .toml file")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"recipe {path}: cannot be read: {error}") from None
    return parse_recipe(text, f"recipe {path}", path.stem)


def parse_recipe(text: str, what: str, name: str) -> Recipe:
    """A recipe from TOML text; `what` heads the faults, `name` is used where the text gives none."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{what}: not TOML: {error}") from None
    reader = _Reader(text)
    recipe = reader.read(data, name)
    reader.faults.check(what)
    assert recipe is not None
    return recipe


class _Reader:
    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.row_lines = [n for n, line in enumerate(self.lines, 1) if re.match(r"\s*\[\[\s*row\s*\]\]", line)]
        self.faults = Faults()

    def read(self, data: dict[str, Any], name: str) -> Recipe | None:
        for key in data:
            if key not in _TOP:
                self._fault(0, key, f"unknown key {key!r}{_nearest(key, _TOP)}")
        base = self._base(data.get("extends"))
        categories = data.get("categories", {} if base is None else dict(base.categories))
        if not isinstance(categories, dict) or not all(_is_number(p) for p in categories.values()):
            self._fault(0, "categories", "categories must be a table of probabilities")
            categories = {}
        for key in categories:
            if key not in CATEGORIES:
                self._fault(0, key, f"unknown category {key!r}{_nearest(key, CATEGORIES)}")
        p_weak = data.get("p_weak", 0.0 if base is None else base.p_weak)
        if not _is_number(p_weak):
            self._fault(0, "p_weak", f"p_weak must be a number, got {p_weak!r}")
            p_weak = 0.0
        entries = data.get("row", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            self._fault(0, "row", "rows are written as [[row]] tables")
            entries = []
        rows = [row for number, entry in enumerate(entries) if (row := self._row(number, entry)) is not None]
        for number, entry in enumerate(entries):
            if entry.get("name") in [earlier.get("name") for earlier in entries[:number]]:
                self._fault(self._start(number), "name", f"a second row named {entry.get('name')!r}")
        own = {entry.get("name") for entry in entries}
        inherited = [] if base is None else [row for row in base.rows if row.name not in own]
        recipe = object.__new__(Recipe)  # checked below, so that its faults join the others
        known = {key: float(categories.get(key, 0.0)) for key in CATEGORIES}
        fields: dict[str, Any] = {"name": str(data.get("name", name)), "rows": (*inherited, *rows), "categories": known}
        rounding = "nearest" if base is None else base.rounding
        fields |= {"p_weak": float(p_weak), "rounding": data.get("rounding", rounding)}
        fields["softness"] = self._softness(data, None if base is None else base.softness)
        for key, value in fields.items():
            object.__setattr__(recipe, key, value)
        # Which rows are missing can be told when all of them could be read.
        whole = coverage(recipe) if len(rows) == len(entries) else []
        for key, text in (*ranges(recipe), *whole):
            self._fault(0, key, text)
        return None if self.faults.found else Recipe(**fields)

    def _base(self, name: Any) -> Recipe | None:
        if name is None:
            return None
        if name in recipe_names():
            return load_recipe(name)
        self._fault(0, "extends", f"extends must be one of {', '.join(recipe_names())}, got {name!r}")
        return None

    def _softness(self, data: dict[str, Any], base: Softness | None) -> Softness | None:
        entry = data.get("softness")
        if entry is None:
            return base
        if not isinstance(entry, dict):
            self._fault(0, "softness", "softness is written as a table, [softness]")
            return None
        known = [parameter.name for parameter in SOFTNESS]
        for key in entry:
            if key not in known:
                self._fault(0, key, f"softness: unknown key {key!r}{_nearest(key, known)}")
        before = len(self.faults.found)
        values = {parameter.name: self._value(0, "softness", parameter, entry) for parameter in SOFTNESS}
        return Softness(**values) if len(self.faults.found) == before else None

    def _row(self, number: int, entry: dict[str, Any]) -> Row | None:
        before = len(self.faults.found)
        start = self._start(number)
        name, op = entry.get("name"), entry.get("op")
        label = f"row {name!r}" if isinstance(name, str) else f"row number {number + 1}"
        if not isinstance(name, str) or not name:
            self._fault(start, "name", f"{label}: name must be a text, got {name!r}")
        if op not in OPERATIONS:
            self._fault(start, "op", f"{label}: unknown op {op!r}{_nearest(str(op), OPERATIONS)}")
            return None
        parameters = {parameter.name: parameter for parameter in OPERATIONS[op].parameters}
        groups = tuple(GROUPS.values())
        for key in entry:
            if key not in (*parameters, *groups, "name", "op", "chained"):
                known = _nearest(key, (*parameters, *groups, "chained"))
                self._fault(start, key, f"{label}: unknown parameter {key!r} of {op}{known}")
        values = {key: self._value(start, label, parameter, entry) for key, parameter in parameters.items()}
        for low, high in ((key, key.replace("min_", "max_")) for key in values if key.startswith("min_")):
            if values[low] > values[high]:
                self._fault(start, low, f"{label}: {low} {values[low]:g} is above {high} {values[high]:g}")
        weights = {group: entry[group] for group in groups if group in entry}
        for group, weight in weights.items():
            if not _is_number(weight) or not 0 <= weight < float("inf"):
                self._fault(start, group, f"{label}: weight {group} must be a number >= 0, got {weight!r}")
        if not isinstance(entry.get("chained", False), bool):
            self._fault(start, "chained", f"{label}: chained must be true or false, got {entry['chained']!r}")
        if OPERATIONS[op].bank and (weights or entry.get("chained")):
            self._fault(start, "op", f"{label}: {op} has its own probability and is in no group and no chain")
        if len(self.faults.found) > before:
            return None
        return Row(str(name), op, values, {g: float(w) for g, w in weights.items()}, entry.get("chained", False))

    def _value(self, start: int, label: str, parameter: Parameter, entry: dict[str, Any]) -> float:
        value = entry.get(parameter.name, parameter.default)
        bounds = f"in [{parameter.low:g}, {parameter.high:g}] {parameter.unit}"
        if value is None:
            self._fault(start, "op", f"{label}: {parameter.name} is missing; wanted a number {bounds}")
        elif not _is_number(value) or (parameter.one == 1 and value != int(value)):
            kind = "whole number" if parameter.one == 1 else "number"
            self._fault(start, parameter.name, f"{label}: {parameter.name} must be a {kind} {bounds}, got {value!r}")
        elif not parameter.low <= value <= parameter.high:
            self._fault(start, parameter.name, f"{label}: {parameter.name} must be {bounds}, got {value}")
        else:
            return value
        return parameter.low

    def _start(self, number: int) -> int:
        return self.row_lines[number] if number < len(self.row_lines) else 0

    def _fault(self, start: int, key: str, text: str) -> None:
        """`start`: the line of the [[row]] that the key is in, or 0 for a key outside of rows."""
        end = min((line for line in self.row_lines if line > start), default=len(self.lines) + 1)
        pattern = re.compile(rf"\s*\[?\s*[\"']?{re.escape(key)}[\"']?\s*[=\]]|.*[;,{{]\s*{re.escape(key)}\s*=")
        places = [n for n in range(max(start, 1), end) if pattern.match(self.lines[n - 1])]
        line = places[0] if places else start
        self.faults.add(f"line {line}: {text}" if line else text)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def _nearest(word: str, known: Any) -> str:
    return nearest(word, known) or f"; there are {', '.join(known)}"
