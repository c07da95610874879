"""A preview shows every row, is the same for the same seed, and refuses what it cannot use in one message."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qgssl_fast.cli import preview as command
from qgssl_fast.cli.main import main
from qgssl_fast.data import make_phantoms
from qgssl_fast.errors import InputError
from qgssl_fast.recipes import load_recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "phantoms é [x]"
    make_phantoms(root, 32, {"train": 5, "val": 1, "test": 1, "unlabeled": 2})
    return root


@pytest.fixture
def shown(monkeypatch):
    """The labels, masks and Dice that the gallery gets."""
    seen = {}
    draw = command.corruption_gallery

    def spy(images, true, corrupted, labels, dice, path, **options):
        seen.update(images=images, true=true, corrupted=corrupted, labels=labels, dice=dice)
        return draw(images, true, corrupted, labels, dice, path, **options)

    monkeypatch.setattr(command, "corruption_gallery", spy)
    return seen


def test_every_row_once_then_the_mix(folder, tmp_path, shown):
    recipe = load_recipe("default")
    names = [row.name for row in recipe.reachable() if row.op != "weak"]
    notes = command.preview(folder, out=tmp_path / "p.png", count=len(names) + 8, size=(32, 32))
    assert shown["labels"][: len(names)] == names
    assert len(shown["labels"]) == len(names) + 8
    assert Image.open(tmp_path / "p.png").size[0] == 1800
    assert notes[0].startswith(
        f"{tmp_path / 'p.png'}: {len(names) + 8} corruptions of 5 images of 32x32 by recipe default"
    )
    assert "masks of weak models (25% of the mix) are not shown: they come with training" in notes
    true, changed = shown["true"].numpy(), shown["corrupted"].numpy()
    both, sizes = (true & changed).sum((1, 2)), true.sum((1, 2)) + changed.sum((1, 2))
    np.testing.assert_allclose(shown["dice"].numpy(), 2 * both / sizes, rtol=1e-6)


def test_phantoms_by_default(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["preview", "--count", "3", "--size", "32", "--recipe", "paper"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("preview.png: 3 corruptions of 3 images of 32x32 by recipe paper, seed 0")
    assert "rows are not shown" in said
    assert [file.name for file in tmp_path.iterdir()] == ["preview.png"]


def test_same_seed_same_picture(folder, tmp_path):
    pictures = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        command.preview(folder, out=tmp_path / f"{name}.png", count=4, seed=seed, size=(32, 40))
        pictures.append((tmp_path / f"{name}.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_all_faults_of_the_options_at_once(tmp_path):
    with pytest.raises(InputError) as caught:
        command.preview(out=tmp_path / "x.jpg", count=0, seed=-1, size=(32, 40))
    for words in ("4 faults", "x.jpg", "count must be >= 1, got 0", "seed must be >= 0, got -1", "equal for phantoms"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--recipe", "papr"], "recipe 'papr': unknown"),
        (["--data", "nowhere"], "no such folder"),
        (["--size", "big"], "size must be like 96 or 96x128, got 'big'"),
        (["--cuont", "3"], "did you mean --count"),
        (["--out", "."], "is a folder"),
        (["--count", "many"], "count"),
    ],
)
def test_wrong_options(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["preview", *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_unwritable_output(folder, tmp_path):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "p.png"
    with pytest.raises(InputError, match=r"p\.png cannot be written: "):
        command.preview(folder, out=out, count=1, size=(32, 32))
    assert Path(tmp_path / "file").read_text() == ""


def test_a_recipe_of_ones_own(folder, tmp_path, shown, capsys):
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'extends = "default"\np_weak = 0.0\n[categories]\nsingle = 0.5\nheavy = 0.5\n'
        '[[row]]\nname = "thin"\nop = "erode"\nradius = 2\nsingle = 5.0\n'
    )
    out = tmp_path / "p.png"
    assert main(["preview", "--data", str(folder), "--recipe", str(mine), "--out", str(out), "--size", "32"]) == 0
    assert "thin" in shown["labels"]
    assert out.is_file()


def test_a_faulty_recipe_of_ones_own(folder, tmp_path, capsys):
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'p_weak = 2\n[categories]\nsingel = 1.0\n[[row]]\nname = "a"\nop = "erode"\nradius = -1\nsingle = -2\n'
        '[[row]]\nname = "b"\nop = "errode"\n'
    )
    out = tmp_path / "p.png"
    assert main(["preview", "--data", str(folder), "--recipe", str(mine), "--out", str(out)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    for line in ("line 1: p_weak", "line 3: unknown category", "line 7: ", "line 8: ", "line 11: "):
        assert line in said, said
    assert not out.exists()


def test_a_soft_recipe(folder, tmp_path, shown):
    mine = tmp_path / "soft.toml"
    mine.write_text('extends = "default"\n[softness]\nmin_radius = 2\nmax_radius = 4\n')
    command.preview(folder, recipe=mine, out=tmp_path / "p.png", count=4, size=(32, 32))
    assert (tmp_path / "p.png").is_file()
    assert ((shown["corrupted"] > 0) & (shown["corrupted"] < 1)).any()


def test_empty_masks_are_masks(folder, tmp_path, shown):
    first = folder / (folder / "train.csv").read_text(encoding="utf-8").split()[1].split(",")[1]
    pixels = np.asarray(Image.open(first))
    try:
        Image.fromarray(np.zeros_like(pixels)).save(first)
        command.preview(folder, out=tmp_path / "p.png", count=5, size=(32, 32))
    finally:
        Image.fromarray(pixels).save(first)
    assert not shown["true"].flatten(1).any(1).all()
