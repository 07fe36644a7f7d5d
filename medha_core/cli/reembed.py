"""`medha reembed DIRECTORY`: the vectors of a cache anew, with another model."""

import asyncio
from pathlib import Path

from medha_core.cli.opening import open_embedder, open_settings
from medha_core.cli.output import OK, emit, emit_json, progress
from medha_core.embedded.opening import only_collection
from medha_core.embedded.reembedding import reembed


def command(
    directory: Path, model: str | None, collection: str | None, *, batch_size: int | None, as_json: bool
) -> int:
    settings = open_settings(directory)
    name = only_collection(directory) if collection is None else collection
    embedder = open_embedder(model, settings)
    with progress("embedding") as on_progress:
        done = asyncio.run(
            reembed(
                directory,
                embedder,
                name,
                batch_size=batch_size or settings.batch_size,
                on_progress=on_progress,
            )
        )
    if as_json:
        emit_json({"directory": str(directory), **done._asdict()})
        return OK
    resumed = f", {done.resumed} of them by an earlier run" if done.resumed else ""
    emit(f"{name!r}: {done.entries} entries embedded{resumed}")
    emit(f"  before {done.before}, now {done.after}")
    return OK
