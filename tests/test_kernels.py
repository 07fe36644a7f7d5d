"""Each instruction set this machine can run gives what NumPy gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medha_core import _core
from medha_core._twin import index as twin
from medha_core.errors import ArgumentTypeError, ArgumentValueError


@pytest.fixture(params=_core.simd_variants(), autouse=True)
def variant(request: pytest.FixtureRequest):
    before = _core.simd_variant()
    _core.set_simd_variant(request.param)
    yield request.param
    _core.set_simd_variant(before)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("n", [16, 32, 48, 384, 1040])
def test_dot(random, n):
    a, b = random.standard_normal((2, n)).astype(np.float32)
    assert _core.kernel_dot(a, b) == pytest.approx(float(a.astype(float) @ b), rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("n", [64, 128, 384, 1024, 65536])
def test_dot_of_codes_is_exact(random, n):
    a, b = random.integers(-127, 128, (2, n)).astype(np.int8)
    assert _core.kernel_dot_codes(a, b) == int(a.astype(int) @ b)


@pytest.mark.parametrize("x", [-127, 127])
@pytest.mark.parametrize("y", [-127, 127])
def test_dot_of_extreme_codes_does_not_overflow(x, y):
    a, b = np.full(65536, x, np.int8), np.full(65536, y, np.int8)
    assert _core.kernel_dot_codes(a, b) == 65536 * x * y


@pytest.mark.parametrize("words", [2, 4, 8])
def test_hamming(random, words):
    a, b = random.integers(0, 2**64, (2, words), np.uint64)
    assert _core.kernel_hamming(a, b) == int(np.bitwise_count(a ^ b).sum())
    assert _core.kernel_hamming(a, ~a) == 64 * words


def planes_of(values: np.ndarray, step: float) -> np.ndarray:
    """Bits, ones and twos, uint64[3, n / 64], of rotated values [n]."""
    weights = np.minimum(3, np.floor(np.abs(values) / step + 0.5)).astype(int)
    planes = np.array([np.signbit(values), weights & 1, weights >> 1], bool)
    return np.packbits(planes, axis=1, bitorder="little").view(np.uint64)


def weighed(differing: np.ndarray, planes: np.ndarray) -> np.ndarray:
    return np.bitwise_count(differing & planes[1]).astype(int) + 2 * np.bitwise_count(differing & planes[2])


@pytest.mark.parametrize("words", [2, 4, 8])
def test_a_probe_has_signs_and_weights(random, words):
    values = 3 * random.standard_normal(64 * words).astype(np.float32)
    values[:6] = [0, -0.0, 0.5, 1.5, -2.5, 100]
    assert _core.kernel_probe(values, 1).tolist() == planes_of(values, 1).tolist()


@pytest.mark.parametrize("words", [2, 4, 8])
def test_differing_bits_are_weighed(random, words):
    bits = random.integers(0, 2**64, words, np.uint64)
    planes = random.integers(0, 2**64, (3, words), np.uint64)
    assert _core.kernel_weigh(bits, planes) == weighed(bits ^ planes[0], planes).sum()
    assert _core.kernel_weigh(bits, np.array([~bits, ~(bits & 0), ~(bits & 0)])) == 3 * 64 * words
    assert _core.kernel_weigh(bits, np.array([bits, ~bits, ~bits])) == 0


@pytest.mark.parametrize("n", [1, 7, 33])
@pytest.mark.parametrize("word", [0, 2])
def test_groups_are_weighed(random, n, word):
    groups = random.integers(0, 2**64, (n, 2, 8), np.uint64)
    planes = random.integers(0, 2**64, (3, 4), np.uint64)
    spread = planes[:, word : word + 2].reshape(3, 1, 2, 1)
    weights = weighed(groups ^ spread[0], spread).sum(axis=1).reshape(-1)
    assert _core.kernel_weigh_groups(groups, planes, word).tolist() == weights.tolist()
    before = random.integers(0, 256, 8 * n).astype(np.uint8)
    sums = np.minimum(255, weights + before)
    assert _core.kernel_weigh_groups(groups, planes, word, before).tolist() == sums.tolist()


def test_a_group_weighs_255_at_most():
    groups, ones = np.zeros((2, 2, 8), np.uint64), ~np.zeros(2, np.uint64)
    assert set(_core.kernel_weigh_groups(groups, np.array([ones, ones, ones]), 0).tolist()) == {255}
    assert set(_core.kernel_weigh_groups(groups, np.array([ones, ones, ~ones]), 0).tolist()) == {128}


@pytest.mark.parametrize("n", [0, 8, 56, 64, 72, 1000])
@pytest.mark.parametrize("limit", [0, 20, 128, 254, 255])
def test_low_weights_are_found(random, n, limit):
    weights = random.integers(0, 256, n).astype(np.uint8)
    assert _core.kernel_at_most(weights, limit).tolist() == np.flatnonzero(weights <= limit).tolist()


@pytest.mark.parametrize("n", [32, 128, 512, 2048])
def test_hadamard(random, n):
    matrix = np.ones((1, 1))
    while len(matrix) < n:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    values = random.standard_normal(n).astype(np.float32)
    np.testing.assert_allclose(_core.kernel_hadamard(values), matrix @ values, atol=1e-2)


@pytest.mark.parametrize("dimension", [1, 15, 16, 100, 384, 700])
def test_searches_agree_with_the_twin(random, variant, dimension):
    rows = random.standard_normal((500, dimension))
    native = _core.VectorIndex(dimension, tier="scan")
    oracle = twin.VectorIndex(dimension)
    for index in (native, oracle):
        index.add(np.arange(500), rows)
    assert native.info()["simd"] == variant
    for min_score in (-1.0, 0.3, 0.9):
        for query in rows[:20]:
            labels, scores = native.search(query, 20, min_score=min_score)
            expected_labels, expected_scores = oracle.search(query, 20, min_score=min_score)
            np.testing.assert_allclose(scores, expected_scores, atol=1e-6)
            if dimension > 1:  # in one dimension every score is 1 or -1 up to rounding
                assert labels.tolist() == expected_labels.tolist()


def test_an_unknown_variant_is_refused(variant):
    with pytest.raises(ArgumentValueError, match=variant):
        _core.set_simd_variant("mmx")
    with pytest.raises(ArgumentTypeError):
        _core.set_simd_variant(None)
    assert _core.simd_variant() == variant


def test_the_portable_variant_is_always_there():
    assert _core.simd_variants()[-1] == "baseline"


@given(
    cosine=st.floats(-1, 1),
    bits=st.sampled_from([128, 256, 512]),
    miss=st.sampled_from([1e-2, 5e-7, 1e-9]),
)
def test_the_radius_follows_from_the_distribution_of_the_weights(cosine, bits, miss):
    # At the very edge of a bin, summing in another order may tip it.
    radius = _core.bit_radius(cosine, bits, miss)
    lower, upper = twin.bit_radius(cosine, bits, miss * 1.001), twin.bit_radius(cosine, bits, miss / 1.001)
    assert lower <= radius <= upper


def one_coordinate(random: np.random.Generator, n: int) -> np.ndarray:
    return np.eye(384)[random.integers(0, 384, n)]


def few_directions(random: np.random.Generator, n: int) -> np.ndarray:
    """Vectors of an anisotropic cloud with a common part."""
    scales = np.exp(-np.arange(384) / 20)
    return random.standard_normal((n, 384)) * scales + scales


def few_coordinates(random: np.random.Generator, n: int) -> np.ndarray:
    rows = np.zeros((n, 384))
    for row in rows:
        row[random.integers(0, 384, 3)] = random.choice([-1, 1], 3)
    return rows


@pytest.mark.parametrize("beside", [None, few_coordinates])
@pytest.mark.parametrize("data", [one_coordinate, few_coordinates, few_directions])
@pytest.mark.parametrize("cosine", [0.7, 0.9])
def test_bits_of_close_vectors_differ_as_often_as_their_angle_says(random, data, beside, cosine):
    """The premise of the radius: what differing bits weigh follows from the angle, whatever the data."""
    n = 4000
    base = data(random, n)
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    noise = 1e-3 * random.standard_normal((n, 384)) + (beside(random, n) if beside else 0)
    noise -= (noise * base).sum(axis=1, keepdims=True) * base
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    near = cosine * base + np.sqrt(1 - cosine**2) * noise
    index = _core.VectorIndex(384)
    distances = np.array([index.bit_distance(a, b) for a, b in zip(base, near, strict=True)])
    often, weight = np.array(twin._weights_of_a_bit(cosine)), np.arange(4)
    mean = often @ weight
    assert distances.mean() == pytest.approx(512 * mean, rel=0.04)
    assert distances.std() <= 1.1 * np.sqrt(512 * (often @ weight**2 - mean**2))
    assert np.mean(distances > _core.bit_radius(cosine, 512, 1e-3)) <= 3e-3
    assert distances.max() <= _core.bit_radius(cosine, 512, 5e-7)
