"""The service that a whole program shares."""

import inspect
import threading
from typing import Any

from medha_core.errors import ConfigurationError, shown
from medha_core.service.service import EmbedderService

_lock = threading.Lock()
"""Held while the two below are looked at or changed."""
_service: EmbedderService | None = None
_arguments: dict[str, Any] = {}


_SIGNATURE = inspect.signature(EmbedderService)


def get_embedder_service(*values: Any, **arguments: Any) -> EmbedderService:
    """The one `EmbedderService` of this program, made when it is first asked for.

    The arguments are those of `EmbedderService`.

    Afterwards call it without arguments, or with some of the same; others raise
    `ConfigurationError`, for they would change nothing. `close_embedder_service`
    makes room for another, and `EmbedderService(...)` is always one of your own.
    """
    global _service, _arguments
    with _lock:
        given = _SIGNATURE.bind(*values, **arguments)
        asked = dict(given.arguments)
        if _service is None:
            _service = EmbedderService(*given.args, **given.kwargs)
            given.apply_defaults()
            _arguments = dict(given.arguments)
            return _service
        for name, value in asked.items():
            if not _same(_arguments[name], value):
                made = f"with {shown(_arguments[name])}"
                told = "" if "key" in name else f"{made}, now asked for with {shown(value)}"
                raise ConfigurationError(
                    f"get_embedder_service: {name} differs from the first call{told and ': ' + told}; "
                    "call close_embedder_service() first, or make an EmbedderService of your own"
                )
        return _service


async def close_embedder_service() -> None:
    """Close the shared service; the next call of `get_embedder_service` makes a new one."""
    global _service, _arguments
    with _lock:
        service, _service, _arguments = _service, None, {}
    if service is not None:
        await service.close()


def _same(left: Any, right: Any) -> bool:
    return left is right or (type(left) is type(right) and bool(left == right))
