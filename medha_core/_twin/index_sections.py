"""The sections of an index file in NumPy: what `ext/index*.hpp` lays out, to read and to write.

The twin writes every entry as one found by scan, so its files have no joined slots.
"""

import mmap
from functools import cache

import numpy as np
from numpy.typing import NDArray

from medha_core.index_file import ROTATION_SEED, Header, Section

__all__ = ["block_bytes", "lay_out", "read_sections"]

_CELL = np.dtype([("label", "<u8"), ("slot_and_one", "<u4"), ("unused", "<u4")])
_WORD = 2**64 - 1
_ROUNDS = 3


def read_sections(
    file: int, header: Header
) -> tuple[NDArray[np.uint64], NDArray[np.float32], NDArray[np.bool_]]:
    """Of every slot: label uint64[n], unit vector float32[n, d], and whether it is a tombstone, bool[n]."""
    with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as data:

        def stretch(section: Section) -> bytes:
            where = header.sections[section]
            return data[where.offset : where.offset + where.length]

        labels = np.frombuffer(stretch(Section.LABELS), "<u8")
        vectors = np.frombuffer(stretch(Section.VECTORS), "<f4")
        vectors = vectors.reshape(len(labels), -(-header.dimension // 16) * 16)
        buried = np.zeros(len(labels), bool)
        if header.joined:
            blocks = np.frombuffer(stretch(Section.BLOCKS), np.uint8).reshape(header.joined, -1)
            mark = _code_bytes(header.dimension, header.quantization) + 2
            buried[: header.joined] = blocks[:, mark] & 1
    return labels, vectors[:, : header.dimension], buried


def lay_out(labels: NDArray[np.uint64], vectors: NDArray[np.float32]) -> list[bytes]:
    """The sections, in the order of `Section`, of an index of `vectors` (unit, [n, d]) under `labels`."""
    dimension = vectors.shape[1]
    bits = _sign_bits(vectors)
    words = bits.shape[1]
    return [
        labels.astype("<u8").tobytes(),
        np.pad(vectors, ((0, 0), (0, -dimension % 16))).astype("<f4").tobytes(),
        bits.tobytes(),
        _prefixes(bits[:, :2]),
        _prefixes(bits[:, 2:4]) if words > 2 else b"",
        b"",
        bytes(4),
        b"",
        _table(labels),
    ]


def _prefixes(bits: NDArray[np.uint64]) -> bytes:
    groups = np.pad(bits, ((0, -len(bits) % 8), (0, 0))).reshape(-1, 8, 2)
    return groups.transpose(0, 2, 1).tobytes()


def _table(labels: NDArray[np.uint64]) -> bytes:
    cells = 64
    while 2 * cells < 3 * len(labels):
        cells *= 2
    table = np.zeros(cells, _CELL)
    for slot, label in enumerate(labels.tolist()):
        at = _mixed(label) % cells
        while table["slot_and_one"][at]:
            at = (at + 1) % cells
        table[at] = (label, slot + 1, 0)
    return table.tobytes()


def _mixed(x: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea, Flood, 2014)."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _WORD
    return x ^ (x >> 31)


def _bit_count(dimension: int) -> int:
    return 128 if dimension <= 128 else 256 if dimension <= 256 else 512


def _sign_bits(vectors: NDArray[np.float32]) -> NDArray[np.uint64]:
    """uint64[n, bits / 64]: signs after three rounds of random signs and a Hadamard transform."""
    n, dimension = vectors.shape
    bits = padded = _bit_count(dimension)
    while padded < dimension:
        padded *= 2
    values = np.pad(vectors, ((0, 0), (0, padded - dimension)))
    for signs in _signs(padded):
        values = _hadamard(values * signs)
    return (
        np.packbits(np.signbit(values[:, :bits]), axis=1, bitorder="little")
        .view("<u8")
        .reshape(n, bits // 64)
    )


@cache
def _signs(padded: int) -> NDArray[np.float32]:
    states = (ROTATION_SEED + (i + 1) * 0x9E3779B97F4A7C15 for i in range(_ROUNDS * padded))
    signs = [-1.0 if _mixed(state & _WORD) >> 63 else 1.0 for state in states]
    return np.array(signs, np.float32).reshape(_ROUNDS, padded)


def _hadamard(values: NDArray[np.float32]) -> NDArray[np.float32]:
    n, width = values.shape
    step = 1
    while step < width:
        pairs = values.reshape(n, width // (2 * step), 2, step)
        values = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
        step *= 2
    return values.reshape(n, width)


def _code_bytes(dimension: int, quantization: str) -> int:
    if quantization == "float32":
        return -(-dimension // 16) * 64
    return _bit_count(dimension) // 8 if quantization == "binary" else -(-dimension // 64) * 64 + 4


def block_bytes(dimension: int, quantization: str, links: int) -> int:
    """Of a joined slot: its codes, then number of links and 2 * `links` of them, in whole cache lines."""
    return -(-(_code_bytes(dimension, quantization) + 4 * (2 * links + 1)) // 64) * 64
