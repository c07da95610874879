"""The bench command: what is wrong gets no time, everything is written, and two runs can be compared."""

from __future__ import annotations

import csv
import dataclasses
import json

import pytest
import torch
from PIL import Image

from qgssl_fast.bench import case as cases
from qgssl_fast.bench import measure, report, scaling, suite
from qgssl_fast.bench.case import Case, Contender, Missing, Work, Wrong, anything, copy_limit, equal
from qgssl_fast.cli.main import main

MASKS = torch.ones(4, 8, 8, dtype=torch.uint8)


def contender(name, kind, result=MASKS, check=None):
    return Contender(name, kind, lambda: Work(lambda: result, 4, check or equal(MASKS)))


def missing():
    def make():
        cases.need("no_such_package_here")

    return Contender("absent", "peer", make)


def tiny(*contenders, name="tiny"):
    return Case(name, "toys", "ones, 8x8", "masks", 128, (*contenders, copy_limit(128, 4)))


RIGHT = contender("native", "ours")
PEER = contender("peer", "peer")


@pytest.fixture
def toys(monkeypatch):
    """Only these cases are known."""

    def know(*known):
        monkeypatch.setattr(suite, "CASES", known)

    know(tiny(RIGHT, PEER, missing()))
    return know


@pytest.fixture
def bench(tmp_path, capsys):
    def run(*words, out="out"):
        code = main(["bench", "--quick", "--out", str(tmp_path / out), *words])
        return code, capsys.readouterr(), tmp_path / out

    return run


def test_a_wrong_operation_is_not_timed():
    rows = measure.measure(tiny(contender("native", "ours", 1 - MASKS), PEER), 0.001)
    assert [(row.contender, row.p50) for row in rows] == [("native", None)]
    assert rows[0].why_not == "wrong: 256 of 256 pixels differ from the reference"
    assert rows[0].wrong


def test_a_wrong_peer_is_not_timed_and_the_rest_is():
    rows = measure.measure(tiny(RIGHT, contender("peer", "peer", 1 - MASKS), missing()), 0.001)
    timed = {row.contender: row.p50 is not None for row in rows}
    assert timed == {"native": True, "peer": False, "absent": False, "copy": True}
    assert "no_such_package_here is not installed" in next(row.why_not for row in rows if row.contender == "absent")


def failing(name, kind):
    def run():
        raise AttributeError("no function of that\nname")

    return Contender(name, kind, lambda: Work(run, 4, anything))


def test_what_fails_is_told():
    rows = {row.contender: row for row in measure.measure(tiny(RIGHT, failing("peer", "peer")), 0.001)}
    assert rows["peer"].why_not == "AttributeError: no function of that name"
    assert not rows["peer"].wrong
    assert rows["native"].p50 is not None
    rows = measure.measure(tiny(failing("native", "ours"), PEER), 0.001)
    assert [(row.contender, row.wrong) for row in rows] == [("native", True)]


def test_a_native_kernel_that_is_wrong_is_found(monkeypatch):
    from qgssl_fast.bench import morph

    right = morph.erode
    monkeypatch.setattr(morph, "erode", lambda masks, radius, backend: 1 - right(masks, radius, backend=backend))
    try:
        cases.serves("native")
    except Missing as why:
        pytest.skip(str(why))
    rows = measure.measure(morph.ERODE, 0.001)
    assert [(row.contender, row.p50, row.wrong) for row in rows] == [("native", None, True)]


def test_turns():
    order = []
    runs = {name: (lambda name=name: order.append(name)) for name in "ab"}
    clock = iter(range(10**6))
    found = measure.in_turns(runs, 0.0, fewest=3, timer=lambda: next(clock))
    assert {name: len(times) for name, times in found.items()} == {"a": 3, "b": 3}
    assert "".join(order[-6:]) == "ababab"


def test_percentiles_are_of_one_thing():
    (ours, *_) = measure.measure(tiny(RIGHT), 0.001)
    assert 0 < ours.p20 <= ours.p50 <= ours.p80 < 1e-3
    assert ours.per_second == 1 / ours.p50


