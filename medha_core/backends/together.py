"""What is asked of an engine at the same moment travels together."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Together"]

Kind = TypeVar("Kind", bound=Hashable)
Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Together(Generic[Kind, Item, Answer]):
    """Puts what the tasks of a loop ask in one of its turns into calls of up to `most` items of a kind.

    `call` gives an answer for each item, in order. A batch of questions is answered by
    searches side by side, so it costs an engine that takes several at once one round
    trip, and so do questions of strangers that coincide.
    """

    def __init__(self, call: Callable[[Kind, list[Item]], Awaitable[list[Answer]]], most: int):
        self._call = call
        self._most = most
        self._asked: dict[
            tuple[asyncio.AbstractEventLoop, Kind], list[tuple[Item, asyncio.Future[Answer]]]
        ] = defaultdict(list)
        """What stands under a loop is changed by that loop's thread alone."""
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, kind: Kind, item: Item) -> Answer:
        """The answer to one item; what `call` raises, all who asked are told."""
        loop = asyncio.get_running_loop()
        waiting = self._asked[loop, kind]
        if not waiting:
            loop.call_soon(self._send, loop, kind)
        answer: asyncio.Future[Answer] = loop.create_future()
        waiting.append((item, answer))
        return await answer

    def _send(self, loop: asyncio.AbstractEventLoop, kind: Kind) -> None:
        asked = [one for one in self._asked.pop((loop, kind)) if not one[1].done()]
        for start in range(0, len(asked), self._most):
            task = loop.create_task(self._answer(kind, asked[start : start + self._most]))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _answer(self, kind: Kind, asked: list[tuple[Item, "asyncio.Future[Answer]"]]) -> None:
        """Answers that are done already are those of callers who were cancelled."""
        try:
            found = await self._call(kind, [item for item, _ in asked])
            for (_, answer), one in zip(asked, found, strict=True):
                if not answer.done():
                    answer.set_result(one)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is handed to those who wait
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(error)
        finally:
            for _, answer in asked:
                answer.cancel()  # changes nothing where there is an answer
