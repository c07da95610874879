"""``qgssl-fast check``: a table of all faults, exit code 1, nothing opened twice, nothing written into the folder."""

import os
import zlib

import numpy as np
import pytest
from PIL import Image

from qgssl_fast.cli.main import main
from qgssl_fast.data import cache, checks


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("QGSSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "300")  # no line of the table is broken
    return tmp_path / "cache"


def check(capsys, root, *words):
    code = main(["check", str(root), *words])
    return code, " ".join(capsys.readouterr().out.split())


def test_a_sound_set(dataset, capsys, kept):
    root = dataset("ein Satz mit Ümlauten")
    before = sorted(root.rglob("*"))
    code, text = check(capsys, root)
    assert code == 0
    assert "no faults; 5 train, 3 val, 3 test, 4 unlabeled" in text
    assert sorted(root.rglob("*")) == before


def test_all_faults_at_once(dataset, capsys, kept):
    root = dataset()
    (root / "images" / "0.png").unlink()
    (root / "masks" / "1.png").write_bytes(b"no image")
    Image.new("L", (9, 9), 255).save(root / "masks" / "2.png")
    Image.new("L", (30, 40)).save(root / "masks" / "3.png")
    (root / "images" / "11.png").write_bytes((root / "images" / "5.png").read_bytes())
    code, text = check(capsys, root)
    assert code == 1
    for part in ("5 faults", "0.png: no such file", "unreadable", "is 9x9 pixels", "empty mask", "the splits leak"):
        assert part in text, (part, text)


def test_what_has_not_changed_is_not_opened_again(dataset, capsys, kept, monkeypatch):
    root = dataset()
    Image.new("L", (30, 40)).save(root / "masks" / "3.png")
    first = check(capsys, root)
    looked, original = [], checks.look
    monkeypatch.setattr(checks, "look", lambda *a: (looked.append(a[0].name), original(*a))[1])
    assert check(capsys, root) == first
    assert looked == []
    Image.new("L", (30, 40), 255).save(root / "masks" / "3.png")
    code, _ = check(capsys, root)
    assert (code, looked) == (0, ["3"])
    looked.clear()
    check(capsys, root, "--again", "true")
    assert len(looked) == 15


def test_a_cache_that_cannot_be(dataset, capsys, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QGSSL_CACHE", str(tmp_path / "file" / "x"))
    assert check(capsys, dataset())[0] == 0
    assert "cannot be used" in cache.FileCache().why_not


def test_content_is_known_by_size_and_time(tmp_path, kept):
    file = tmp_path / "a"
    file.write_bytes(b"one")
    store = cache.FileCache()
    first = store.digests([file])[file]
    assert store.digests([file])[file] == first
    times = file.stat().st_mtime_ns
    file.write_bytes(b"two")
    os.utime(file, ns=(times, times))
    assert store.digests([file])[file] == first, "what neither size nor time betrays"
    os.utime(file, ns=(times, times + 1))
    assert store.digests([file])[file] != first


def bomb(path, side):
    """A PNG of `side` x `side` zeros whose file is a thousandth of it."""

    def chunk(kind, content):
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    head = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    rows = zlib.compress(bytes(side + 1) * 100)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def test_bombs_links_and_read_only_folders(dataset, capsys, kept, tmp_path):
    root = dataset()
    bomb(root / "images" / "0.png", 60_000)
    outside = tmp_path / "outside.png"
    Image.fromarray(np.arange(1200, dtype=np.uint8).reshape(40, 30)).save(outside)
    (root / "images" / "1.png").unlink()
    (root / "images" / "1.png").symlink_to(outside)
    for path in (root, root / "images", root / "masks"):
        path.chmod(0o555)
    try:
        code, text = check(capsys, root)
    finally:
        for path in (root, root / "images", root / "masks"):
            path.chmod(0o755)
    assert code == 1
    assert "over the limit of 64,000,000" in text or "more pixels than the limit" in text
    assert "a link that leaves the data set's folder is refused" in text
    assert "2 faults" in text


def test_no_folder(capsys):
    assert main(["check", "nowhere"]) == 2
    assert "no such folder" in capsys.readouterr().err
