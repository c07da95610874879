"""benchmarks/gpu.sh: parts beside each other, time limits, what it leaves, its exit status; with a made-up Python.

The made-up Python knows what the script asks for by its arguments, and fails, sleeps or is missing something as told.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.sh"
BENCH = {
    "machine": {"device": "none"},
    "limits": {"copy_bytes_per_second": 4e12, "bf16_flops": 7e14},
    "cases": [
        {"group": "mix, 224x224", "name": "paper", "count": 9, "masks_per_second": 6e6, "bytes_per_second": 6e11,
         "seconds": 1e-3},
        {"group": "mix, 224x224", "name": "a peer", "count": 9, "skipped": "ImportError: it is not here"},
    ],
    "share": [{"batch": 64, "step_seconds": 2e-3, "corruption_seconds": 1e-4, "share": 0.05}],
}  # fmt: skip
PYTHON = f"""#!/bin/bash
case "$*" in
  *gpu_report.py*) exec {sys.executable} "$@" ;;
  --version) echo Python 3 ;;
  *torch.cuda.is_available*) exit ${{NO_GPU:-0}} ;;
  *"import pytest, hypothesis"*) exit ${{NO_PYTEST:-0}} ;;
  "-m venv"*) mkdir -p "${{@: -1}}/bin" && ln -s "$(realpath "$0")" "${{@: -1}}/bin/python" ;;
  *purelib*) dirname "$0" ;;
  *"pip install"*) pwd >"$ASKED/built-in"; echo "ERROR: no compiler | at all"; echo done; exit ${{BUILD:-0}} ;;
  "-m pytest"*) pwd >"$ASKED/tested-in"; exit ${{TESTS:-0}} ;;
  *gpu_small.py*) echo checked ;;
  *gpu_bench.py*)
    while [ $# -gt 0 ]; do [ "$1" = --out ] && cp "$ASKED/bench.json" "$2"; shift; done
    trap '' TERM; sleep "${{BENCH:-0}}" ;;
  "-m qgssl_fast train"*)
    echo "$@" >>"$ASKED/trained"
    while [ $# -gt 0 ]; do [ "$1" = --out ] && mkdir -p "$2" && echo '{{}}' >"$2/metrics.json"; shift; done ;;
esac
"""
PARTS = ["machine", "build", "doctor", "tests", "sanitizer", "bench", "train"]
pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("bash", "timeout", "tar")), reason="bash, timeout or tar is missing"
)


@pytest.fixture
def gpu_sh(tmp_path):
    """gpu_sh(*parts, **environment) -> exit status, {part: (result, note)}, folder of results, of what it did."""
    tools, asked = tmp_path / "tools", tmp_path / "asked"
    for folder in (tools, asked, tmp_path / "data" / "ph2"):
        folder.mkdir(parents=True)
    for name, text in (("python", PYTHON), ("compute-sanitizer", "#!/bin/bash\n${SANITIZED:-true}\n")):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    (asked / "bench.json").write_text(json.dumps(BENCH))

    def run(*parts: str, **environment: str):
        path = f"{tools}{os.pathsep}{os.environ['PATH']}"
        given = os.environ | {"PATH": path, "PYTHON": str(tools / "python"), "ASKED": str(asked)} | environment
        done = subprocess.run(
            ["bash", str(SCRIPT), "out", *parts], cwd=tmp_path, env=given, capture_output=True, text=True, timeout=60
        )
        out = tmp_path / "out"
        found = json.loads((out / "summary.json").read_text())["parts"] if out.exists() else []
        return done.returncode, {row["part"]: (row["result"], row["note"]) for row in found}, out, asked

    return run


def names_in(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        return archive.getnames()


def test_all_parts_and_what_they_leave(gpu_sh, tmp_path):
    status, parts, out, asked = gpu_sh(DATA="data/ph2:data/ph2", TRAIN="--seed 3")
    assert parts == dict.fromkeys(PARTS, ("done", ""))
    assert status == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["limits"] == BENCH["limits"]
    aims = {aim["what"]: aim["reached"] for aim in summary["aims"]}
    assert aims["mix, 224x224"]
    assert not aims["share"]
    tables = (out / "tables.md").read_text()
    assert "| paper | 6,000,000 | 0.15 | 1,000.0 |" in tables
    assert "ImportError: it is not here" in tables
    assert set(names_in(out / "logs.tar.gz")) >= {f"logs/{part}.log" for part in PARTS}
    trained = names_in(out / "train.tar.gz")
    assert sum(name.endswith("metrics.json") for name in trained) == 3  # phantoms, and two folders of one name
    lines = (asked / "trained").read_text().splitlines()
    assert lines[1].count(f"--data {tmp_path}/data/ph2 ") == lines[1].count("--seed 3") == 1
    # The sources lack what was built: nothing may be imported from them.
    for name in ("built-in", "tested-in"):
        assert not Path((asked / name).read_text().strip()).is_relative_to(SCRIPT.parents[1])


def test_what_fails_or_takes_too_long_stops_no_other(gpu_sh):
    status, parts, out, _ = gpu_sh(BUILD="3", TESTS="1", BENCH="30", LIMIT_bench="1", SANITIZED="false", KILL_AFTER="1")
    assert status == 1
    assert parts["build"] == ("failed", "status 1: ERROR: no compiler / at all")
    assert parts["tests"][0] == parts["sanitizer"][0] == "failed"
    assert parts["bench"] == ("out of time", "its limit is 1 s")
    assert [parts[name][0] for name in ("machine", "doctor", "train")] == ["done"] * 3
    assert (out / "bench.json").is_file()  # what it had by then
    assert "6,000,000" in (out / "tables.md").read_text()


def test_what_cannot_be_done_here_is_told(gpu_sh):
    status, parts, _, asked = gpu_sh("tests", "train", "bench", NO_GPU="1")
    assert status == 2
    assert parts == dict.fromkeys(("tests", "train", "bench"), ("skipped", "torch is missing or sees no CUDA device"))
    assert not (asked / "trained").exists()


def test_time_for_all(gpu_sh):
    status, parts, *_ = gpu_sh("tests", "train", LIMIT="4")
    assert status == 2
    assert parts["train"] == ("skipped", "no time was left of LIMIT=4")


def test_parts_by_name(gpu_sh):
    status, parts, out, asked = gpu_sh("tests", "dance")
    assert status == 1
    assert parts == {"tests": ("done", ""), "dance": ("failed", "there is no such part")}
    assert not (out / "venv").exists()
    assert not (asked / "trained").exists()


@pytest.mark.parametrize("name", ["WHEELS", "DATA", "PYTHON"])
def test_folders_that_are_not_there_are_told_at_once(gpu_sh, name):
    status, parts, *_ = gpu_sh(**{name: "nowhere"})
    assert status == 64
    assert parts == {}
