"""`/health`, `/ready` and `/metrics`: what stands around a server asks."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from medha_core.medha import Medha
from medha_core.service.access import Access, Caller
from medha_core.service.problems import StructuredRoute
from medha_core.service.prometheus import CONTENT_TYPE, ServerMetrics
from medha_core.service.readiness import Readiness
from medha_core.service.routers.common import ERRORS
from medha_core.service.schemas import StateAnswer


def state_router(
    readiness: Readiness,
    metrics: ServerMetrics,
    access: Access | None = None,
    *,
    cache: Medha | None = None,
) -> APIRouter:
    """`/health` and `/ready` need no key, `/metrics` one that is bound to no collection.

    Args:
        cache: its figures follow those of the server.
    """
    access = access or Access()
    router = APIRouter(tags=["state"], route_class=StructuredRoute)
    Known = Annotated[Caller, Depends(access.caller)]  # noqa: N806 (a type)

    @router.get("/health")
    async def health() -> StateAnswer:
        """Whether the process answers."""
        return StateAnswer(status="ok")

    @router.get("/ready", responses={503: {"model": StateAnswer, "description": "Not ready."}})
    async def ready(response: Response) -> StateAnswer:
        """Whether requests can be answered: the model is loaded, the cache is open."""
        checks = await readiness.checks()
        is_ready = readiness.is_ready(checks)
        response.status_code = 200 if is_ready else 503
        return StateAnswer(status="ready" if is_ready else "not ready", checks=checks)

    @router.get(
        "/metrics",
        response_class=Response,
        responses={**ERRORS, 200: {"content": {"text/plain": {}}, "description": "Prometheus text."}},
    )
    async def prometheus(caller: Known) -> Response:
        """What Prometheus reads."""
        caller.check_operator()
        text = metrics.text()
        if cache is not None:
            text += (await cache.prometheus_text()).encode()
        return Response(text, media_type=CONTENT_TYPE)

    return router
