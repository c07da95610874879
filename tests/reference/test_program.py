import numpy as np
import pytest

from qgssl_fast.kernels.reference.program import Program
from qgssl_fast.recipes import load_recipe
from qgssl_fast.recipes.tables import CATEGORIES, GROUPS, Choice


def rows_of(recipe, n=20000, seed=0):
    return Program(recipe.tables, seed, np.arange(n)).rows


@pytest.mark.parametrize("name", ["paper", "default"])
def test_shares_of_the_categories(name):
    recipe = load_recipe(name)
    rows = rows_of(recipe)
    length = (rows >= 0).sum(axis=1)
    weak = recipe.index("weak")
    left = 1 - recipe.p_weak
    found = {
        "weak": (rows[:, 0] == weak).mean(),
        "identity": (length == 0).mean(),
        "chained": (length > 1).mean(),
        "cross_image": (rows[:, 0] == recipe.index("cross_image")).mean(),
    }
    expected = {key: left * recipe.categories[key] for key in ("identity", "chained", "cross_image")}
    expected["weak"] = recipe.p_weak
    for key, share in expected.items():
        assert found[key] == pytest.approx(share, abs=0.015), key
    assert (length == 3).sum() / (length > 1).sum() == pytest.approx(0.5, abs=0.03)


def test_a_group_draws_by_weight():
    recipe = load_recipe("paper").replace(categories={"single": 1.0}, p_weak=0.0)
    rows = rows_of(recipe)
    weights = np.array([row.weights.get("single", 0.0) for row in recipe.rows])
    found = np.bincount(rows[:, 0], minlength=len(weights)) / len(rows)
    assert np.abs(found - weights / weights.sum()).max() < 0.006
    assert (found[weights == 0] == 0).all()


def test_a_chain_holds_different_rows_uniformly():
    recipe = load_recipe("paper").replace(categories={"chained": 1.0}, p_weak=0.0)
    rows = rows_of(recipe)
    three = rows[rows[:, 2] >= 0]
    assert (np.diff(np.sort(three, axis=1), axis=1) > 0).all()
    assert (rows[:, 0] != rows[:, 1]).all()
    for position in range(3):
        share = np.bincount(three[:, position], minlength=len(recipe.rows))[recipe.tables.chained] / len(three)
        assert np.abs(share - 1 / len(share)).max() < 0.01


def test_other_samples_and_other_seeds_differ():
    recipe = load_recipe("default")
    assert not np.array_equal(rows_of(recipe, 100, 0), rows_of(recipe, 100, 1))
    assert not np.array_equal(rows_of(recipe, 100, 0), rows_of(recipe, 100, 1 << 32))


def test_choice_never_takes_what_has_no_weight():
    choice = Choice.of([3, 4, 5, 6], [0.0, 0.25, 0.75, 0.0])
    assert choice.values.tolist() == [4, 5]
    assert choice.below.tolist() == [1 << 30]
    assert len(CATEGORIES) == 7
    assert set(GROUPS.values()) < set(CATEGORIES)
