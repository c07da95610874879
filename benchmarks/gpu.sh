#!/usr/bin/env bash
# Everything that a machine with a GPU can tell of this project, in one call and without a network:
#   benchmarks/gpu.sh OUT [PART...]
# Parts, all by default: machine build doctor tests sanitizer bench train. Each has its own time limit, and one that fails or runs out of
# time does not stop the rest. OUT gets few files: summary.json, tables.md, bench.json, logs.tar.gz (and train.tar.gz).
# In the environment:
#   WHEELS     folder of wheels to install from; without it, what is missing stays missing and is told
#   PYTHON     the Python to use (python3)
#   DATA       data folders for training runs, between colons
#   LIMIT      seconds for all parts together, those that are left are skipped (none)
#   LIMIT_x    seconds for the part x, for instance LIMIT_bench=300
#   KILL_AFTER seconds that a part has to end in when its time is over (10)
#   TRAIN      further options of the training runs
# Exit status: 0 all done; 1 a part failed or ran out of time; 2 none failed, but some could not be done (no GPU, no compute-sanitizer ...).
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
base=${PYTHON:-python3}
command -v "$base" >/dev/null || { echo "PYTHON: there is no $base"; exit 64; }

skip() { # a part that cannot be done here says why
  echo "$1" >"$work/why"
  exit 77
}
need_gpu() { "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || skip "torch is missing or sees no CUDA device"; }

part_machine() {
  "$base" --version; uname -a; nproc; free -g
  command -v nvidia-smi >/dev/null && nvidia-smi
  command -v nvcc >/dev/null && nvcc --version
  "$base" -m pip list 2>/dev/null
  need_gpu
}

# In an environment of its own that sees what is installed, also where PYTHON is of an environment itself, and holds nothing older that would
# hide it: wheels first, then the project by whatever compilers there are.
part_build() {
  "$base" -m venv --clear --without-pip "$out/venv" || return 1
  python=$out/venv/bin/python
  "$base" -c 'import sys; print(*(path for path in sys.path if path.endswith("-packages")), sep="\n")' \
    >"$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth" || return 1
  "$python" -c 'import pip' 2>/dev/null || "$python" -m ensurepip
  if [ -n "${WHEELS:-}" ]; then
    for wheel in "$WHEELS"/*.whl; do
      "$python" -m pip install --no-index --no-deps "$wheel" || echo "not installed: $wheel"
    done
  fi
  "$python" -c '
import pybind11, cmake, ninja, setuptools
assert int(setuptools.__version__.split(".")[0]) >= 77, f"setuptools {setuptools.__version__}"' ||
    echo "pybind11, cmake, ninja or setuptools of 77 or newer is missing; see WHEELS"
  PATH=$out/venv/bin:$(dirname "$("$base" -c 'import sys; print(sys.executable)')"):$PATH \
    "$python" -m pip install --no-build-isolation --no-deps --force-reinstall --verbose "$root" || return 1
  "$python" -c '
from qgssl_fast.kernels import native
for name in ("_C", "_cuda"):
    module, why_not = native.load(name)
    print(name, "is there" if module else why_not)'
}

part_doctor() { "$python" -m qgssl_fast doctor; }

part_tests() {
  need_gpu
  "$python" -c 'import pytest, hypothesis' || skip "pytest or hypothesis is missing"
  "$python" -m pytest -q -m gpu -p no:cacheprovider -c "$root/pyproject.toml" --rootdir "$root" "$root/tests" "$root/benchmarks" --benchmark-disable
}

part_sanitizer() {
  need_gpu
  local tool=compute-sanitizer status=0 kind
  command -v $tool >/dev/null || tool=/usr/local/cuda/bin/compute-sanitizer
  [ -x "$(command -v $tool)" ] || skip "compute-sanitizer is not here"
  for kind in memcheck racecheck; do
    echo "-- $kind"
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 $tool --tool $kind --error-exitcode 9 --kernel-regex kernel_substring=qg_ \
      "$python" "$root/benchmarks/gpu_small.py" || status=1
  done
  return $status
}

part_bench() {
  need_gpu
  rm -f "$out/bench.json"
  "$python" "$root/benchmarks/gpu_bench.py" --out "$out/bench.json" --seconds "$((seconds * 2 / 3))"
}

part_train() {
  need_gpu
  local folder status=0 number=0
  local -a folders=()
  IFS=: read -ra folders <<<"${DATA:-}"
  "$python" -m qgssl_fast train --out "$work/runs/phantoms" || status=1
  for folder in ${folders[@]+"${folders[@]}"}; do
    number=$((number + 1))
    # shellcheck disable=SC2086
    "$python" -m qgssl_fast train --data "$folder" --out "$work/runs/$number-$(basename "$folder")" ${TRAIN:-} || status=1
  done
  [ -n "${DATA:-}" ] || echo "no data folders were given (DATA): the phantoms only"
  (cd "$work/runs" && find . \( -name metrics.json -o -name log.jsonl -o -name config.yaml -o -name report.html \) -print0 |
    tar czf "$out/train.tar.gz" --null -T -) || status=1
  return $status
}

# One part, in a process of its own (see the end), and not among the sources, which have no compiled modules beside them.
if [ "${1:-}" = --part ]; then
  cd "$work/runs" || exit 64
  "part_$2"
  exit
fi

[ $# -ge 1 ] || { sed -n '2,17s/^# \{0,1\}//p' "$0"; exit 64; }
[ -z "${WHEELS:-}" ] || { WHEELS=$(cd "$WHEELS" && pwd) && export WHEELS; } || exit 64
absolute=()
IFS=: read -ra folders <<<"${DATA:-}"
for folder in ${folders[@]+"${folders[@]}"}; do absolute+=("$(cd "$folder" && pwd)") || exit 64; done
export DATA=$(IFS=:; echo "${absolute[*]-}")
out=$(mkdir -p "$1" && cd "$1" && pwd) || exit 64
shift
parts=("$@")
[ $# -gt 0 ] || parts=(machine build doctor tests sanitizer bench train)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/logs" "$work/runs"
: >"$work/parts.tsv"
declare -A limit=([machine]=60 [build]=400 [doctor]=120 [tests]=500 [sanitizer]=300 [bench]=540 [train]=1200)
note() {
  printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" >>"$work/parts.tsv"
  echo "== $1: $2 ($3 s) $4"
}

for part in "${parts[@]}"; do
  declare -F "part_$part" >/dev/null || { note "$part" failed 0 "there is no such part"; continue; }
  name=LIMIT_$part
  seconds=${!name:-${limit[$part]}}
  left=$((${LIMIT:-1000000} - SECONDS))
  if [ "$left" -le 5 ]; then
    note "$part" skipped 0 "no time was left of LIMIT=$LIMIT"
    continue
  fi
  [ "$seconds" -le "$left" ] || seconds=$left
  python=$base
  [ -x "$out/venv/bin/python" ] && python=$out/venv/bin/python
  rm -f "$work/why"
  start=$SECONDS
  export out work seconds python
  timeout -k "${KILL_AFTER:-10}" "$seconds" bash "$root/benchmarks/gpu.sh" --part "$part" >"$work/logs/$part.log" 2>&1
  status=$?
  took=$((SECONDS - start))
  case $status in
    0) note "$part" done $took "" ;;
    77) note "$part" skipped $took "$(cat "$work/why" 2>/dev/null)" ;;
    124 | 137) note "$part" "out of time" $took "its limit is $seconds s" ;;
    *)
      why=$(grep -aiE "error|failed" "$work/logs/$part.log" | tail -n 1)
      note "$part" failed $took "status $status: $(echo "${why:-$(tail -n 1 "$work/logs/$part.log")}" | tr '\t|' ' /' | cut -c1-300)"
      ;;
  esac
done

"$base" "$root/benchmarks/gpu_report.py" "$work/parts.tsv" "$out"
tar czf "$out/logs.tar.gz" -C "$work" logs parts.tsv
if grep -qE $'\t(failed|out of time)\t' "$work/parts.tsv"; then exit 1; fi
if grep -q $'\tskipped\t' "$work/parts.tsv"; then exit 2; fi
