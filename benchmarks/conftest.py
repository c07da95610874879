"""What every benchmark tells and needs: the machine in each report, one thread, right results before any time."""

from __future__ import annotations

import time as clock

import pytest
import torch
from machine import describe

from qgssl_fast import backend
from qgssl_fast.bench.case import Case, Missing, Work
from qgssl_fast.bench.measure import keep_memory
from qgssl_fast.kernels import native


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info |= describe()
    machine_info["backends"] = [
        f"{row.backend} on {row.device}: {row.detail or row.reason}" for row in backend.describe()
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    try:
        return (yield)
    except Missing as missing:
        pytest.skip(str(missing))


def pytest_generate_tests(metafunc):
    """A test of `contender` is made for each contender of the module's CASES."""
    if "contender" in metafunc.fixturenames and "case" in metafunc.fixturenames and hasattr(metafunc.module, "CASES"):
        found = [(case, one) for case in metafunc.module.CASES for one in case.contenders]
        metafunc.parametrize(("case", "contender"), found, ids=[f"{case.name}-{one.name}" for case, one in found])


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    keep_memory()
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["baseline", "avx2", "avx512"])
def isa(request):
    """Each instruction set that the C++ kernels are built for and this processor has."""
    if request.param not in pytest.importorskip("qgssl_fast._C").isas():
        pytest.skip(f"this processor has no {request.param}")
    with native.using_isa(request.param):
        yield request.param


@pytest.fixture
def timed(benchmark):
    """timed(case, work): checks the result, which raises where it is wrong, then times it."""

    def time(case: Case, work: Work) -> None:
        benchmark.group = case.title
        work.check(work.run())
        rounds(benchmark, work)

    return time


def rounds(benchmark, work: Work, most: float = 1.0) -> None:
    """The median of as many rounds as `most` seconds hold, 3 to 60."""
    began = clock.perf_counter()
    work.run()
    count = min(max(int(most / (clock.perf_counter() - began)), 3), 60)
    benchmark.pedantic(work.run, warmup_rounds=1, rounds=count)
    if benchmark.stats is not None:
        benchmark.extra_info["masks_per_second"] = round(work.count / benchmark.stats.stats.median, 1)


@pytest.fixture
def per_second(benchmark):
    """per_second(run, count, want): times run(), which does `count` masks and must return `want`, else the test is red.

    The median of as many rounds as three seconds hold, 3 to 60.
    """

    def time(run, count: int, want: torch.Tensor | None) -> None:
        run()
        began = clock.perf_counter()
        got = run()
        rounds = min(max(int(3 / (clock.perf_counter() - began)), 3), 60)
        if want is not None:
            assert torch.equal(torch.as_tensor(got).to(torch.uint8).reshape(want.shape).cpu(), want), "wrong: not timed"
        cuda = isinstance(got, torch.Tensor) and got.is_cuda

        def timed():
            run()
            if cuda:
                torch.cuda.synchronize()

        benchmark.pedantic(timed, warmup_rounds=1, rounds=rounds)
        if benchmark.stats is not None:
            benchmark.extra_info["masks_per_second"] = round(count / benchmark.stats.stats.median, 1)

    return time
