"""The type `vector` over asyncpg, in its binary form: what is read is bit for bit what was written."""

import struct
from typing import Any

import numpy as np

__all__ = ["encode_vector", "prepare_connection", "vector_schema"]

_HEAD = struct.Struct(">HH")


def encode_vector(vector: Any) -> bytes:
    """Big-endian: dimension, zero, float32 numbers.

    Bytes are encoded already: asyncpg would take the numbers of an array's elements for arrays.
    """
    if isinstance(vector, bytes):
        return vector
    array = np.asarray(vector, dtype=">f4")
    return _HEAD.pack(len(array), 0) + array.tobytes()


def decode_vector(data: bytes) -> np.ndarray:
    """float32, shape (dimension,)."""
    return np.frombuffer(data, dtype=">f4", offset=_HEAD.size).astype(np.float32)


async def vector_schema(connection: Any) -> str | None:
    """The schema that the extension vector is installed in, None when it is not."""
    found: str | None = await connection.fetchval(
        "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
        "WHERE e.extname = 'vector'"
    )
    return found


async def prepare_connection(connection: Any) -> None:
    """Teach a new connection the type."""
    schema = await vector_schema(connection)
    if schema is not None:
        await connection.set_type_codec(
            "vector", schema=schema, encoder=encode_vector, decoder=decode_vector, format="binary"
        )
