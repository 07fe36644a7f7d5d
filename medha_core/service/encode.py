"""Vectors as JSON, msgpack and base64, in pieces small enough not to hold everything else up."""

import asyncio
import base64
import struct
from collections.abc import Callable
from typing import TypeVar

import msgspec
import numpy as np

T = TypeVar("T")
_LARGE = 20_000
"""Numbers from which a thread encodes them; below, that takes less than a millisecond or two."""


async def encoded(encode: Callable[[np.ndarray], T], array: np.ndarray) -> T:
    """`encode(array)`, in a thread where it would hold the event loop up."""
    if array.size > _LARGE:
        return await asyncio.to_thread(encode, array)
    return encode(array)


def json_rows(array: np.ndarray) -> list[msgspec.Raw]:
    """Each row as a JSON array. Row by row, so that other threads run in between."""
    return [msgspec.Raw(msgspec.json.encode(row.tolist())) for row in array]


def base64_rows(array: np.ndarray) -> list[str]:
    """Each row as base64 of its little-endian float32 numbers."""
    return [base64.b64encode(row.astype("<f4", copy=False).tobytes()).decode() for row in array]


def msgpack_rows(array: np.ndarray) -> list[msgspec.Raw]:
    """Each row as a msgpack array of float32 numbers, which lose no bit: five bytes each."""
    rows, width = array.shape
    items = np.empty((rows, width, 5), np.uint8)
    items[:, :, 0] = 0xCA  # "float 32", then the number in big-endian order
    items[:, :, 1:] = array.astype(">f4").view(np.uint8).reshape(rows, width, 4)
    head = b"\xdd" + struct.pack(">I", width)  # "array 32"
    return [msgspec.Raw(head + row.tobytes()) for row in items]
