"""`create_app`: the whole server as one FastAPI application."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

try:
    import msgspec  # noqa: F401 (the routers need it)
    import prometheus_client  # noqa: F401
    from fastapi import FastAPI, Request, Response
except ModuleNotFoundError as error:
    if error.name not in ("fastapi", "msgspec", "prometheus_client"):
        raise
    from medha_core.errors import ConfigurationError

    raise ConfigurationError(f"the server needs {error.name}: pip install 'medha-core[server]'") from error

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from medha_core.medha import Medha
from medha_core.service.access import Access
from medha_core.service.api_keys import KeyFile
from medha_core.service.gate import Gate
from medha_core.service.limits import Limits
from medha_core.service.problems import problem_of
from medha_core.service.prometheus import ServerMetrics
from medha_core.service.readiness import Readiness
from medha_core.service.routers import cache_router, embed_router, openai_router, state_router, wire_router
from medha_core.service.service import EmbedderService

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""What this machine is called by in `Host` headers."""


def create_app(
    service: EmbedderService,
    cache: Medha | None = None,
    *,
    keys: KeyFile | None = None,
    limits: Limits | None = None,
    hosts: Collection[str] | None = None,
    metrics: ServerMetrics | None = None,
) -> FastAPI:
    """The application that `medha serve` runs.

    It starts what it is given and closes it at the end. To serve a part of it in an
    application of your own, include the routers of `medha_core.service.routers`.

    Args:
        service: embeds; its default model is loaded before the first request.
        cache: a `Medha` for the routes `/cache/...`; None leaves them out.
        keys: who may call; None lets everybody in.
        limits: sizes, rates and times.
        hosts: the names in `Host` headers that are served; None for all.
    """
    access = Access(keys, limits)
    readiness = Readiness(service, cache)
    figures = metrics or ServerMetrics(service)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await service.load()
        if cache is not None:
            await cache.start()
        try:
            yield
        finally:
            readiness.closing = True
            if cache is not None:
                await cache.close()
            await service.close()

    app = FastAPI(
        title="medha",
        summary="Embeddings, and queries that were already written.",
        lifespan=lifespan,
    )
    app.state.readiness = readiness
    app.include_router(embed_router(service, access))
    app.include_router(wire_router(service, access))
    app.include_router(openai_router(service, access))
    app.include_router(state_router(readiness, figures, access, cache=cache))
    if cache is not None:
        app.include_router(cache_router(cache, access))
    app.add_exception_handler(HTTPException, _told)
    app.add_exception_handler(RequestValidationError, _told)
    app.add_middleware(
        Gate,
        limits=access.limits,
        hosts=hosts,
        is_closing=lambda: readiness.closing,
        on_done=figures.record,
    )
    return app


async def _told(_request: Request, error: Exception) -> Response:
    """Paths and methods that no route has."""
    return problem_of(error).response()
