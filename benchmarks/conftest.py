"""What every benchmark tells and needs: the machine in each report, one thread, right results before any time."""

from __future__ import annotations

import pytest
import torch
from machine import describe

from qgssl_fast import backend


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info |= describe()
    machine_info["backends"] = [
        f"{row.backend} on {row.device}: {row.detail or row.reason}" for row in backend.describe()
    ]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["baseline", "avx2", "avx512"])
def isa(request):
    module = pytest.importorskip("qgssl_fast._C")
    if request.param not in module.isas():
        pytest.skip(f"this processor has no {request.param}")
    before = module.isa()
    module.set_isa(request.param)
    yield request.param
    module.set_isa(before)


@pytest.fixture
def per_second(benchmark):
    """per_second(run, count, want): times run(), which does `count` masks and must return `want`, else the test is red.

    The least time counts: what else the machine does only adds to it.
    """

    def time(run, count: int, want: torch.Tensor | None) -> None:
        got = run()
        if want is not None:
            assert torch.equal(torch.as_tensor(got).to(torch.uint8).reshape(want.shape).cpu(), want), "wrong: not timed"
        cuda = isinstance(got, torch.Tensor) and got.is_cuda

        def timed():
            run()
            if cuda:
                torch.cuda.synchronize()

        benchmark.pedantic(timed, warmup_rounds=2, rounds=60 if cuda else 40)
        if benchmark.stats is not None:
            benchmark.extra_info["masks_per_second"] = round(count / benchmark.stats.stats.min)

    return time
