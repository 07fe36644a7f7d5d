"""`medha export`: all entries, to be stored again or to be read by other programs."""

import asyncio
import csv
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from medha_core import ConfigurationError, Medha
from medha_core.cli.opening import open_settings
from medha_core.cli.options import AsJson, Collection, Kept
from medha_core.cli.output import check_target, emit, emit_json, progress, writing
from medha_core.cli.recorded import open_recorded
from medha_core.files import allowed_path

app = typer.Typer()


class Format(str, Enum):
    """How an export is written; JSON and JSONL can be warmed again."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"


@app.command("export")
def export_command(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; standard output without.")
    ] = None,
    kind: Annotated[
        Format | None, typer.Option("--format", help="By default what the file's name ends with, else json.")
    ] = None,
    vectors: Annotated[bool, typer.Option(help="Write the vectors too (json, jsonl).")] = False,
    collection: Collection = None,
    path: Kept = None,
    json: AsJson = False,
) -> None:
    """Write all entries; `medha warm FILE` stores what json and jsonl files hold again."""
    if json and output is None:
        raise ConfigurationError("--json says what was written; it needs --output FILE")
    kind = kind or _by_name(output)
    if vectors and kind is Format.CSV:
        raise ConfigurationError("--vectors: csv has no room for them, use --format jsonl")
    settings = open_settings(path)
    target = None if output is None else allowed_path(output, settings)
    if output is not None:
        check_target("--output", output)
    cache = open_recorded(path, collection, mode="r")
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "entries.jsonl"
        count = asyncio.run(_export(cache, lines, vectors))
        _write(lines, target, kind)
    if target is None:
        return
    if json:
        emit_json({"exported": count, "file": str(output), "format": kind.value})
    else:
        emit(f"{count} entries written to {output}")


def _by_name(output: Path | None) -> Format:
    ending = output.suffix.lower().removeprefix(".") if output else ""
    return Format(ending) if ending in {kind.value for kind in Format} else Format.JSON


async def _export(cache: Medha, lines: Path, vectors: bool) -> int:
    async with cache:
        with progress("reading entries") as on_progress:
            return await cache.export_jsonl(lines, include_vectors=vectors, on_progress=on_progress)


def _write(lines: Path, target: Path | None, kind: Format) -> None:
    """Bring the entries into their form; a file that was there stays until the new one is complete."""
    if target is None:
        with lines.open(encoding="utf-8", newline="") as entries:
            _convert(entries, sys.stdout, kind)
        return
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    with writing("--output", target):
        try:
            with (
                lines.open(encoding="utf-8", newline="") as entries,
                partial.open("w", encoding="utf-8", newline="") as file,
            ):
                _convert(entries, file, kind)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def _convert(lines: Iterable[str], file: IO[str], kind: Format) -> None:
    if kind is Format.JSONL:
        file.writelines(lines)
    elif kind is Format.CSV:
        _write_csv((json.loads(line) for line in lines), file)
    else:
        file.write("[")
        for i, line in enumerate(lines):
            file.write(("," if i else "") + "\n" + line.rstrip("\n"))
        file.write("\n]\n")


def _write_csv(entries: Iterable[dict[str, Any]], file: IO[str]) -> None:
    """A line an entry, metadata as JSON."""
    columns = (
        "question generated_query response_summary template_id metadata created_at expires_at usage_count "
        "feedback_correct feedback_incorrect"
    ).split()
    writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        metadata = json.dumps(entry["metadata"], ensure_ascii=False) if entry.get("metadata") else ""
        writer.writerow(entry | {"metadata": metadata})
