"""Run by test_triton.py in a process of its own: compiles the Triton kernels for GPUs that need not be there."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from qgssl_fast.kernels.triton.morph import window_kernel
from qgssl_fast.kernels.triton.overlap import overlap_kernel

KERNELS = [
    (
        window_kernel,
        {"src": "*u8", "dst": "*u8", "pixels": "i32", "axis_length": "i32", "axis_step": "i32", "reach": "i32"},
        [
            {"ERODE": erode, "WIDE": wide, "BLOCK": 4096}
            for erode, wide in ((True, False), (False, False), (True, True))
        ],
    ),
    (
        overlap_kernel,
        {"a": "*u8", "b": "*u8", "counts": "*i32", "pixels": "i32", "classes": "i32"},
        [{"BINARY": binary, "BLOCK": 4096} for binary in (True, False)],
    ),
]
CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"


def compile_for(kernel, signature, constants, capability):
    names = kernel.arg_names
    source = ASTSource(
        fn=kernel,
        signature={**signature, **dict.fromkeys(constants, "constexpr")},
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name, kind in signature.items() if kind[0] == "*"},
    )
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 4})


for kernel, signature, variants in KERNELS:
    for constants in variants:
        for capability in (80, 90, 100):
            built = compile_for(kernel, signature, constants, capability)
            with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
                file.write(built.asm["cubin"])
                file.flush()
                command = [str(CUOBJDUMP), "--dump-resource-usage", file.name]
                usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            line = next(line for line in usage.splitlines() if "REG:" in line)
            assert " STACK:0 " in line, (kernel, constants, capability, line)
            assert " LOCAL:0 " in line, (kernel, constants, capability, line)
            print(kernel.__name__, constants, capability, line.strip())
