"""The pictures of the documentation can be made again."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_pictures_of_a_family(tmp_path):
    script = DOCS / "make_pictures.py"
    if not script.is_file():
        pytest.skip("docs/ is not beside the tests")
    spec = importlib.util.spec_from_file_location("make_pictures", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(tmp_path, ("parts",))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"corruption-parts.png", "corruption-labels.png", "corruption-soft.png"}
    told = (DOCS / "corruption.md").read_text(encoding="utf-8")
    pictures = {path.name for path in (DOCS / "pictures").glob("corruption-*.png")}
    assert all(f"pictures/{name}" in told for name in pictures)
    assert {f"corruption-{family}.png" for family in module.FAMILIES} <= pictures
