"""Names of collections on engines that allow only some letters: encoded, never sanitised into one another."""

import re
from base64 import b32encode
from hashlib import blake2b

from medha_core.errors import ArgumentTypeError, ArgumentValueError

__all__ = ["digest", "space_name"]

_PLAIN = re.compile(r"[^a-z0-9]+")
_CODE = 32


def digest(*parts: str, size: int = 16) -> bytes:
    """A hash of texts that tells ("a", "bc") from ("ab", "c")."""
    summed = blake2b(digest_size=size)
    for part in parts:
        encoded = part.encode()
        summed.update(len(encoded).to_bytes(8, "little"))
        summed.update(encoded)
    return summed.digest()


def space_name(prefix: str, collection: str, *, separator: str = "_", limit: int = 63) -> str:
    """The name that an engine knows a collection by.

    Its start is for people and may be alike for two collections; its end, 32
    letters of base32, is a 160-bit hash of the exact prefix and name, and is not.
    Lower-case ASCII letters, digits and `separator`, a letter first, at most
    `limit` characters.
    """
    if not isinstance(collection, str):
        raise ArgumentTypeError("collection_name", "str", collection)
    try:
        code = b32encode(digest(prefix, collection, size=20)).decode().lower()
    except UnicodeEncodeError:
        raise ArgumentValueError("collection_name", "text without lone surrogates", collection) from None
    plain = _PLAIN.sub(separator, f"{prefix}{separator}{collection}".lower()).strip(separator)
    if not plain[:1].isalpha():
        plain = f"m{separator}{plain}".rstrip(separator)
    return f"{plain[: limit - _CODE - 1].rstrip(separator)}{separator}{code}"
