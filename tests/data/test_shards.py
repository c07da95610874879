"""Shards: every sample once a pass, seeded, by rank, taken up at the exact sample, in bounded memory."""

from __future__ import annotations

import itertools
import json

import fsspec
import pytest
import torch

from qgssl_fast.cli.main import main
from qgssl_fast.data import Placement, load_shards, load_stores, read_dataset
from qgssl_fast.data.order import StreamOrder
from qgssl_fast.data.shards import read_index, write_shards
from qgssl_fast.data.stream import ShardStream
from qgssl_fast.errors import InputError


@pytest.fixture
def stores(tree):
    return load_stores(read_dataset(tree.whole(train=30).root), (8, 10))


@pytest.fixture
def url(stores, tmp_path):
    write_shards(stores, str(tmp_path / "shards"), samples=4)
    return str(tmp_path / "shards")


def stream(url, split="train", **options):
    return ShardStream(read_index(url)[split], **options)


def names(stream, count, first=0):
    return [sample.name for sample in itertools.islice(stream.samples(first), count)]


def test_every_sample_once_a_pass_in_an_order_of_its_own(stores, url):
    found = names(stream(url, buffer=7), 60)
    assert sorted(found[:30]) == sorted(found[30:]) == sorted(stores["train"].names)
    assert found[:30] != found[30:]
    assert found[:30] != stores["train"].names
    assert names(stream(url, buffer=7), 60) == found
    assert names(stream(url, buffer=7, seed=1), 30) != found[:30]


def test_samples_are_those_of_the_store(stores, url):
    rows = {name: row for row, name in enumerate(stores["train"].names)}
    for sample in itertools.islice(stream(url).samples(), 30):
        assert torch.equal(torch.from_numpy(sample.image), stores["train"].images[rows[sample.name]])
        assert torch.equal(torch.from_numpy(sample.mask), stores["train"].masks[rows[sample.name]])
    assert next(stream(url, "unlabeled").samples()).mask is None
    (images,) = stream(url, buffer=7).gather(torch.arange(3, 8))
    assert torch.equal(images, stores["train"].images[[rows[name] for name in names(stream(url, buffer=7), 5, 3)]])


@pytest.mark.parametrize("given", [0, 1, 5, 13, 29, 30, 31, 47])
def test_taken_up_at_the_exact_sample(url, given):
    whole = names(stream(url, buffer=6), 75)
    assert names(stream(url, buffer=6), 75 - given, given) == whole[given:]
    again = stream(url, buffer=6)
    names(again, given)
    assert names(again, 20, 3) == whole[3:23]  # back, and on
    assert names(again, 10, 60) == whole[60:70]


def test_each_shard_is_read_once_a_pass(url, monkeypatch):
    one, read = stream(url, buffer=6), []
    plain = type(one.shards).read
    monkeypatch.setattr(type(one.shards), "read", lambda self, number: read.append(number) or plain(self, number))
    names(one, 90)
    one._reader.shutdown()
    assert [sorted(read[k : k + 8]) for k in (0, 8, 16)] == [list(range(8))] * 3
    assert len(read) == 25  # and the first of the next pass ahead


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_shards(url, world):
    """Within a pass no two ranks meet a sample; their steps are parts of one step with ids of its own."""
    lanes = [stream(url, buffer=5, rank=rank, world=world) for rank in range(world)]
    shards = [[shard for _, shard in lane.plan(4)[0]] for lane in lanes]
    assert sorted(itertools.chain(*shards)) == list(range(8))
    parts = [names(lane, len(lane.plan(0)[1])) for lane in lanes]
    assert len(set().union(*map(set, parts))) == sum(map(len, parts)) == 30
    orders = [StreamOrder(rank, world) for rank in range(world)]
    size = 4 * world
    for step in (0, 7):
        found = [order.batch(step, size, slice(4 * rank, 4 * rank + 4)) for rank, order in enumerate(orders)]
        assert torch.cat([ids for _, ids in found]).tolist() == list(range(step * size, step * size + size))
        assert all(index.tolist() == list(range(4 * step, 4 * step + 4)) for index, _ in found)
        second = orders[1].batch(step, size, slice(6, 8))
        assert torch.equal(second[0], found[1][0][2:])
        assert torch.equal(second[1], found[1][1][2:])


def test_passes_of_a_rank_that_differ_in_length(url):
    lane = stream(url, buffer=3, rank=1, world=3)
    lengths = [len(lane.plan(epoch)[1]) for epoch in range(12)]
    assert len(set(lengths)) > 1
    start = sum(lengths[:9])
    assert lane._place(start) == (9, 0)
    assert lane._place(start - 1) == (8, lengths[8] - 1)
    assert names(stream(url, buffer=3, rank=1, world=3), 40)[25:] == names(lane, 15, 25)


def test_memory_holds_the_buffer_and_a_shard(url):
    one = stream(url, buffer=5)
    assert len(names(one, 60)) == 60
    assert one.most_held <= 5 + 4  # of 30 samples in 8 shards


def test_object_storage_by_url(stores):
    url = "memory://bucket/shards"
    write_shards(stores, url, samples=8)
    assert len(set(names(stream(url), 30))) == 30
    with pytest.raises(InputError, match="holds shards already"):
        write_shards(stores, url)
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


