"""Parts of cross-fitting keep cases whole: slices and patches of a volume tell of each other."""

from __future__ import annotations

import itertools

import pytest

from qgssl_fast.errors import InputError
from qgssl_fast.training.crossfit import fold_indices, whole_groups

OWNER = [0, 0, 0, 1, 2, 2, 3, 3, 3, 3, 4]


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_every_sample_once_and_cases_whole(folds):
    parts = fold_indices(OWNER, folds, seed=1)
    assert sorted(itertools.chain(*parts)) == list(range(len(OWNER)))
    assert all(part == sorted(part) for part in parts)
    cases = [{OWNER[k] for k in part} for part in parts]
    assert sum(map(len, cases)) == 5
    assert max(map(len, cases)) - min(map(len, cases)) <= 1
    assert fold_indices(OWNER, folds, seed=1) == parts != fold_indices(OWNER, folds, seed=2)


def test_more_parts_than_cases():
    with pytest.raises(InputError, match=r"weak\.folds: wanted 2 to 5"):
        fold_indices(OWNER, 6, seed=0)


def test_groups_stay_whole():
    groups = ["a", "b", None, "a", None]
    owner = whole_groups(OWNER, groups)
    assert owner == [0, 0, 0, 1, 2, 2, 0, 0, 0, 0, 4]
    for part in fold_indices(owner, 4, seed=0):
        assert {0, 6} <= set(part) or {0, 6}.isdisjoint(part)
    with pytest.raises(InputError, match=r"weak\.folds: wanted 2 to 4"):
        fold_indices(owner, 5, seed=0)
    assert whole_groups(OWNER, []) == OWNER
