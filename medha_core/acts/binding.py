"""How methods of the acts become methods of the cache, each with its synchronous twin."""

from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import cleandoc
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from medha_core.concurrency.bridge import bridge

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Act(Generic[P, R]):
    """A method of an act, as a method of the cache: `search = Act(Searching.search)`.

    The cache holds the act that has the method under the lower-case name of its
    class, `_searching`. Looked up in the class, it is the act's own function.
    """

    def __init__(self, method: Callable[Concatenate[Any, P], R]):
        self._method = method
        self._place = f"_{method.__qualname__.partition('.')[0].lower()}"

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, cache: None, owner: type) -> Callable[Concatenate[Any, P], R]: ...
    @overload
    def __get__(self, cache: object, owner: type) -> Callable[P, R]: ...
    def __get__(self, cache: object | None, owner: type) -> Callable[..., R]:
        if cache is None:
            return self._method
        held = cache.__dict__
        # Kept in the cache: the next look finds it there, without coming here.
        bound = held[self._name] = MethodType(self._method, held[self._place])
        return bound


def twin(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
    ready: Callable[[Any, Any], T | None] | None = None,
) -> Callable[Concatenate[Any, P], T]:
    """The synchronous twin of an async method: same name and "_sync", arguments, result and errors.

    It runs the cache's method of that name on the bridge's event loop, so it is
    safe from any thread and inside a running loop. `ready(cache, argument)` may
    know the result of a call with one argument at once.
    """
    name = method.__name__

    @wraps(method)
    def run(cache: Any, /, *args: Any, **options: Any) -> T:
        if ready is not None and len(args) == 1 and not options:
            known = ready(cache, args[0])
            if known is not None:
                return known
        return bridge.run(getattr(cache, name)(*args, **options))

    run.__name__ = f"{name}_sync"
    run.__qualname__ = f"Medha.{name}_sync"
    run.__doc__ = f"`{name}` from any thread, inside a running event loop too.\n\n{cleandoc(method.__doc__)}"
    return run
