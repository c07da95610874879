"""Run by test_triton.py in a process of its own: compiles the Triton kernels for GPUs that need not be there."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from qgssl_fast.kernels.triton.augment import _BLOCK, look_kernel, move_kernel
from qgssl_fast.kernels.triton.losses import _BLOCKS, block_of, loss_kernel, warps_of
from qgssl_fast.kernels.triton.morph import window_kernel
from qgssl_fast.kernels.triton.overlap import overlap_kernel
from qgssl_fast.kernels.triton.resample import affine_kernel, elastic_kernel, nodes_kernel
from qgssl_fast.kernels.triton.soft_dice import dice_kernel


def numbers(*names: str, kind: str = "i32") -> dict[str, str]:
    return dict.fromkeys(names, kind)


AXES = ("sample", "class", "pixel", "line", "plane")


def steps(*names: str) -> dict[str, str]:
    return numbers(*(f"{name}_{axis}" for name in names for axis in AXES))


def losses(
    loss: int, form: int, rows: int, weighted: bool, forward: bool, gradient: bool, lines: bool = False
) -> dict[str, object]:
    """The constants of loss_kernel; `rows` is 1 for a single logit."""
    switches = {"LOSS": loss, "FORM": form, "BINARY": rows == 1, "WEIGHTED": weighted, "IGNORES": False, "LINES": lines}
    sizes = {"ROWS": rows, "BLOCK": block_of(rows), "BLOCKS": _BLOCKS}
    return {**switches, "LOSS_WANTED": forward, "GRAD_WANTED": gradient, **sizes}


SIDES = ("width", "height", "depth")
LATTICE = (*SIDES, "across", "plane", "count", "spacing_x", "spacing_y", "spacing_z", "gain_x", "gain_y", "gain_z")
# Registers a thread at most, and bytes of shared memory a block.
MOST = {
    "window_kernel": (176, 0),
    "overlap_kernel": (192, 1024),
    "affine_kernel": (128, 0),
    "nodes_kernel": (64, 0),
    "elastic_kernel": (160, 0),
    "move_kernel": (160, 0),
    "look_kernel": (160, 0),
}
KERNELS = [
    (
        loss_kernel,
        {
            "z_ptr": "*fp32",
            "t_ptr": "*u8",
            "v_ptr": "*fp32",
            "slopes_ptr": "*fp32",
            "out_ptr": "*fp32",
            "totals_ptr": "*fp32",
            **steps("z", "t"),
            **numbers("v_sample", "v_pixel", "v_line", "v_plane"),
            **steps("out"),
            **numbers("pixels", "width", "height", "classes", "ignored"),
        },
        [
            losses(0, 0, rows, weighted, forward, not forward)
            for rows in (1, 4, 16, 32, 256)
            for weighted in (False, True)
            for forward in (True, False)
        ]
        + [losses(0, 0, rows, True, forward, not forward, True) for rows in (1, 4, 16) for forward in (True, False)],
    ),
    (
        loss_kernel,
        {
            "z_ptr": "*fp16",
            "t_ptr": "*fp16",
            "v_ptr": "*fp32",
            "slopes_ptr": "*fp32",
            "out_ptr": "*fp16",
            "totals_ptr": "*fp32",
            **steps("z", "t"),
            **numbers("v_sample", "v_pixel", "v_line", "v_plane"),
            **steps("out"),
            **numbers("pixels", "width", "height", "classes", "ignored"),
        },
        [losses(loss, form, rows, False, True, True) for rows in (1, 4) for loss in (1, 2) for form in (1, 2)],
    ),
    (
        dice_kernel,
        {
            "p_ptr": "*fp32",
            "t_ptr": "*u8",
            "slopes_ptr": "*fp32",
            "out_ptr": "*fp32",
            "totals_ptr": "*fp32",
            **steps("p", "t", "out"),
            **numbers("pixels", "width", "height", "classes"),
        },
        [
            {"LINES": lines, "LABELS": True, "GRADIENT": gradient, "OF_TARGET": False, "BLOCK": 1024, "BLOCKS": 16}
            for gradient in (False, True)
            for lines in (False, True)
        ],
    ),
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
    (
        affine_kernel,
        {"src": "*u8", "dst": "*u8", "maps": "*i64", **numbers(*SIDES, "blocks")},
        [
            {"TRUNCATE": truncate, "WIDE": wide, "BLOCK": 1024}
            for truncate, wide in ((False, False), (True, False), (True, True))
        ],
    ),
    (
        nodes_kernel,
        {"ids": "*i64", "nodes": "*i32", "count": "i32", **numbers("key_low", "key_high", kind="i64"), "blocks": "i32"},
        [{"AXES": axes, "BLOCK": 1024} for axes in (2, 3)],
    ),
    (
        elastic_kernel,
        {
            "src": "*u8",
            "dst": "*u8",
            **numbers("nodes", "along_x", "along_y", "along_z", kind="*i32"),
            **numbers(*LATTICE, "blocks"),
        },
        [{"AXES": axes, "WIDE": wide, "BLOCK": 256} for axes, wide in ((2, False), (3, False), (3, True))],
    ),
    *(
        (
            move_kernel,
            {
                "images": stored,
                "masks": "*u8",
                "index": "*i64",
                "maps": "*i64",
                "out": "*fp32",
                "out_masks": "*u8",
                **numbers("channels", "depth", "height", "width", "blocks", "planes"),
                "scale": "fp32",
            },
            [{"AXES": axes, "MASKS": kind, "BLOCK": _BLOCK[axes]} for axes, kind in wanted],
        )
        for stored, wanted in (("*u8", ((2, 0), (2, 1), (2, 2), (3, 2))), ("*fp16", ((3, 1),)))
    ),
    (
        look_kernel,
        {
            "images": "*fp32",
            "out": "*bf16",
            **numbers("matrices", "exponents", "deviations", kind="*fp32"),
            "ids": "*i64",
            "scales": "*fp32",
            **numbers("channels", "pixels", "blocks", "channel_step", "pixel_step", "stream"),
            **numbers("key_low", "key_high", kind="i64"),
        },
        [
            {"COLOR": color, "GAMMA": gamma, "NOISE": noise, "SCALED": True, "BLOCK": 256}
            for color, gamma, noise in ((True, True, True), (False, False, True), (True, False, False))
        ],
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
    return triton.compile(
        source,
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": warps_of(constants.get("ROWS", 2), constants.get("LINES", False))},
    )


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
            registers, shared = MOST.get(kernel.__name__, (255, 48 << 10))
            assert int(re.search(r"REG:(\d+)", line)[1]) <= registers, (kernel, constants, capability, line)
            assert built.metadata.shared <= shared, (kernel, constants, capability, built.metadata.shared)
            print(kernel.__name__, constants, capability, line.strip())
