"""Keys and values of remembered vectors: which bytes stand for a text, and for its vector."""

import hashlib
import zlib
from collections.abc import Iterable

import numpy as np

_KEY_VERSION = "2"
_VALUE_VERSION = 1
_HEADER = 5
"""Bytes before the numbers: the version, then the CRC-32 of the numbers."""


def vector_key(fingerprint: str, dimension: int, role: str, scope: str, text: str) -> bytes:
    """The sha256 of everything that decides a vector, and of the scope that may read it.

    Each part stands behind its length, so that no two different lists of parts
    give the same bytes, whatever the parts contain.
    """
    return hashlib.sha256(_joined((_KEY_VERSION, fingerprint, str(dimension), role, scope, text))).digest()


def _joined(parts: Iterable[str]) -> bytes:
    encoded = [part.encode() for part in parts]
    return b"".join(b"%d:%b" % (len(part), part) for part in encoded)


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
