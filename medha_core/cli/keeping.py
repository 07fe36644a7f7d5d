"""`medha stats`, `export` and `health`: what a cache holds, without changing it."""

import asyncio
import contextlib
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

from medha_core import ConfigurationError, Medha, MedhaError, PersistedStats, Settings
from medha_core.cli.opening import open_cache, open_kept_settings, open_settings
from medha_core.cli.options import AsJson, Collection, Kept, Model
from medha_core.cli.output import MISS, OK, emit, emit_json, progress
from medha_core.cli.recorded import kept_directory, open_recorded, recorded_embedder
from medha_core.embeddings import models
from medha_core.files import allowed_path, read_text
from medha_core.templates import read_templates

app = typer.Typer()


class Format(str, Enum):
    """How an export is written; JSON and JSONL can be warmed again."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"


# stats


@app.command("stats")
def stats_command(collection: Collection = None, path: Kept = None, json: AsJson = False) -> None:
    """Say how many entries a cache has, and what was asked of it by all processes."""
    settings = open_kept_settings(path, None)
    cache = open_recorded(path, collection, mode="r")
    report = asyncio.run(_stats(cache, settings))
    if json:
        emit_json(report)
        return
    for name, value in report.items():
        emit(f"{name:<18}{_shown(value)}")


async def _stats(cache: Medha, settings: Settings) -> dict[str, Any]:
    async with cache:
        kept = await cache.persisted_stats()
        entries = (await cache.stats()).backend_count
    return {
        "collection": cache.collection_name,
        "backend_type": settings.backend_type,
        "entries": entries,
        "templates": _templates(settings),
        **_counted(kept),
        **_errors(kept, settings),
    }


def _counted(kept: PersistedStats) -> dict[str, Any]:
    if kept.updated_at is None:
        return {"total_requests": None, "hit_rate": None, "hits_by_strategy": None}
    return {
        "total_requests": kept.total_requests,
        "hit_rate": round(kept.hit_rate, 4),
        "hits_by_strategy": kept.hits_by_strategy,
    }


def _errors(kept: PersistedStats, settings: Settings) -> dict[str, Any]:
    """The error rate that feedback has shown, beside the one promised; nothing without either."""
    seen, promised = kept.error_rate_seen, settings.max_error_rate
    if seen is None and promised is None:
        return {}
    return {
        "judged_answers": kept.feedback_correct + kept.feedback_incorrect,
        "error_rate_seen": None if seen is None else round(seen, 4),
        "error_rate_promised": promised,
    }


def _templates(settings: Settings) -> int:
    """How many query templates the settings name."""
    if settings.template_file is None:
        return 0
    return len(read_templates(read_text(settings.template_file, settings), settings.template_file))


def _shown(value: Any) -> str:
    if value is None:
        return "none yet"
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in sorted(value.items())) or "none"
    return str(value)


# export


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


# health


@app.command("health")
def health_command(
    collection: Collection = None, path: Kept = None, model: Model = None, json: AsJson = False
) -> None:
    """Look whether the store answers and the embedder embeds; exit code 1 when one does not."""
    settings = open_settings(path)
    name = settings.collection if collection is None else collection
    report = {
        "collection": name,
        "backend": _checked(lambda: _backend_health(settings, name)),
        "embedder": _checked(lambda: _embedder_health(settings, name, model)),
    }
    if json:
        emit_json(report)
    else:
        for part in ("backend", "embedder"):
            emit(f"{part:<10}{report[part]['status']:<9}{report[part]['detail']}")
    raise typer.Exit(MISS if "ERROR" in (report["backend"]["status"], report["embedder"]["status"]) else OK)


def _checked(check: Any) -> dict[str, str]:
    try:
        status, detail = check()
    except (MedhaError, OSError) as error:
        status, detail = "ERROR", str(error)
    return {"status": status, "detail": detail}


def _backend_health(settings: Settings, name: str) -> tuple[str, str]:
    if settings.backend_type == "memory" or (settings.backend_type == "native" and settings.path is None):
        return "SKIPPED", "in memory: nothing is kept"
    cache = open_recorded(settings.path, name, mode="r")

    async def count() -> int:
        async with cache:
            return (await cache.stats()).backend_count

    return "OK", f"{settings.backend_type}, {asyncio.run(count())} entries"


def _embedder_health(settings: Settings, name: str, model: str | None) -> tuple[str, str]:
    chosen = model or settings.embedder_type
    if chosen == "_noop":
        return "SKIPPED", "no embedder is chosen: MEDHA_EMBEDDER_TYPE"
    if chosen in ("onnx", models.DEFAULT_MODEL) and not models.model_path(models.DEFAULT_MODEL).is_dir():
        return "ERROR", f"the model {models.DEFAULT_MODEL} is not here: medha models pull"
    embedder = open_cache(settings.model_copy(update={"path": None}), name, model)._embedder
    vector = embedder.embed("health")
    with contextlib.suppress(MedhaError):  # what is wrong with the store is said there
        stored = recorded_embedder(kept_directory(settings), name)
        if stored.fingerprint != embedder.fingerprint:
            return "ERROR", f"embeds as {embedder.fingerprint}, the collection holds {stored.fingerprint}"
    return "OK", f"{embedder.model_name}, {len(vector)} dimensions"
