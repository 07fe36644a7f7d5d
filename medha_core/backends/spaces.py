"""A store's way to its engine: calls, connections, collections."""

import asyncio
import inspect
import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple

from medha_core.backends.driver import Driver
from medha_core.concurrency.bridge import bridge
from medha_core.errors import (
    ArgumentValueError,
    DimensionMismatchError,
    MedhaError,
    StorageError,
    StorageInitializationError,
)
from medha_core.interfaces import VectorStorageBackend

__all__ = ["EngineSpaces", "Space"]

_ATTEMPTS = 2
"""How often a call is made whose connection breaks: once more finds a server that was restarted."""


class Space(NamedTuple):
    """One collection as the engine keeps it; `model` is the embedder's fingerprint, "" when not given."""

    name: str
    dimension: int
    model: str


class EngineSpaces(VectorStorageBackend):
    """The part of a store that speaks to the engine and knows the collections."""

    supports_metadata: ClassVar[bool] = True

    def __init__(self, driver: Driver, *, clock: Callable[[], float] = time.time):
        self._driver = driver
        self._clock = clock
        self._spaces: dict[str, Space] = {}
        self._opened: Future[None] | None = None
        """Of the call that connects; None while the store is closed."""
        self._serial = threading.Lock()
        self._opening = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._driver.describe()} {list(self._spaces)}>"

    # calling the driver

    async def _call(self, doing: str, name: str, *arguments: Any, again: bool = True) -> Any:
        """Call the driver's function `name`; what it raises becomes ours, a lost connection is made anew."""
        if self._opened is None:
            raise StorageError("the store is not open: call connect() first, and nothing after close()")
        function = getattr(self._driver, name)
        for left in reversed(range(_ATTEMPTS if again else 1)):
            try:
                return await self._run(function, arguments)
            except MedhaError:
                raise
            except Exception as error:
                if not left or not isinstance(error, self._driver.lost):
                    raise StorageError(
                        f"{self._driver.engine}: {doing} failed: {type(error).__name__}: {error}"
                    ) from error
                with suppress(Exception):  # whether that was in vain, the next attempt says
                    await self._run(self._driver.reconnect, ())
        raise AssertionError("unreachable")

    async def _run(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        if inspect.iscoroutinefunction(function):
            return await asyncio.wrap_future(bridge.submit(function(*arguments)))
        return await asyncio.to_thread(self._locked, function, arguments)

    def _locked(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        if not self._driver.serial:
            return function(*arguments)
        with self._serial:
            return function(*arguments)

    async def _finish(self, doing: str, name: str, *arguments: Any) -> Any:
        """`_call` for writing: a cancelled caller goes on when the engine has stopped changing."""
        work = asyncio.ensure_future(self._call(doing, name, *arguments))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            if not work.cancelled():
                work.exception()  # seen: the caller learns of its own cancellation
            raise

    # life

    async def connect(self) -> None:
        """Raises `StorageInitializationError` when the engine cannot be reached."""
        with self._opening:
            opened, first = self._opened, self._opened is None
            if opened is None:
                opened = self._opened = Future()
                opened.set_running_or_notify_cancel()  # one who stops waiting does not cancel it
        if not first:  # by another task or thread: that is waited for
            return await asyncio.wrap_future(opened)
        try:
            await self._call("connecting", "open")
        except BaseException as error:
            with suppress(Exception):  # what was half open is closed; the error that counts is the first
                await self._run(self._driver.close, ())
            self._opened = None
            opened.set_exception(StorageInitializationError(f"another attempt to connect failed: {error}"))
            if isinstance(error, StorageError) and not isinstance(error, StorageInitializationError):
                raise StorageInitializationError(str(error)) from error
            raise
        opened.set_result(None)
        return None

    async def close(self) -> None:
        if self._opened is not None:
            try:
                await self._call("closing", "close", again=False)
            finally:
                self._opened = None
                self._spaces.clear()

    async def initialize(self, collection_name: str, dimension: int, **kwargs: Any) -> None:
        if dimension < 1:
            raise ArgumentValueError("dimension", "at least 1", dimension)
        await self.connect()
        model = kwargs.get("model", "")
        held = await self._known(collection_name)
        if held is None:
            name = self._driver.space(collection_name)
            note = {"collection": collection_name, "dimension": dimension, "model": model, "format": 1}
            await self._finish("creating a collection", "create", name, dimension)
            await self._finish("creating a collection", "write_note", name, "collection", json.dumps(note))
            held = await self._known(collection_name)
        if held is None:
            raise StorageInitializationError(f"collection {collection_name!r} is gone as soon as it was made")
        _check_space(collection_name, held, dimension, model)

    async def collection_names(self) -> list[str]:
        """Names of all collections, sorted."""
        notes = await self._call("listing collections", "notes", "collection")
        return sorted(json.loads(note)["collection"] for note in notes)

    async def collection_space(self, collection_name: str) -> tuple[int, str]:
        """A collection's dimension and the fingerprint of its model, "" when it was not given."""
        space = await self._space(collection_name)
        return space.dimension, space.model

    async def _known(self, collection: str) -> Space | None:
        known = self._spaces.get(collection)
        if known is not None:
            return known
        name = self._driver.space(collection)
        note = await self._call("reading a collection", "read_note", name, "collection")
        if note is None:
            return None
        body = json.loads(note)
        if body["collection"] != collection:
            raise StorageInitializationError(
                f"{name} holds collection {body['collection']!r}, not {collection!r}"
            )
        self._spaces[collection] = Space(name, body["dimension"], body["model"])
        return self._spaces[collection]

    async def _space(self, collection: str) -> Space:
        known = self._spaces.get(collection) or await self._known(collection)
        if known is None:
            raise StorageError(f"collection {collection!r} does not exist; initialize() creates it")
        return known

    async def drop_collection(self, collection_name: str) -> None:
        self._spaces.pop(collection_name, None)
        await self._finish("dropping a collection", "drop", self._driver.space(collection_name))


def _check_space(collection: str, held: Space, dimension: int, model: str) -> None:
    """Refuse vectors that cannot be compared with those of the collection."""
    if held.dimension != dimension:
        raise DimensionMismatchError(held.dimension, dimension, f"collection {collection!r}")
    if model and held.model and held.model != model:
        raise StorageInitializationError(
            f"collection {collection!r} holds vectors of {held.model!r}, and the embedder "
            f"gives those of {model!r}: they cannot be compared"
        )
