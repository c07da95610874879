"""Shards: every sample once a pass, seeded, by rank, taken up at the exact sample, in bounded memory."""

from __future__ import annotations

import itertools

import fsspec
import pytest
import torch

from qgssl_fast.cli.main import main
from qgssl_fast.data import load_stores, read_dataset
from qgssl_fast.data.shards import ShardStream, write_shards
from qgssl_fast.errors import InputError


@pytest.fixture
def stores(tree):
    return load_stores(read_dataset(tree.whole(train=30).root), (8, 10))


@pytest.fixture
def url(stores, tmp_path):
    write_shards(stores, str(tmp_path / "shards"), samples=4)
    return str(tmp_path / "shards")


def names(stream, count):
    return [sample.name for sample in itertools.islice(stream, count)]


def test_every_sample_once_a_pass_in_an_order_of_its_own(stores, url):
    found = names(ShardStream(url, buffer=7), 60)
    assert sorted(found[:30]) == sorted(found[30:]) == sorted(stores["train"].names)
    assert found[:30] != found[30:]
    assert found[:30] != stores["train"].names
    assert names(ShardStream(url, buffer=7), 60) == found
    assert names(ShardStream(url, buffer=7, seed=1), 30) != found[:30]


def test_samples_are_those_of_the_store(stores, url):
    rows = {name: row for row, name in enumerate(stores["train"].names)}
    for sample in itertools.islice(ShardStream(url), 30):
        assert torch.equal(torch.from_numpy(sample.image), stores["train"].images[rows[sample.name]])
        assert torch.equal(torch.from_numpy(sample.mask), stores["train"].masks[rows[sample.name]])
    images, masks = next(ShardStream(url).batches(16))
    assert (images.shape, masks.shape) == ((16, 3, 8, 10), (16, 8, 10))
    assert next(ShardStream(url, "unlabeled").batches(3))[1] is None


@pytest.mark.parametrize("given", [0, 1, 5, 13, 29, 30, 31, 47])
def test_taken_up_at_the_exact_sample(url, given):
    whole = names(ShardStream(url, buffer=6), 75)
    first = ShardStream(url, buffer=6)
    assert names(first, given) == whole[:given]
    again = ShardStream(url, buffer=6, position=first.position)
    assert names(again, 75 - given) == whole[given:]


def test_ranks_share_the_shards(stores, url):
    parts = [names(ShardStream(url, buffer=5, rank=rank, world=3), n) for rank, n in ((0, 12), (1, 10), (2, 8))]
    counts = [len(set(part)) for part in parts]
    total = set().union(*map(set, parts))
    assert len(total) >= 28
    assert all(counts)
    shares = [ShardStream(url, rank=rank, world=3) for rank in range(3)]
    order = [{shard for shard, _ in share._plan(0) if shard is not None} for share in shares]
    assert sorted(itertools.chain(*order)) == list(range(8))


def test_memory_holds_the_buffer_and_a_shard(url):
    stream = ShardStream(url, buffer=5)
    assert len(names(stream, 60)) == 60
    assert stream.most_held <= 5 + 4  # of 30 samples in 8 shards


def test_object_storage_by_url(stores):
    url = "memory://bucket/shards"
    write_shards(stores, url, samples=8)
    assert len(set(names(ShardStream(url), 30))) == 30
    with pytest.raises(InputError, match="holds shards already"):
        write_shards(stores, url)
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


def test_what_is_refused(url, tmp_path):
    with pytest.raises(InputError, match=r"no readable index\.json"):
        ShardStream(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="no shards of 'trian'; there are train, val, test, unlabeled"):
        ShardStream(url, "trian")
    with pytest.raises(InputError, match="too few for 9 ranks"):
        ShardStream(url, rank=0, world=9)
    with pytest.raises(InputError, match="not a usable URL"):
        ShardStream("nosuch://bucket")
    file = tmp_path / "shards" / "train-000002.tar"
    file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(InputError, match=r"train-000002\.tar: (damaged shard|holds)"):
        names(ShardStream(url), 30)


def test_the_command(tree, tmp_path, capsys):
    tree.decathlon(splits={"train": ["c0", "c1", "c2"], "val": ["c3"], "test": ["c4", "c5"]})
    words = ["shard", str(tree.root), str(tmp_path / "out"), "--size", "[16, 16, 16]", "--samples", "2"]
    assert main(words) == 0
    assert "train 2 (3 samples), val 1 (1 samples)" in capsys.readouterr().out
    assert next(iter(ShardStream(str(tmp_path / "out")))).image.shape == (1, 16, 16, 16)
