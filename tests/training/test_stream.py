"""Unlabelled images that stay in shards: the same steps from any step on, however parted, and fetched ahead."""

from __future__ import annotations

import pytest
import torch

from qgssl_fast.data import Placement, load_shards
from qgssl_fast.data.shards import write_shards
from qgssl_fast.training import checkpoint
from qgssl_fast.training.stage import Part

from .conftest import weights

NAME = "segmenter/pseudo_label"


@pytest.fixture
def streamed(stores, tmp_path, monkeypatch):
    """Makes `stores` hold a new stream of its 8 unlabelled images, as a new process would."""
    whole = dict(stores)
    write_shards(whole, str(tmp_path / "shards"), samples=2)

    def begin(rank=0, world=1):
        found = load_shards(str(tmp_path / "shards"), placement=Placement("stream"), buffer=3, rank=rank, world=world)
        assert torch.equal(found["train"].images, whole["train"].images)
        monkeypatch.setitem(stores, "unlabeled", found["unlabeled"])
        return found["unlabeled"]

    return begin


def test_a_run_that_was_cut_goes_on_to_the_same_bits(streamed, make_stage, make_engine, tmp_path):
    def begun():
        streamed()
        stage, engine = make_stage(NAME), make_engine()
        engine.prepare(stage)
        return stage, engine

    whole, engine = begun()
    for step in range(12):
        engine.take_step(step)
    cut, engine = begun()
    for step in range(7):
        engine.take_step(step)
    checkpoint.save(tmp_path, cut.modules(), cut.optimizer, {"step": 7})
    again, engine = begun()
    found, _ = checkpoint.load_newest(tmp_path, again.modules(), again.optimizer)
    assert found == {"step": 7}
    for step in range(7, 12):
        engine.take_step(step)
    ours, theirs = weights(again), weights(whole)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert any(not torch.equal(theirs[key], value) for key, value in weights(cut).items())


def test_parts_of_a_step_are_the_step(streamed, make_stage):
    def samples(parts):
        pool, stage = streamed(), make_stage(NAME)
        drawn = [stage.draw(step, part) for step in (4, 5, 6) for part in parts]
        return torch.cat([pool.source(one["unlabelled"])[0] for one in drawn]), [
            i for one in drawn for i in one["unlabelled_ids"].tolist()
        ]

    whole, ids = samples([Part()])
    parted = samples([Part(0, 2, 2), Part(1, 2, 2)])
    assert torch.equal(parted[0], whole)
    assert parted[1] == ids == list(range(16, 28))


def test_what_comes_next_is_fetched_ahead(streamed, make_stage):
    pool, stage = streamed(), make_stage(NAME)
    first, second = Part(0, 2, 2), Part(1, 2, 2)
    for step, part, following in ((4, Part(), [20, 21, 22, 23]), (6, first, [26, 27]), (6, second, [28, 29])):
        index = stage.draw(step, part)["unlabelled"]
        assert list(pool._feeder._pending) == [tuple(index.tolist()), tuple(following)]
        pool.source(index)
        assert list(pool._feeder._pending) == [tuple(following)]


def test_parts_follow_each_other():
    assert Part().following() == (1, Part())
    assert Part(2, 6, 3).following() == (1, Part(0, 6, 3))
    assert Part(3, 6, 3).following() == (0, Part(4, 6, 3))
    assert Part(5, 6, 3).following() == (1, Part(3, 6, 3))


def test_ranks_read_shards_of_their_own(streamed, make_stage):
    seen = []
    for rank in range(2):
        pool, stage = streamed(rank, 2), make_stage(NAME)
        index = [stage.draw(step, Part(rank, 2))["unlabelled"] for step in (4, 5)]
        seen.append({one.numpy().tobytes() for i in index for one in pool.source(i)[0]})
        stage.draw(4, Part())  # as a look for parameters that are never used does
    assert seen[0].isdisjoint(seen[1])
    assert len(seen[0] | seen[1]) == 8
