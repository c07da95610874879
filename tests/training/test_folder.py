import pytest

from qgssl_fast.errors import InputError
from qgssl_fast.files import replacing, write_text
from qgssl_fast.training.config import Config
from qgssl_fast.training.folder import choose, open_run


def test_next_free_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(choose(Config())) == "runs/phantoms-001"
    (tmp_path / "runs" / "phantoms-001").mkdir(parents=True)
    assert str(choose(Config())) == "runs/phantoms-002"
    assert str(choose(Config(data="some/set"))) == "runs/set-001"
    assert str(choose(Config(out="x"))) == "x"


def test_other_settings_are_named(tmp_path):
    open_run(tmp_path / "a", Config()).close()
    open_run(tmp_path / "a", Config(threads=1)).close()
    changed = Config()
    changed.segmenter.lr = 0.5
    with pytest.raises(InputError, match=r"segmenter\.lr: there 0\.0001, now 0\.5"):
        open_run(tmp_path / "a", changed)


def test_second_process_is_refused(tmp_path):
    lock = open_run(tmp_path / "a", Config())
    with pytest.raises(InputError, match="another process is training"):
        open_run(tmp_path / "a", Config())
    lock.close()
    open_run(tmp_path / "a", Config()).close()


def test_foreign_folder_and_file(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="it is no run folder"):
        open_run(tmp_path, Config())
    with pytest.raises(InputError, match="wanted a folder, got the file"):
        open_run(tmp_path / "thesis.txt", Config())
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_nothing_half_written(tmp_path):
    path = write_text(tmp_path / "a.txt", "whole")

    def fail():
        with replacing(path) as beside:
            beside.write_text("ha")
            raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert path.read_text() == "whole"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
