"""``train --data SHARDS``: the same figures as from the files, unlabelled images streamed where it must be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qgssl_fast.cli.main import main


@pytest.fixture
def shards(dataset, tmp_path):
    root = dataset(train=6, unlabeled=12)
    url = str(tmp_path / "the shards")
    assert main(["shard", str(root), url, "--size", "[32, 32]", "--samples", "4"]) == 0
    return url


def test_train_from_shards(shards, tiny_config, tmp_path, metrics, capsys):
    words = ["train", "--data", shards, "--config", str(tiny_config), "--method", "PL-QW", "--preset", "cpu"]
    words += ["--quality.options", "{features: [4, 8]}"]
    assert main([*words, "--out", str(tmp_path / "streamed"), "--images.tier", "stream", "--images.buffer", "5"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "unlabelled ones are streamed through a buffer of 5 (as asked)" in said
    assert "6 train, 3 val, 3 test, 12 unlabeled; 32x32 px" in said
    found = metrics(tmp_path / "streamed")
    assert found["segmenter"]["PL-QW"]["best"]["n"] == 3
    splits = json.loads((tmp_path / "streamed" / "splits.json").read_text())
    assert splits["unlabeled"] == [{"shard": f"unlabeled-{k:06d}.tar"} for k in range(3)]
    assert len(splits["train"]) == 6


def test_sides_are_those_of_the_shards(shards, tmp_path, capsys):
    """They need not be said; what cannot be changed any more is refused, all at once."""
    words = ["train", "--data", shards, "--out", str(tmp_path / "out"), "--images.labelled", "2"]
    assert main([*words, "--images.channels", "1", "--images.volumes.patches", "2"]) != 0
    said = capsys.readouterr().err
    assert "images.size" not in said
    assert "images.channels: the shards hold 3, got 1" in said
    assert "images.labelled: settled when the shards were written" in said
    assert "images.volumes: settled when the shards were written" in said
    assert main([*words[:5], "--images.size", "[48, 48]"]) != 0
    assert "images.size: the shards hold (32, 32), got (48, 48)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_labelled_part_is_chosen_when_shards_are_written(dataset, tmp_path, capsys):
    words = ["shard", str(dataset(train=6, unlabeled=3)), str(tmp_path / "few"), "--size", "[32, 32]"]
    assert main([*words, "--labelled", "2", "--unlabelled", "5"]) == 0
    assert "train 1 (2 samples)" in (said := capsys.readouterr().out)
    assert "unlabeled 1 (5 samples)" in said


def test_check_reads_every_shard(shards, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["check", shards]) == 0
    assert "no faults; 6 train, 3 val, 3 test, 12 unlabeled" in capsys.readouterr().out
    first, second = (Path(shards) / f"unlabeled-{k:06d}.tar" for k in (0, 1))
    first.write_bytes(first.read_bytes()[:5000])
    content = bytearray(second.read_bytes())
    content[2000] ^= 1  # a pixel of the first image
    second.write_bytes(bytes(content))
    assert main(["check", shards]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "2 faults" in said
    assert "unreadable" in said
    assert "unlabeled-000001.tar │ samples are not those" in said
