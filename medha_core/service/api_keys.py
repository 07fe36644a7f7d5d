"""API keys in a file: who holds one, what it may see, and never the key itself.

The file has one JSON object a line, and is only ever appended to: a line that
makes a key, a line that revokes one. Keys are 256 random bits, so a plain
sha256 of one gives nothing away.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from medha_core.errors import ArgumentValueError, ConfigurationError

_PREFIX = "medha"
_LOOK_EVERY = 1.0
"""Seconds after which the file is looked at again."""


@dataclass(frozen=True)
class ApiKey:
    """A key as the file has it."""

    id: str
    name: str
    sha256: str
    collections: tuple[str, ...] | None
    """The only collections it may touch; None for all, and for the figures of the whole server."""
    created: str
    revoked: str | None = None


class KeyFile:
    """The keys in a file; what another process changes there counts within a second."""

    def __init__(self, path: str | os.PathLike[str], *, clock: Callable[[], float] = monotonic):
        self.path = Path(path)
        self._clock = clock
        self._look_at = 0.0
        self._seen: tuple[int, int] | None = None
        self._keys: dict[str, ApiKey] = {}

    def __repr__(self) -> str:
        return f"<KeyFile {str(self.path)!r}, {len(self.active())} keys>"

    def create(self, name: str, collections: tuple[str, ...] | None = None) -> tuple[ApiKey, str]:
        """A new key and its secret, which is told now and never again."""
        if not name.strip():
            raise ArgumentValueError("name", "a name that is not empty", name)
        if collections is not None and not (collections and all(collections)):
            raise ArgumentValueError("collections", "names that are not empty, or None for all", collections)
        identity = secrets.token_hex(6)
        secret = f"{_PREFIX}_{identity}_{secrets.token_urlsafe(32)}"
        key = ApiKey(identity, name, _hashed(secret), collections, _now())
        self._append(
            {
                "id": key.id,
                "name": key.name,
                "sha256": key.sha256,
                "collections": collections,
                "created": key.created,
            }
        )
        return key, secret

    def revoke(self, identity: str) -> ApiKey:
        """End a key. Raises `ArgumentValueError` when there is none of that id."""
        self._read()
        key = self._keys.get(identity)
        if key is None or key.revoked:
            raise ArgumentValueError("id", f"the id of a key in {self.path} that is not revoked", identity)
        self._append({"revoke": identity, "at": _now()})
        return self._keys[identity]

    def all(self) -> list[ApiKey]:
        """All keys that were ever made, the oldest first."""
        self._read()
        return list(self._keys.values())

    def active(self) -> list[ApiKey]:
        """The keys that are not revoked."""
        return [key for key in self.all() if key.revoked is None]

    def find(self, secret: str) -> ApiKey | None:
        """The key a caller shows, if it is one. Takes the same time for every wrong one of a known id."""
        if self._clock() >= self._look_at:
            self._look_at = self._clock() + _LOOK_EVERY
            self._read()
        parts = secret.split("_", 2)
        key = self._keys.get(parts[1]) if len(parts) == 3 else None
        same = hmac.compare_digest(_hashed(secret), key.sha256 if key else "0" * 64)
        return key if key is not None and same and key.revoked is None else None

    def _read(self) -> None:
        try:
            about = self.path.stat()
            if (about.st_mtime_ns, about.st_size) == self._seen:
                return
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            self._keys, self._seen = {}, None
            return
        except OSError as error:
            raise ConfigurationError(
                f"the file of keys {self.path} cannot be read: {error.strerror}"
            ) from error
        self._keys = dict(_replayed(lines, self.path))
        self._seen = (about.st_mtime_ns, about.st_size)

    def _append(self, line: dict[str, Any]) -> None:
        """One write at the end, behind a line break: two processes, or a torn line, spoil nothing."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, b"\n" + json.dumps(line).encode() + b"\n")
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise ConfigurationError(
                f"the file of keys {self.path} cannot be written: {error.strerror}"
            ) from error
        self._seen = None
        self._read()


def default_key_file() -> Path:
    """`MEDHA_KEYS`, or `keys.jsonl` in the user's configuration folder."""
    given = os.environ.get("MEDHA_KEYS")
    if given:
        return Path(given)
    if os.name == "nt":
        return Path(os.environ.get("APPDATA") or Path.home()) / "medha" / "keys.jsonl"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "medha" / "keys.jsonl"


def _replayed(lines: list[bytes], path: Path) -> Iterator[tuple[str, ApiKey]]:
    keys: dict[str, ApiKey] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            key = _applied(json.loads(line), keys)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{path}: line {number} is damaged; remove it to go on without what it said"
            ) from error
        keys[key.id] = key
    yield from keys.items()


def _applied(line: dict[str, Any], keys: dict[str, ApiKey]) -> ApiKey:
    if "revoke" in line:
        return ApiKey(**vars(keys[line["revoke"]]) | {"revoked": line["at"]})
    only = line["collections"]
    return ApiKey(
        id=line["id"],
        name=line["name"],
        sha256=line["sha256"],
        collections=None if only is None else tuple(map(str, only)),
        created=line["created"],
    )


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
