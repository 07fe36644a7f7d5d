"""`medha embed-cache`: look at a cache of vectors, empty it, take an old one over, write it out."""

import json as json_format
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from medha_core import ConfigurationError, StorageError
from medha_core.cli.output import emit, emit_json, progress
from medha_core.embedding_cache import default_path
from medha_core.vectors.file import VectorFile
from medha_core.vectors.schema import FORMAT

app = typer.Typer(help="The cache of vectors behind `embed` and `EmbeddingCache`.", no_args_is_help=True)

File = Annotated[Path | None, typer.Option("--path", help="The cache's file [EMBEDDING_CACHE_DIR]/cache.db.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


@contextmanager
def _opened(path: Path | None, *, make: bool = False) -> Iterator[VectorFile]:
    file = (path or default_path()).expanduser()
    if not make and not file.is_file():
        raise StorageError(f"there is no embedding cache at {file}")
    opened = VectorFile(file)
    try:
        yield opened
    finally:
        opened.close()


@app.command("stats")
def stats(path: File = None, json: AsJson = False) -> None:
    """How many vectors there are, and how often they were used."""
    with _opened(path) as file:
        info = file.info()
    accesses = sum(model["accesses"] for model in info["models"])
    found = {
        "entries": info["entries"],
        "accesses": accesses,
        "vector_bytes": info["vector_bytes"],
        "file_bytes": info["file_bytes"],
        "models": len({model["model"] for model in info["models"]}),
    }
    _say(json, found, [f"{name:<14}{value}" for name, value in found.items()])


@app.command("info")
def info(path: File = None, json: AsJson = False) -> None:
    """Where the cache is, and the models in it."""
    with _opened(path) as file:
        found = {**file.info(), "format": FORMAT}
    lines = [f"{found['path']}: {found['entries']} vectors, format {FORMAT}"]
    lines += [
        f"  {model['model']}: {model['entries']} of role {model['role']}, {model['dimension']} dimensions"
        for model in found["models"]
    ]
    _say(json, found, lines)


@app.command("clear")
def clear(
    path: File = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it; nothing happens without.")] = False,
    json: AsJson = False,
) -> None:
    """Forget all vectors."""
    with _opened(path) as file:
        count = file.info()["entries"]
        if not yes:
            raise ConfigurationError(f"{file.path} holds {count} vectors: to forget them, say --yes")
        file.clear()
    _say(json, {"cleared": count}, [f"{count} vectors forgotten"])


@app.command("migrate")
def migrate(
    source: Annotated[Path, typer.Argument(help="The old library's cache.db; it stays as it is.")],
    path: File = None,
    json: AsJson = False,
) -> None:
    """Take the vectors of an older embedding cache over, from msgpack or half precision."""
    from medha_core.embeddings.migrated import migrate as take_over

    source = source.expanduser()
    if not source.is_file():
        raise StorageError(f"there is no file {source}")
    with _opened(path, make=True) as file:
        if file.path == source.absolute():
            raise ConfigurationError(
                f"{source} cannot be migrated into itself: name another file with --path"
            )
        with progress("migrating") as on_progress:
            taken, refused = take_over(source, file, on_progress)
        found = {"migrated": taken, "unreadable": refused, "path": str(file.path)}
    _say(json, found, [f"{taken} vectors taken over into {found['path']}, {refused} could not be read"])


@app.command("export")
def export(
    path: File = None,
    output: Annotated[Path | None, typer.Option(help="The file to write; standard output without.")] = None,
    json: AsJson = False,
) -> None:
    """Write each vector as one line of JSON; with --json, one list."""
    with _opened(path) as file:
        rows = ({**row, "embedding": row["embedding"].tolist()} for row in file.rows())
        stream = sys.stdout if output is None else output.open("w", encoding="utf-8")
        try:
            if json:
                json_format.dump({"embeddings": list(rows)}, stream)
                stream.write("\n")
            else:
                stream.writelines(json_format.dumps(row) + "\n" for row in rows)
        finally:
            if output is not None:
                stream.close()


def _say(as_json: bool, found: dict[str, Any], lines: list[str]) -> None:
    if as_json:
        emit_json(found)
    else:
        emit("\n".join(lines))