def test_files(toys, bench):
    code, said, out = bench("--only", "tiny")
    assert code == 0
    assert "tiny" in said.out
    assert "absent" in said.out
    found = json.loads((out / "bench.json").read_text())
    assert {"device", "processor", "isa", "threads", "torch", "commit", "peers"} <= set(found["machine"])
    assert found["command"].startswith("qgssl-fast bench --quick")
    by_name = {row["contender"]: row for row in found["rows"]}
    assert by_name["peer"]["ratio"] == pytest.approx(by_name["peer"]["seconds_p50"] / by_name["native"]["seconds_p50"])
    share = by_name["copy"]["seconds_p50"] / by_name["native"]["seconds_p50"]
    assert by_name["native"]["share_of_limit"] == pytest.approx(share)
    with (out / "bench.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["contender"] for row in rows] == ["native", "peer", "absent", "copy"]
    assert rows[0]["threads"] == "1"
    assert rows[2]["seconds_p50"] == ""
    assert Image.open(out / "roofline.png").width > 600
    assert not (out / "scaling.png").exists()


def test_a_red_check_gives_1_and_no_figure(toys, bench):
    toys(tiny(contender("native", "ours", 1 - MASKS), PEER))
    code, said, out = bench()
    assert code == 1
    assert "wrong: 256 of 256" in said.out
    assert all(row["per_second"] is None for row in json.loads((out / "bench.json").read_text())["rows"])


def test_instructions_where_they_are_known(toys, bench, monkeypatch, tmp_path):
    monkeypatch.setattr(report, "instructions", lambda: {"avx2": {"tiny": 640.0}})
    monkeypatch.setattr(report, "isa", lambda: "avx2")
    _, _, out = bench()
    rows = {row["contender"]: row for row in json.loads((out / "bench.json").read_text())["rows"]}
    assert (rows["native"]["instructions"], rows["peer"]["instructions"]) == (640.0, None)
    wide = Image.open(out / "roofline.png").width
    monkeypatch.setattr(report, "isa", lambda: "avx512")
    _, _, out = bench()
    assert Image.open(out / "roofline.png").width < wide


def test_counted_instructions_are_of_cases():
    cases = {case.name: case for case in suite.CASES}
    for counts in report.instructions().values():
        for name, count in counts.items():
            assert 0.1 < count / cases[name].bytes < 100, name


def test_compare(toys, bench):
    _, _, before = bench(out="before")
    path = before / "bench.json"
    old = json.loads(path.read_text())
    old["machine"]["isa"] = "other"
    old["rows"].append({**old["rows"][0], "case": "gone"})
    for row in old["rows"]:
        if row["kind"] == "ours":
            row["per_second"] *= 1000
    path.write_text(json.dumps(old))
    code, said, _ = bench("--compare", str(path))
    assert code == 0
    assert "then and now" in said.out
    assert "isa: other then" in said.out
    assert "not measured now: gone" in said.out
    assert "0.00" in said.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--only", "tinny"], "no case or family 'tinny' (did you mean tiny?); families are toys"),
        (["--threads", "0"], "bench: threads must be 1 to"),
        (["--threads", "9999"], "got 9999"),
        (["--compare", "nowhere.json"], "nowhere.json: No such file"),
        (["--quik"], "unknown option --quik (did you mean --quick?)"),
    ],
)
def test_what_cannot_be(toys, bench, words, says):
    code, said, out = bench(*words)
    assert code == 2
    assert says in said.err
    assert not out.exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"rows": [{"case": "x"}], "machine": {}}', '{"rows": 3}'])
def test_compare_with_another_file(toys, bench, tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    code, said, out = bench("--compare", str(tmp_path / "x.json"))
    assert code == 2
    assert "is no bench.json of qgssl-fast bench" in said.err
    assert not out.exists()


def test_out_is_a_file(toys, bench, tmp_path):
    (tmp_path / "out").write_text("kept")
    code, said, out = bench()
    assert code == 2
    assert "out must be a folder" in said.err
    assert out.read_text() == "kept"


def small(monkeypatch):
    for name in ("BATCHES", "SIDES", "VOLUMES"):
        monkeypatch.setattr(scaling, name, (3, 17) if name == "BATCHES" else (16, 24))
    monkeypatch.setattr(scaling, "SIDE", 24)
    monkeypatch.setattr(scaling, "PIXELS", 4 * 24**2)


def test_scaling(toys, bench, monkeypatch):
    small(monkeypatch)
    monkeypatch.setattr("qgssl_fast.cli.bench.QUICK", (0.001, 3))
    monkeypatch.setattr(scaling, "axes", lambda quick, whole=scaling.axes: whole(False))
    threads = torch.get_num_threads()
    code, _, out = bench("--scaling")
    assert code == 0
    rows = json.loads((out / "bench.json").read_text())["scaling"]
    assert {row["axis"] for row in rows} == {"batch", "side", "volume"}
    assert {row["work"] for row in rows} == {"erode", "mix", "elastic", "bce_dice"}
    assert all(row["seconds"] > 0 for row in rows)
    assert [row["batch"] for row in rows if (row["axis"], row["work"], row["threads"]) == ("batch", "mix", 1)] == [
        3,
        17,
    ]
    assert (out / "scaling.png").is_file()
    assert torch.get_num_threads() == threads


def test_scaling_of_a_wrong_result_has_no_time(monkeypatch):
    small(monkeypatch)
    monkeypatch.setattr(scaling, "WORK", {"erode": lambda masks: scaling.Scaled(lambda: 1, lambda: "red")})
    rows = scaling.scaling(1, 0.001, False)
    assert all(row["seconds"] is None for row in rows)
    assert scaling.wrong(rows)[0] == "erode, batch 3: red"


def test_every_case_has_ours_and_a_limit_and_is_named_once():
    names = [case.name for case in suite.CASES]
    assert len(set(names)) == len(names)
    assert not {case.family for case in suite.CASES} & set(names)
    for case in suite.CASES:
        assert [one.kind for one in case.contenders].count("ours") == 1, case.name
        assert [one.kind for one in case.contenders].count("limit") == 1, case.name
    assert {"morph", "edge", "warp", "spots", "shape", "parts", "fill", "corrupt", "overlap", "losses", "augment",
            "store", "steps"} == {case.family for case in suite.CASES}  # fmt: skip


@pytest.mark.parametrize("name", ["erode", "dice", "affine", "row_convex_hull", "store_disk_ahead", "mse"])
def test_real_cases_are_right(name):
    (case,) = suite.select([name])
    quick = dataclasses.replace(case, contenders=tuple(c for c in case.contenders if c.name != "compiled"))
    rows = measure.measure(quick, 0.001, fewest=2)
    assert not [row.why_not for row in rows if row.wrong]
    assert next(row for row in rows if row.kind == "limit").p50 > 0


def test_a_result_of_another_shape_is_wrong():
    with pytest.raises(Wrong, match=r"\[1, 8, 8\], wanted \[4, 8, 8\]"):
        equal(MASKS)(MASKS[:1])
    anything(None)


def test_unknown_contender():
    with pytest.raises(ValueError, match="contenders of tiny: no such name 'natve'"):
        tiny(RIGHT).contender("natve")


def test_records_have_the_columns():
    result = suite.Result(tiny(RIGHT), tuple(measure.measure(tiny(RIGHT), 0.001)))
    assert all(tuple(record) == report.COLUMNS for record in report.records([result]))
