"""`medha snapshot`: write one, load one, look at one, check one, make one smaller."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from medha_core.cli.output import OK, emit, emit_json, progress
from medha_core.embedded.backend import NativeBackend
from medha_core.embedded.maintenance import compact, load
from medha_core.embedded.verification import verify
from medha_core.manifest import Manifest
from medha_core.snapshot import read_info

app = typer.Typer(help="Write, load, show, check and compact snapshots of a cache.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


@app.command("save")
def save_command(
    source: Annotated[Path, typer.Argument(help="Directory of the cache; it may be in use.")],
    target: Annotated[Path, typer.Argument(help="Directory of the snapshot; an older one is replaced.")],
    json: AsJson = False,
) -> None:
    """Write everything in SOURCE to TARGET as one directory that can be copied anywhere."""
    raise typer.Exit(_report(target, asyncio.run(_save(source, target)), "saved", json))


async def _save(source: Path, target: Path) -> Manifest:
    async with NativeBackend(source, mode="r") as store:
        with progress("copying") as on_progress:
            await store.snapshot(target, on_progress)
    return read_info(target)


@app.command("load")
def load_command(
    source: Annotated[Path, typer.Argument(help="Directory of the snapshot.")],
    target: Annotated[Path, typer.Argument(help="Directory of the cache that is made of it.")],
    replace: Annotated[bool, typer.Option(help="Put it in the place of the cache in TARGET.")] = False,
    json: AsJson = False,
) -> None:
    """Check SOURCE and make a cache for daily use of it in TARGET."""
    with progress("loading") as on_progress:
        found = load(source, target, replace=replace, on_progress=on_progress)
    raise typer.Exit(_report(target, found, "is loaded", json))


@app.command("compact")
def compact_command(directory: Path, json: AsJson = False) -> None:
    """Drop tombstones and unused pages of a snapshot, or of a cache that nobody writes, and rewrite it."""
    with progress("compacting") as on_progress:
        done = compact(directory, on_progress)
    if json:
        emit_json({"directory": str(directory), "bytes_before": done.before, "bytes_after": done.after})
        raise typer.Exit(OK)
    emit(f"{directory}: {done.before} bytes before, {done.after} after")
    raise typer.Exit(OK)


@app.command("info")
def info_command(directory: Path, json: AsJson = False) -> None:
    """Show what a snapshot, or a directory in daily use, holds."""
    raise typer.Exit(_report(directory, read_info(directory), "holds", json))


@app.command("verify")
def verify_command(directory: Path, json: AsJson = False) -> None:
    """Read every file and every entry, and say whether they are what was written."""
    with progress("checking") as on_progress:
        found = verify(directory, on_progress)
    raise typer.Exit(_report(directory, found, "is sound", json))


def _report(directory: Path, found: Manifest, verb: str, as_json: bool) -> int:
    if as_json:
        emit_json({"directory": str(directory), "entries": found.entries, **asdict(found)})
        return OK
    emit(f"{directory} {verb}: {found.entries} entries in {len(found.collections)} collections")
    for one in found.collections:
        emit(f"  {one.name!r}: {one.entries} entries, {one.dimension} dimensions, {one.metric}, {one.model}")
    for file in found.files:
        emit(f"  {file.name}: {file.bytes} bytes, xxh3-128 {file.xxh3_128}")
    if found.created:
        emit(f"  written {found.created} by {found.library}, format {found.format}")
    return OK
