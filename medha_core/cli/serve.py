"""`medha serve`: embeddings and the cache over HTTP."""

from pathlib import Path
from typing import Annotated

import typer

from medha_core import BaseEmbedder, ConfigurationError, EmbedderService, Medha
from medha_core.cli.opening import open_embedder, open_settings
from medha_core.cli.options import Collection, Directory, Model
from medha_core.cli.output import OK, note
from medha_core.cli.warm import load
from medha_core.embeddings.registry import model_config
from medha_core.service.api_keys import KeyFile, default_key_file

app = typer.Typer()


@app.command("serve")
def serve_command(
    host: Annotated[
        str, typer.Option(help="The address to serve; others than loopback need keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    collection: Collection = None,
    path: Directory = None,
    model: Model = None,
    keys_file: Annotated[
        Path | None, typer.Option("--keys", help="The file of API keys [MEDHA_KEYS].")
    ] = None,
    warm_from: Annotated[Path | None, typer.Option("--warm", help="Store this file's entries first.")] = None,
    redis: Annotated[
        str | None, typer.Option(help="URL of a Redis that vectors are shared in [MEDHA_REDIS_URL].")
    ] = None,
    entries: Annotated[int, typer.Option("--vectors", min=0, help="Vectors remembered in memory.")] = 10_000,
    max_body: Annotated[int, typer.Option(min=1, help="Bytes of a request.")] = 1_000_000,
    max_batch: Annotated[int, typer.Option(min=1, help="Texts of a request.")] = 1024,
    rate: Annotated[
        int | None, typer.Option(min=1, help="Texts a minute that are computed for one caller.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds a request may take.")] = 60.0,
    grace: Annotated[int, typer.Option(min=0, help="Seconds to finish what is under way at the end.")] = 30,
    access_log: Annotated[bool, typer.Option(help="Log each request's path and status.")] = False,
) -> None:
    """Serve embeddings and the cache over HTTP."""
    # Imported here: the extra `server` is needed by this command alone.
    from medha_core.service import app as application
    from medha_core.service import server
    from medha_core.service.limits import Limits

    keys = _keys(keys_file)
    server.check_binding(host, has_keys=keys is not None)
    limits = Limits(max_body=max_body, max_batch=max_batch, rate=rate, timeout=timeout)
    settings = open_settings(path)
    bound = server.listen(host, port)
    embedder = open_embedder(model, settings)
    name = _name(model, embedder)
    service = EmbedderService(
        name,
        embedders={name: embedder},
        redis_client=redis or settings.redis_url,
        cache_entries=entries,
    )
    cache = Medha(settings.collection if collection is None else collection, embedder, settings=settings)
    served = application.create_app(
        service, cache, keys=keys, limits=limits, hosts=None if keys else application.LOCAL_NAMES | {host}
    )

    async def prepare() -> None:
        await cache.start()
        if warm_from is not None:
            await load(cache, warm_from)

    def announce() -> None:
        where = f"[{host}]" if ":" in host else host
        note(f"serving http://{where}:{bound.getsockname()[1]} ({_described(keys, settings.path)})")

    server.serve(served, bound, prepare=prepare, on_start=announce, grace=grace, access_log=access_log)
    raise typer.Exit(OK)


def _keys(file: Path | None) -> KeyFile | None:
    """The keys callers need: those of a file that was named, or of the user's own if there are any."""
    if file is not None:
        return KeyFile(file)
    own = KeyFile(default_key_file())
    return own if own.all() else None


def _name(asked: str | None, embedder: BaseEmbedder) -> str:
    """What the model is called: as the table of models has it, which knows its price, if it is there."""
    for name in (asked, embedder.model_name):
        try:
            return model_config(name or "").name
        except ConfigurationError:
            continue
    return embedder.model_name


def _described(keys: KeyFile | None, path: Path | None) -> str:
    callers = "anybody on this machine may call" if keys is None else f"{len(keys.active())} keys may call"
    return f"{callers}, the cache is {'in memory' if path is None else f'in {path}'}"
