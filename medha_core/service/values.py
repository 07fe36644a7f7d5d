"""The bytes that stand for a vector outside this process."""

import zlib

import numpy as np

_VALUE_VERSION = 1
_HEADER = 5
"""Bytes before the numbers: the version, then the CRC-32 of the numbers."""


def pack_vector(vector: np.ndarray) -> bytes:
    """A float32 vector as little-endian bytes with a checksum."""
    numbers = vector.astype("<f4", copy=False).tobytes()
    return bytes([_VALUE_VERSION]) + zlib.crc32(numbers).to_bytes(4, "little") + numbers


def unpack_vector(value: bytes, dimension: int) -> np.ndarray | None:
    """The vector in `value`; None where that is damaged or of another length."""
    numbers = value[_HEADER:]
    whole = (
        len(numbers) == 4 * dimension
        and value[0] == _VALUE_VERSION
        and zlib.crc32(numbers) == int.from_bytes(value[1:_HEADER], "little")
    )
    return np.frombuffer(numbers, "<f4").astype(np.float32, copy=False) if whole else None
