"""Routers that can be mounted one by one into an application of your own."""

from medha_core.service.routers.cache import cache_router
from medha_core.service.routers.embed import embed_router
from medha_core.service.routers.openai import openai_router
from medha_core.service.routers.state import state_router
from medha_core.service.routers.wire import wire_router

__all__ = ["cache_router", "embed_router", "openai_router", "state_router", "wire_router"]
