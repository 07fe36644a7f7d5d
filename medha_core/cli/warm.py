"""`medha warm FILE`."""

import asyncio
from pathlib import Path

from medha_core import Medha
from medha_core.cli.opening import open_cache, open_settings
from medha_core.cli.output import OK, emit, emit_json, note, progress


def command(
    file: Path,
    collection: str | None,
    path: Path | None,
    model: str | None,
    *,
    batch_size: int | None,
    ttl: int | None,
    as_json: bool,
) -> int:
    settings = open_settings(path)
    cache = open_cache(settings, collection, model)
    stored = asyncio.run(_warm(cache, file, batch_size, ttl))
    if as_json:
        emit_json({"stored": stored, "file": str(file), "collection": cache.collection_name})
    else:
        emit(f"{stored} entries stored in collection {cache.collection_name!r}")
    if settings.path is None:
        note("the cache was in memory and is gone now; --path DIRECTORY keeps it")
    return OK


async def _warm(cache: Medha, file: Path, batch_size: int | None, ttl: int | None) -> int:
    async with cache:
        return await load(cache, file, batch_size=batch_size, ttl=ttl)


async def load(cache: Medha, file: Path, *, batch_size: int | None = None, ttl: int | None = None) -> int:
    """Store the entries of `file` in a started cache, with a bar on a terminal."""
    lifetime = {} if ttl is None else {"ttl": ttl}
    with progress(f"storing {file.name}") as on_progress:
        return await cache.warm_from_file(
            str(file), batch_size=batch_size, on_progress=on_progress, **lifetime
        )
