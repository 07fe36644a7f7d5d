"""What is asked at the same moment travels together, and each caller has an answer of its own."""

import asyncio

import pytest

from medha_core.backends.together import Together
from medha_core.errors import StorageError


class Engine:
    def __init__(self, fails=False):
        self.calls, self.fails, self.gate = [], fails, asyncio.Event()
        self.gate.set()

    async def __call__(self, kind, items):
        self.calls.append((kind, list(items)))
        await self.gate.wait()
        if self.fails:
            raise StorageError("away")
        return [(kind, item) for item in items]


async def test_one_turn_is_one_call_of_each_kind():
    engine = Engine()
    together = Together(engine, 3)
    answers = await asyncio.gather(*(together.ask("ab"[i % 2], i) for i in range(8)))
    assert answers == [("ab"[i % 2], i) for i in range(8)]
    assert sorted(engine.calls) == [("a", [0, 2, 4]), ("a", [6]), ("b", [1, 3, 5]), ("b", [7])]
    assert await together.ask("a", 9) == ("a", 9)
    assert not together._asked
    await asyncio.sleep(0)
    assert not together._under_way


async def test_all_who_asked_are_told_what_went_wrong():
    together = Together(Engine(fails=True), 10)
    answers = await asyncio.gather(*(together.ask("a", i) for i in range(3)), return_exceptions=True)
    assert [str(one) for one in answers] == ["away"] * 3


async def test_who_is_cancelled_takes_nobody_along():
    engine = Engine()
    engine.gate.clear()
    together = Together(engine, 10)
    tasks = [asyncio.create_task(together.ask("a", i)) for i in range(3)]
    await asyncio.sleep(0.01)
    tasks[1].cancel()
    engine.gate.set()
    assert await tasks[0] == ("a", 0)
    assert await tasks[2] == ("a", 2)
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]


def test_loops_of_other_threads_do_not_meet():
    engine_calls = []

    async def call(kind, items):
        engine_calls.append(list(items))
        return items

    together = Together(call, 10)

    async def main():
        return await asyncio.gather(*(together.ask("a", i) for i in range(5)))

    for _ in range(3):
        assert asyncio.run(main()) == list(range(5))
    assert engine_calls == [list(range(5))] * 3
