import numpy as np
import pytest

from qgssl_fast.kernels.reference.philox import philox4x32
from qgssl_fast.kernels.reference.program import Draw, below, between, words_of

ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "seed", "words"),
    [
        ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, (ONES << 32) | ONES, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ],
)
def test_known_answers(counter, seed, words):
    assert tuple(philox4x32(*counter, seed).tolist()) == words


def test_counters_broadcast():
    many = philox4x32(np.arange(3), 1, np.arange(2)[:, None], 0, 9)
    assert many.shape == (2, 3, 4)
    assert np.array_equal(many[1, 2], philox4x32(2, 1, 1, 0, 9))


def test_sample_ids_are_64_bits_and_signed():
    ids = np.array([5, 5 + (1 << 32), -1])
    words = words_of(7, ids, 0, 1)
    assert np.array_equal(words[1], philox4x32(0, 0, 5, 1, 7))
    assert np.array_equal(words[2], philox4x32(0, 0, ONES, ONES, 7))


def test_bounded_numbers_stay_in_bounds():
    words = np.array([0, 1, 1 << 31, ONES], np.uint32)
    assert below(words, 6).tolist() == [0, 0, 3, 5]
    assert between(words, -2, 2).tolist() == [-2, -2, 0, 2]


@pytest.mark.parametrize("probability", [0, 1, 8192, 16384, 24576, 30000, 32768])
def test_chance_has_its_probability(probability):
    drawn = Draw(3, np.arange(8), 0).chance((100, 70), probability)
    expected, error = probability / 32768, 4 * np.sqrt(0.25 / drawn.size)
    assert abs(drawn.mean() - expected) <= error
    if probability in (0, 32768):
        assert drawn.all() == drawn.any() == (probability > 0)


def test_chance_compares_the_planes_with_the_probability():
    draw = Draw(3, np.arange(2), 1)
    number = sum(draw.pixels((9, 33), 1 + j).astype(int) << (14 - j) for j in range(15))
    assert np.array_equal(draw.chance((9, 33), 12345), number < 12345)


def test_pixel_bits_are_where_the_definition_says():
    bits = Draw(11, np.array([4]), 2).pixels((5, 70), 1)[0]
    for y, x in ((0, 0), (3, 31), (3, 32), (4, 69)):
        n = 4 * y + x // 32  # two 64-pixel words a row
        word = int(philox4x32(n // 4, 16 * 3 + 1, 4, 0, 11)[n % 4])
        assert bits[y, x] == bool(word >> (x % 32) & 1)
