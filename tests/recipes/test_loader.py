import pytest

import qgssl_fast as qf
from qgssl_fast.recipes import recipe_names
from qgssl_fast.recipes.loader import parse_recipe
from qgssl_fast.recipes.operations import OPERATIONS, smoothing_weights

SMALL = """
p_weak = 0.0
[categories]
identity = 0.5
single = 0.5

[[row]]
name = "a"
op = "erode"
radius = 2
single = 1
"""


def faults(text):
    with pytest.raises(qf.InputError) as caught:
        parse_recipe(text, "recipe x", "x")
    return str(caught.value)


def test_the_package_has_its_recipes():
    assert recipe_names() == ["default", "labels", "paper"]
    paper, default = qf.load_recipe("paper"), qf.load_recipe("default")
    assert (paper.rounding, default.rounding) == ("truncate", "nearest")
    assert paper.p_weak == 0.05
    assert default.p_weak > paper.p_weak
    assert dict(paper.categories) == {
        "identity": 0.2,
        "single": 0.28,
        "chained": 0.18,
        "cross_image": 0.1,
        "heavy": 0.12,
        "catastrophic": 0.05,
        "blob": 0.07,
    }
    assert {row.op for row in paper.rows} == set(OPERATIONS) - {"identity", "swap_labels", "leak"}
    assert [row.name for row in paper.rows] == [row.name for row in default.rows]


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(SMALL)
    recipe = qf.load_recipe(path)
    assert recipe.name == "mine"
    assert recipe.tables.rows.tolist() == [[0, 2, 0, 0, 0, 0, 0, 0]]
    assert qf.load_recipe(str(path)).categories == recipe.categories


def test_unknown_names_list_what_is_there(tmp_path):
    with pytest.raises(qf.InputError, match="recipe 'papr': unknown; there are default, labels, paper"):
        qf.load_recipe("papr")
    with pytest.raises(qf.InputError, match="there is no such file"):
        qf.load_recipe(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(qf.InputError, match="cannot be read"):
        qf.load_recipe(tmp_path / "latin.toml")


def test_not_toml():
    assert "not TOML" in faults("p_weak = = 3")
    assert "line 1" in faults("p_weak = = 3")


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('op = "erode"', 'op = "erod"', "line 9: row 'a': unknown op 'erod' (did you mean erode?)"),
        ("radius = 2", "radius = -1", "line 10: row 'a': radius must be in [0, 4096] px, got -1"),
        ("radius = 2", "radius = 2.5", "line 10: row 'a': radius must be a whole number in [0, 4096] px, got 2.5"),
        ("radius = 2", "radius = true", "line 10: row 'a': radius must be a whole number"),
        ("radius = 2", "radus = 2", "line 10: row 'a': unknown parameter 'radus' of erode (did you mean radius?)"),
        ("radius = 2", "", "line 9: row 'a': radius is missing"),
        (
            "single = 1\n",
            "singel = 1\n",
            "line 11: row 'a': unknown parameter 'singel' of erode (did you mean single?)",
        ),
        ("single = 1\n", "single = -1\n", "line 11: row 'a': weight single must be a number >= 0, got -1"),
        ("single = 1\n", "single = inf\n", "line 11: row 'a': weight single must be a number >= 0, got inf"),
        (
            "single = 1\n",
            "single = 0\n",
            "category single has probability 0.5, but no row has a weight 'single' above 0",
        ),
        ("single = 1\n", "single = 1\nchained = 1\n", "line 12: row 'a': chained must be true or false, got 1"),
        ("single = 0.5", "single = 0.4", "line 3: the categories' probabilities must sum to 1, got 0.9"),
        ("single = 0.5", "single = nan", "categories must be a table of probabilities"),
        ("single = 0.5", "chained = 0.5", "category chained needs at least 3 rows with chained = true, got 0"),
        ("single = 0.5", "cross_image = 0.5", "there is no row with op = 'cross_image' for its probability 0.5"),
        ("single = 0.5", "singel = 0.5", "line 5: unknown category 'singel' (did you mean single?)"),
        ("p_weak = 0.0", "p_weak = 1.5", "line 2: p_weak must be in [0, 1], got 1.5"),
        ("p_weak = 0.0", "p_weak = 'x'", "line 2: p_weak must be a number, got 'x'"),
        ("p_weak = 0.0", "p_weak = 0.1", "there is no row with op = 'weak' for its probability 0.1"),
        ("p_weak = 0.0", "roundin = 'nearest'", "line 2: unknown key 'roundin' (did you mean rounding?)"),
        ("p_weak = 0.0", "rounding = 'up'", "line 2: rounding must be nearest or truncate, got 'up'"),
        ('name = "a"', "", "row number 1: name must be a text, got None"),
        ('op = "erode"\nradius = 2', 'op = "weak"', "weak has its own probability and is in no group and no chain"),
    ],
)
def test_each_fault_is_told(old, new, text):
    assert old in SMALL
    assert text in faults(SMALL.replace(old, new))


def test_all_faults_at_once():
    text = SMALL.replace("single = 0.5", "single = 0.6").replace("radius = 2", "radius = -2")
    text += '\n[[row]]\nname = "a"\nop = "holes"\ncount = 2\nmin_radius = 5\nmax_radius = 4\n'
    told = faults(text)
    assert "recipe x: 4 faults" in told
    for part in ("sum to 1, got 1.1", "got -2", "min_radius 5 is above max_radius 4", "a second row named 'a'"):
        assert part in told


def test_replace_checks_again():
    recipe = qf.load_recipe("default")
    assert recipe.replace(p_weak=0.5).tables.p_weak == 1 << 31
    with pytest.raises(qf.InputError, match="p_weak"):
        recipe.replace(p_weak=2.0)
    with pytest.raises(qf.InputError, match="no field pweak"):
        recipe.replace(pweak=0.1)
    with pytest.raises(qf.InputError, match="no row 'erosion'"):
        recipe.row("erosion")


def test_without_bank_keeps_the_proportions():
    recipe = qf.load_recipe("paper").without_bank()
    assert not recipe.needs_bank
    assert sum(recipe.categories.values()) == pytest.approx(1)
    assert recipe.categories["identity"] / recipe.categories["single"] == pytest.approx(0.2 / 0.28)
    only = qf.load_recipe("paper").replace(categories={"cross_image": 1.0})
    with pytest.raises(qf.InputError, match="no category is left"):
        only.without_bank()


def test_parameters_become_fixed_point():
    recipe = qf.load_recipe("paper")
    rows = {row.name: words.tolist() for row, words in zip(recipe.rows, recipe.tables.rows)}
    assert rows["jagged_3"][:3] == [8, 1, 1 << 14]
    assert rows["rotate_small"][1:7] == [65536, 65536, 15 * 65536, 0, 0, 1]
    assert rows["scale_down"][1:3] == [49152, 58982]


def test_smoothing_weights():
    assert smoothing_weights(5)[:3] == (512, 452, 311)  # sigma 2
    assert all(later < earlier for earlier, later in zip(smoothing_weights(31), smoothing_weights(31)[1:]))
