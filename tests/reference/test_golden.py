"""The bytes that each row gives: a change of any definition shows here, and every machine must agree.

After a change that is meant, print(found) gives the new table.
"""

import zlib

import pytest
import torch

import qgssl_fast as qf
from qgssl_fast.corruption import MaskBank

SUMS: dict[str, dict[str, int]] = {
    "paper": {
        "erosion_5": 0x4501CC07,
        "erosion_7": 0xD4B45CED,
        "erosion_9": 0x622DAC0E,
        "dilation_5": 0xD867D00E,
        "dilation_7": 0xF4D7126A,
        "dilation_9": 0x122A652A,
        "opening_5": 0x6161864B,
        "closing_5": 0xB0BFC1F0,
        "ellipse": 0xFB5A3EF2,
        "polygon_3": 0xDC3CF385,
        "polygon_5": 0x1081E3A6,
        "polygon_8": 0x4DFC5388,
        "convex_hull": 0x9BBB11A7,
        "bounding_box": 0xCFB73D20,
        "jagged_3": 0x010E7986,
        "jagged_5": 0x79B647AB,
        "smooth_11": 0x15A8C723,
        "smooth_15": 0xE0F70683,
        "elastic_light": 0x1E1F0276,
        "elastic_heavy": 0x5E271D09,
        "grid_light": 0xABD7E382,
        "grid_heavy": 0xAF6D43B1,
        "holes_small": 0x033974BB,
        "holes_large": 0x614BAB99,
        "islands_small": 0x0A3D7236,
        "holes_and_islands": 0x6E5E18C9,
        "largest_only": 0x304F05CE,
        "drop_component": 0x8AD53A23,
        "rect_dropout": 0xD3B8CAC0,
        "shift_small": 0x45FFF551,
        "shift_medium": 0x29F3EA50,
        "shift_large": 0x7B30C2FB,
        "scale_down": 0x7440EB8B,
        "scale_up": 0xDC5FECE3,
        "rotate_small": 0xA48E8F7A,
        "rotate_large": 0x45663512,
        "random_affine": 0xA066E252,
        "gaussian_blob": 0x61123E57,
        "gaussian_blob_large": 0x61123E57,
        "circular_blob": 0xD3BDB47C,
        "erosion_11": 0x0FAA88D2,
        "dilation_11": 0x7B04B8BA,
        "shift_very_large": 0x711E91BE,
        "scale_very_small": 0xC7F56947,
        "scale_very_large": 0x8CBC0282,
        "grid_very_heavy": 0x1DFB0AD2,
        "holes_many": 0xEB18AF56,
        "invert": 0x7DAB0EE3,
        "empty": 0xE2D2563E,
        "full": 0x2FC6992D,
        "random_50": 0x5E10D10E,
        "cross_image": 0xB2ACA89C,
        "weak": 0xE2162C53,
        "mix": 0x68A4DB1C,
    },
    "default": {
        "erosion_5": 0x4501CC07,
        "erosion_7": 0xD4B45CED,
        "erosion_9": 0x622DAC0E,
        "dilation_5": 0xD867D00E,
        "dilation_7": 0xF4D7126A,
        "dilation_9": 0x122A652A,
        "opening_5": 0x6161864B,
        "closing_5": 0xB0BFC1F0,
        "ellipse": 0xFB5A3EF2,
        "polygon_3": 0xDC3CF385,
        "polygon_5": 0x1081E3A6,
        "polygon_8": 0x4DFC5388,
        "convex_hull": 0x9BBB11A7,
        "bounding_box": 0xCFB73D20,
        "jagged_3": 0x010E7986,
        "jagged_5": 0x79B647AB,
        "smooth_11": 0x15A8C723,
        "smooth_15": 0xE0F70683,
        "elastic_light": 0x1E1F0276,
        "elastic_heavy": 0x5E271D09,
        "grid_light": 0xABD7E382,
        "grid_heavy": 0xAF6D43B1,
        "holes_small": 0x033974BB,
        "holes_large": 0x614BAB99,
        "islands_small": 0x0A3D7236,
        "holes_and_islands": 0x6E5E18C9,
        "largest_only": 0x304F05CE,
        "drop_component": 0x8AD53A23,
        "rect_dropout": 0xD3B8CAC0,
        "shift_small": 0x45FFF551,
        "shift_medium": 0x29F3EA50,
        "shift_large": 0x7B30C2FB,
        "scale_down": 0x3E1EEEE2,
        "scale_up": 0x3000D269,
        "rotate_small": 0xAE628786,
        "rotate_large": 0x050BC2B7,
        "random_affine": 0xFA0E970D,
        "gaussian_blob": 0x61123E57,
        "gaussian_blob_large": 0xB80D6283,
        "circular_blob": 0xE9961FFC,
        "erosion_11": 0x0FAA88D2,
        "dilation_11": 0x7B04B8BA,
        "shift_very_large": 0x711E91BE,
        "scale_very_small": 0xA292AD6F,
        "scale_very_large": 0x9A62B955,
        "grid_very_heavy": 0x1DFB0AD2,
        "holes_many": 0xEB18AF56,
        "invert": 0x7DAB0EE3,
        "empty": 0xE2D2563E,
        "full": 0x2FC6992D,
        "random_50": 0x5E10D10E,
        "cross_image": 0xB2ACA89C,
        "weak": 0xE2162C53,
        "mix": 0xC23D1139,
    },
}


def masks_without_floats():
    """Ellipses of integers, some with satellites, one single pixel: uint8 [6, 75, 83]."""
    y, x = torch.arange(75)[:, None], torch.arange(83)
    shapes = [((4 + i) * (y - 30 - 2 * i) ** 2 + (9 - i) * (x - 35 + i) ** 2 < 2500 + 300 * i) for i in range(5)]
    masks = torch.stack([*shapes, (y == 40) & (x == 7)]).to(torch.uint8)
    masks[1:3, 66:70, 70:78] = 1
    masks[3:5, :4, :] = 1
    return masks


@pytest.mark.parametrize("recipe", ["paper", "default"])
def test_bytes(recipe):
    recipe, masks, images = qf.load_recipe(recipe), masks_without_floats(), torch.arange(6)
    bank = MaskBank(masks)
    bank.add(masks.flip(1))
    bank.add(masks.flip(2))
    found = {}
    for row in recipe.rows:
        out = qf.corrupt(masks, recipe.only(row.name), seed=2**63 + 5, bank=bank, image_ids=images)
        found[row.name] = zlib.crc32(out.masks.numpy().tobytes())
    ids = torch.arange(300)
    mix = qf.corrupt(masks[ids % 6], recipe, seed=7, sample_ids=ids, bank=bank, image_ids=ids % 6)
    found["mix"] = zlib.crc32(mix.masks.numpy().tobytes(), zlib.crc32(mix.rows.numpy().tobytes()))
    assert found == SUMS[recipe.name]
