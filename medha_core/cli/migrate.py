"""`medha migrate`: collections from one store to another."""

import asyncio
from pathlib import Path

from medha_core.cli.output import MISS, OK, emit, emit_json, note, progress
from medha_core.errors import ConfigurationError
from medha_core.migration import Moved, migrate
from medha_core.settings import Settings
from medha_core.urls import backend_at


def command(source: str, target: str, collection: str | None, *, as_json: bool) -> int:
    moved = asyncio.run(_migrate(source, target, collection))
    if not moved:
        note("--from: the store has no collections, so nothing was moved")
    if as_json:
        emit_json({"collections": [one._asdict() for one in moved]})
        return OK if moved else MISS
    if not moved:
        return MISS
    for one in moved:
        emit(f"{one.collection!r}: {one.entries} entries, {one.written} written now, checksum {one.checksum}")
    emit(f"{len(moved)} collections are the same on both sides; nothing was deleted at the source")
    return OK


async def _migrate(source: str, target: str, collection: str | None) -> list[Moved]:
    if _place(source) == _place(target):
        raise ConfigurationError(f"--to: expected another store than --from, got {target!r} for both")
    settings = Settings()
    async with backend_at(source, settings, mode="r") as old, backend_at(target, settings) as new:
        with progress("moving") as on_progress:
            return await migrate(old, new, collection, on_progress)


def _place(address: str) -> str:
    """An address, a directory in whichever way it is written."""
    scheme, found, rest = address.partition("://")
    if found and scheme not in ("native", "file"):
        return address.rstrip("/")
    return str(Path(rest if found else address).resolve())