def test_splits_that_fit_are_held(stores, url):
    found = load_shards(url)
    assert list(found) == ["train", "val", "test", "unlabeled"]
    for split, store in stores.items():
        assert torch.equal(found[split].images, store.images)
        assert found[split].names == store.names
        assert found[split].conventions == store.conventions
        assert found[split].masks is None if store.masks is None else torch.equal(found[split].masks, store.masks)
    assert "images lie in tier device" in found["train"].notes[0]


def test_what_does_not_fit_is_streamed(tree, tmp_path):
    """More shards than the memory budget admits: 40 unlabelled images, of which a buffer of 3 and three shards fit."""
    tree.whole(train=3).csv("unlabeled.csv", [tree.image(f"u/{i}.png") for i in range(40)], "image_path")
    plain, url = load_stores(read_dataset(tree.root), (8, 10)), str(tmp_path / "shards")
    write_shards(plain, url, samples=2)
    budget = 5 * (240 + 10) + (3 + 3 * 2) * 240
    assert budget < sum(map(len, plain.values())) * 240 / 2
    found = load_shards(url, placement=Placement(budget_gb=budget / 1e9), buffer=3)
    pool = found["unlabeled"]
    assert (pool.tier, len(pool), len(pool.images), pool.fed) == ("stream", 40, 0, True)
    assert "unlabelled ones are streamed through a buffer of 3 (0.00 GB, 0.00 GB allowed)" in pool.notes[0]
    assert torch.equal(found["train"].images, plain["train"].images)
    rows, got, order = {name: k for k, name in enumerate(plain["unlabeled"].names)}, [], pool.order(0)
    for step in range(20):
        index, ids = order.batch(step, 4)
        pool.prefetch(index)
        pool.prefetch(order.batch(step + 1, 4)[0])
        images, labels, at = pool.source(index)
        assert labels is at is None
        assert ids.tolist() == list(range(4 * step, 4 * step + 4))
        got.append(images)
    want = names(ShardStream(read_index(url)["unlabeled"], buffer=3), 80)
    assert torch.equal(torch.cat(got), plain["unlabeled"].images[[rows[name] for name in want]])
    assert pool.stream.most_held <= 3 + 2
    with pytest.raises(InputError, match=r"labelled images take .* a buffer of 3 .* --labelled keeps"):
        load_shards(url, placement=Placement(budget_gb=(budget - 1) / 1e9), buffer=3)
    assert load_shards(url, placement=Placement("stream"))["unlabeled"].tier == "stream"


def test_what_is_refused(url, tmp_path):
    with pytest.raises(InputError, match=r"no readable index\.json"):
        read_index(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="too few for 9 ranks"):
        stream(url, rank=0, world=9)
    with pytest.raises(InputError, match="not a usable URL"):
        read_index("nosuch://bucket")
    with pytest.raises(InputError, match="tier disk is for files"):
        load_shards(url, placement=Placement("disk"))
    with pytest.raises(InputError, match="tier stream needs shards"):
        Placement("stream").choose(1, torch.device("cpu"), True)
    index = json.loads((tmp_path / "shards" / "index.json").read_text())
    for change, said in (
        ({"dtype": "object"}, "images of object"), ({"image": [3, 8, 11]}, "not alike"),
        ({"masks": False}, "odd: train"),
        ({"shards": [{"name": "../x.tar", "count": 4, "digest": ""}]}, "names of files in this"),
        ({"shards": [{"name": "x.tar", "count": 4}]}, "does not say 'digest'"),
    ):  # fmt: skip
        (tmp_path / "shards" / "index.json").write_text(json.dumps(index | {"train": index["train"] | change}))
        with pytest.raises(InputError, match=said):
            load_shards(url)
    for split in index:
        index[split]["image"] = [1, 8, 10]
    (tmp_path / "shards" / "index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"a0: holds .*\(3, 8, 10\).* index.json says .*\(1, 8, 10\)"):
        load_shards(url)


def test_whatever_storage_raises_is_told_with_the_shard(url, monkeypatch):
    class Broken(Exception):
        pass

    def fail(*args):
        raise Broken("connection lost")

    one = stream(url)
    monkeypatch.setattr(type(one.shards.files), "open", fail)
    with pytest.raises(InputError, match=r"train-\d+\.tar: unreadable \(connection lost\)"):
        names(one, 1)
    with pytest.raises(InputError, match=r"no readable index\.json \(connection lost\)"):
        read_index(url)


@pytest.mark.parametrize("keep", [700, 5000])
def test_a_damaged_shard_is_named(url, tmp_path, keep):
    file = tmp_path / "shards" / "train-000002.tar"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"train-000002\.tar: (unreadable|holds)"):
        names(stream(url), 30)
    with pytest.raises(InputError, match=r"train-000002\.tar: (unreadable|holds)"):
        load_shards(url)


def test_the_command(tree, tmp_path, capsys):
    tree.decathlon(splits={"train": ["c0", "c1", "c2"], "val": ["c3"], "test": ["c4", "c5"]})
    words = ["shard", str(tree.root), str(tmp_path / "out"), "--size", "[16, 16, 16]", "--samples", "2"]
    assert main(words) == 0
    assert "train 2 (3 samples), val 1 (1 samples)" in capsys.readouterr().out
    assert next(stream(str(tmp_path / "out")).samples()).image.shape == (1, 16, 16, 16)
