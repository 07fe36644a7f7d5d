"""`medha doctor`: what is installed, what runs on this machine, and whether a small cache works."""

import asyncio
import platform
import sqlite3
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from medha_core import HashingEmbedder, Medha, MedhaError, Settings, __version__, native
from medha_core.cli.output import ERROR, OK, emit, emit_json, settings_problem
from medha_core.embeddings import models

OPTIONAL = {
    "onnx": ("onnxruntime", "tokenizers", "onnx", "safetensors"),
    "cli": ("typer", "rich"),
    "plot": ("matplotlib",),
    "pandas": ("pandas",),
    "redis": ("redis",),
    "metrics": ("prometheus-client",),
    "sql": ("sqlglot",),
    "server": ("fastapi", "uvicorn", "httptools", "uvloop", "msgspec", "prometheus-client"),
    "http": ("httpx", "stamina"),
    "remote": ("httpx", "msgpack"),
    "fastembed": ("fastembed",),
    "sentence-transformers": ("sentence-transformers",),
    "qdrant": ("qdrant-client",),
    "qdrant-edge": ("qdrant-edge-py",),
    "pgvector": ("asyncpg",),
    "vectorchord": ("asyncpg",),
    "chroma": ("chromadb",),
    "lancedb": ("lancedb", "pyarrow"),
    "elasticsearch": ("elasticsearch",),
    "weaviate": ("weaviate-client",),
    "azure-search": ("azure-search-documents",),
}
"""Optional packages by the extra that brings them."""

Report = dict[str, Any]


def command(model: str | None, *, as_json: bool) -> int:
    report = examine(model or models.DEFAULT_MODEL)
    if as_json:
        emit_json(report)
    else:
        rows = _lines(report)
        width = max(len(name) for name, _ in rows) + 2
        for name, text in rows:
            emit(f"{name:<{width}}{text}")
    return OK if report["settings"]["valid"] and report["self_test"]["passed"] else ERROR


def examine(model: str) -> Report:
    """Everything `medha doctor` says, as plain values."""
    return {
        "medha_core": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "sqlite": sqlite3.sqlite_version,
        "extension": native.extension_loaded,
        "simd": {"running": native.simd_variant(), "available": list(native.simd_variants())},
        "extras": {extra: {name: _version(name) for name in names} for extra, names in OPTIONAL.items()},
        "model": _model(model),
        "settings": _settings(),
        "self_test": _self_test(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _model(name: str) -> Report:
    folder = models.model_path(name)
    report = {
        "name": name,
        "folder": str(folder),
        "present": folder.is_dir(),
        "verified": False,
        "problem": None,
    }
    if report["present"]:
        try:
            models.verify(name)
            report["verified"] = True
        except MedhaError as error:
            report["problem"] = str(error)
    return report


def _settings() -> Report:
    try:
        Settings()
    except ValidationError as error:
        return {"valid": False, "problem": settings_problem(error)}
    return {"valid": True, "problem": None}


def _self_test() -> Report:
    """Store one question in a new cache on disk and ask for it and for another."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            found, missed = asyncio.run(_ask_twice(Path(folder)))
    except (MedhaError, OSError) as error:
        return {"passed": False, "problem": str(error)}
    passed = found == "SELECT 1" and not missed
    return {"passed": passed, "problem": None if passed else f"the cache answered {found!r} and {missed!r}"}


async def _ask_twice(folder: Path) -> tuple[str, str]:
    # The defaults, whatever the environment says: the library is tested, not the configuration.
    settings = Settings.model_construct(path=folder)
    async with Medha("doctor", HashingEmbedder(), settings=settings) as cache:
        await cache.store("How many customers are there?", "SELECT 1")
        await cache.clear_caches()
        found = await cache.search("How many customers are there?")
        missed = await cache.search("Which invoices are overdue?")
    return found.generated_query, missed.generated_query


def _lines(report: Report) -> list[tuple[str, str]]:
    simd, model, test = report["simd"], report["model"], report["self_test"]
    return [
        ("medha-core", report["medha_core"]),
        ("python", report["python"]),
        ("platform", report["platform"]),
        ("sqlite", report["sqlite"]),
        ("extension", "loaded" if report["extension"] else "not loaded: plain Python runs instead"),
        ("simd", f"{simd['running']} runs; this machine has {', '.join(simd['available'])}"),
        *((f"[{extra}]", _packages(extra, found)) for extra, found in report["extras"].items()),
        ("model", f"{model['name']}: {_model_state(model)}"),
        ("", model["folder"]),
        ("settings", report["settings"]["problem"] or "valid"),
        ("self-test", test["problem"] or "passed"),
    ]


def _packages(extra: str, found: dict[str, str | None]) -> str:
    present = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    absent = ", ".join(name for name, number in found.items() if not number)
    missing = f"missing: {absent} (pip install 'medha-core[{extra}]')" if absent else ""
    return "; ".join(filter(None, [present, missing]))


def _model_state(model: Report) -> str:
    if not model["present"]:
        return f"absent (medha models pull {model['name']})"
    return model["problem"] or "present and verified"
