"""What a server under load must not do: hold up its event loop, or grow."""

import asyncio
import gc
import threading
import tracemalloc

import httpx
import numpy as np
from service_harness import Counted, Served

from medha_core import CallableEmbedder, EmbedderService
from medha_core.service.access import Access
from medha_core.service.encode import encoded, json_rows
from medha_core.service.limits import Limits, Rates
from medha_core.service.tally import Tally


async def test_large_answers_are_encoded_beside_the_loop():
    array = np.random.default_rng(1).standard_normal((1024, 384)).astype(np.float32)
    loop, free = asyncio.get_running_loop(), []

    def once_the_loop_has_run(given):
        ran = threading.Event()
        loop.call_soon_threadsafe(ran.set)
        free.append(ran.wait(10))
        return json_rows(given)

    rows = await encoded(once_the_loop_has_run, array)
    assert len(rows) == 1024
    assert free == [True]


async def test_small_answers_cost_no_thread():
    array = np.ones((1, 384), np.float32)
    seen = []

    def where(given):
        seen.append(asyncio.current_task() is not None)
        return json_rows(given)

    await encoded(where, array)
    assert seen == [True]


async def test_requests_leave_nothing_behind():
    service = EmbedderService(
        "m",
        embedders={"m": CallableEmbedder(lambda text: [float(len(text)), 1.0, 0.0, 0.0], 4, "m")},
        cache_entries=100,
    )
    with Served(service, limits=Limits(rate=1_000_000)) as served:
        async with httpx.AsyncClient(base_url=served.url) as client:

            async def ask(start, count):
                for i in range(start, start + count):
                    await client.post("/embed/text", json={"text": f"text {i}"})

            await ask(0, 150)
            gc.collect()
            tracemalloc.start()
            before = tracemalloc.take_snapshot()
            await ask(150, 600)
            gc.collect()
            grown = tracemalloc.take_snapshot().compare_to(before, "filename")
            tracemalloc.stop()
    ours = sum(each.size_diff for each in grown if "medha_core" in each.traceback[0].filename)
    assert ours < 50_000


def test_what_is_kept_by_caller_and_collection_is_bounded():
    rates, tally = Rates(10), Tally()
    for number in range(20_000):
        rates.take(f"caller {number}", 1)
        tally.add(f"collection {number}", [])
    assert len(rates._buckets) == len(tally._by_name) == 10_000


async def test_a_route_s_label_is_its_pattern():
    with Served(Counted().service()) as served:
        async with httpx.AsyncClient(base_url=served.url) as client:
            for i in range(20):
                await client.get(f"/v1/models/unknown-{i}")
                await client.request(f"METHOD{i}", "/health")
            text = (await client.get("/metrics")).text
    assert "unknown-1" not in text
    assert "METHOD1" not in text
    assert 'route="/v1/models/{model:path}"' in text


def test_access_without_limits_has_the_usual_ones():
    assert Access().limits == Limits()
