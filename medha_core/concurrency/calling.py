"""Calling what a user has given, which may be a coroutine function or a plain one, on a loop or off it."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine; also for an object whose call does."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object whose call is a coroutine function
    )


def accepts(function: Callable[..., Any], name: str) -> bool:
    """Whether it takes a keyword argument of this name."""
    parameters = inspect.signature(function).parameters
    return name in parameters or any(kind.kind is kind.VAR_KEYWORD for kind in parameters.values())


def on_event_loop() -> bool:
    """Whether the calling thread is running an event loop now."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def called(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns: awaited, or computed in a thread, so that it cannot hold up the event loop."""
    if is_async(function):
        return await function(*arguments)
    result = await asyncio.to_thread(function, *arguments)
    return await result if inspect.isawaitable(result) else result
