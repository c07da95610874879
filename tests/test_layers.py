"""Imports go downwards only, files stay short, and the package's list of names is true."""

import ast
from pathlib import Path

import pytest

import qgssl_fast

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "qgssl_fast"
LEVELS = [
    {"errors", "files"}, {"recipes"}, {"kernels"}, {"backend"}, {"ops"},
    {"corruption", "networks", "data", "reporting"}, {"quality"}, {"methods"}, {"training"}, {"bench"}, {"cli"},
]  # fmt: skip
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
# kernels/native, kernels/cuda and kernels/triton are reached by name from backend.py, never imported from below.


def imported(path: Path) -> set[str]:
    """First parts below qgssl_fast that the file imports, wherever in the file."""
    package = ["qgssl_fast", *path.relative_to(SOURCE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            names = [".".join([*base, alias.name]) for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("qgssl_fast.")}
    return found & set(LEVEL)


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_downwards(path):
    home = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if home in ("__init__", "__main__"):
        return
    assert home in LEVEL, f"{home} has no level: say where it belongs"
    wrong = {name for name in imported(path) if name != home and LEVEL[name] >= LEVEL[home]}
    assert not wrong, f"{home} (level {LEVEL[home]}) must not import {wrong}"


def test_the_check_sees_an_upward_import(tmp_path):
    (tmp_path / "ops").mkdir()
    bad = tmp_path / "ops" / "bad.py"
    bad.write_text("from ..training import loop\nfrom qgssl_fast import cli\n")
    globals()["SOURCE"], kept = tmp_path, SOURCE
    try:
        assert imported(bad) == {"training", "cli"}
    finally:
        globals()["SOURCE"] = kept


def test_files_are_short():
    ours = [
        p
        for suffix in ("py", "h", "cpp", "cu")
        for d in ("qgssl_fast", "csrc", "tests", "benchmarks")
        for p in (ROOT / d).rglob(f"*.{suffix}")
    ]
    long = {str(p.relative_to(ROOT)): n for p in ours if (n := len(p.read_text(encoding="utf-8").splitlines())) > 300}
    assert not long


@pytest.mark.parametrize("name", qgssl_fast.__all__)
def test_public_names_exist(name):
    assert getattr(qgssl_fast, name).__doc__


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'eroode'"):
        getattr(qgssl_fast, "eroode")  # noqa: B009
