"""`medha serve`: embeddings and the cache over HTTP."""

from pathlib import Path
from typing import Any

from medha_core import EmbedderService, HashingEmbedder, Medha
from medha_core.cli.opening import open_embedder, open_settings
from medha_core.cli.output import OK, note
from medha_core.cli.warm import load
from medha_core.service.api_keys import KeyFile, default_key_file


def command(
    host: str,
    port: int,
    collection: str | None,
    path: Path | None,
    model: str | None,
    *,
    keys_file: Path | None,
    warm_from: Path | None,
    redis_url: str | None,
    entries: int,
    limits: dict[str, Any],
    grace: int,
    access_log: bool,
) -> int:
    from medha_core.service import app as application
    from medha_core.service import server
    from medha_core.service.limits import Limits

    keys = _keys(keys_file)
    server.check_binding(host, has_keys=keys is not None)
    allowed = Limits(**limits)
    settings = open_settings(path)
    bound = server.listen(host, port)
    embedder = open_embedder(model, settings)
    name = "hashing" if isinstance(embedder, HashingEmbedder) else embedder.model_name
    service = EmbedderService(name, embedders={name: embedder}, redis_client=redis_url, cache_entries=entries)
    cache = Medha(settings.collection if collection is None else collection, embedder, settings=settings)
    app = application.create_app(
        service,
        cache,
        keys=keys,
        limits=allowed,
        hosts=None if keys else application.LOCAL_NAMES | {host},
    )

    async def prepare() -> None:
        await cache.start()
        if warm_from is not None:
            await load(cache, warm_from)

    def announce() -> None:
        where = f"[{host}]" if ":" in host else host
        note(f"serving http://{where}:{bound.getsockname()[1]} ({_described(keys, settings.path)})")

    server.serve(app, bound, prepare=prepare, on_start=announce, grace=grace, access_log=access_log)
    return OK


def _keys(file: Path | None) -> KeyFile | None:
    """The keys callers need: those of a file that was named, or of the user's own if there are any."""
    if file is not None:
        return KeyFile(file)
    own = KeyFile(default_key_file())
    return own if own.all() else None


def _described(keys: KeyFile | None, path: Path | None) -> str:
    callers = "anybody on this machine may call" if keys is None else f"{len(keys.active())} keys may call"
    return f"{callers}, the cache is {'in memory' if path is None else f'in {path}'}"
