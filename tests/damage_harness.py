"""Damages the files of a directory and of a snapshot, and looks what the cache makes of them.

    python tests/damage_harness.py --mutations 10000 --seed 7

A damaged file gives a typed error, or a warning and fewer answers: never a crash, never another
question's query, and no hit for a question that was not stored. Prints what it counted as JSON;
exit code 1 for a fault.
"""

import argparse
import asyncio
import json
import logging
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from medha_core import HashingEmbedder, Medha, MedhaError, Settings
from medha_core.embedded import checkpoint
from medha_core.embedded.verification import verify

ENTRIES = 60
EMBEDDER = HashingEmbedder(16)


def question(number: int) -> str:
    return f"How many parts does machine {number} have in hall {number * 7}?"


def query(number: int) -> str:
    return f"SELECT parts FROM machines WHERE id = {number}"


def filters(number: int) -> dict[str, int | str] | None:
    return {"tenant": number % 5, "plan": "gold"} if number % 3 == 0 else None


async def prepare(folder: Path) -> None:
    """A directory that was closed, and a snapshot of it."""
    cache = Medha("c", EMBEDDER, settings=Settings(_env_file=None, path=folder / "live"))
    async with cache:
        for number in range(ENTRIES):
            await cache.store(question(number), query(number), metadata=filters(number))
        await cache._backend.delete("c", ["nothing"])
        checkpoint.WORTH_A_FILE = 1  # few entries have files too
        await cache.snapshot(folder / "kept")


def truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def flip_a_bit(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def flip_many(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(2, 200)):
        flip_a_bit(data, rng)


def overwrite(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    length = min(rng.choice([1, 16, 512, 4096, 20000]), len(data) - start)
    data[start : start + length] = rng.randbytes(length) if rng.random() < 0.7 else bytes(length)


def swap_pages(data: bytearray, rng: random.Random) -> None:
    size = 4096 if len(data) > 8192 else 16
    one, other = (rng.randrange(len(data) // size) * size for _ in range(2))
    data[one : one + size], data[other : other + size] = data[other : other + size], data[one : one + size]


def lengthen(data: bytearray, rng: random.Random) -> None:
    data += rng.randbytes(rng.choice([1, 100, 4096]))


def change_a_letter(data: bytearray, rng: random.Random) -> None:
    """Damage that no structure shows: one digit of what is stored becomes another."""
    places = [place for place, byte in enumerate(data) if 48 <= byte <= 57]
    data[rng.choice(places)] = rng.randrange(48, 58)


def replace_all(data: bytearray, rng: random.Random) -> None:
    data[:] = rng.randbytes(rng.choice([0, 1, 100, 4096, len(data)]))


def other_version(data: bytearray, rng: random.Random) -> None:
    """The version of a database, of an index file, and of a manifest stand at these places."""
    if data.startswith(b"SQLite"):
        data[60:64] = rng.choice([0, 1, 2, 4, 99, 2**31 - 1]).to_bytes(4, "big")
    elif data.startswith(b"{"):
        at = data.index(b'"format": ') + len(b'"format": ')
        data[at : at + 1] = rng.choice([b"0", b"1", b"3", b"99"])
    else:
        data[8:12] = rng.choice([0, 2, 99, 2**32 - 1]).to_bytes(4, "little")


MUTATIONS = (
    *[truncate, flip_a_bit, flip_many, overwrite, swap_pages, lengthen, change_a_letter],
    *[replace_all, other_version],
)
TARGETS = (
    *["live/entries.db"] * 3,
    *["live/index/1-unscoped.bin", "live/index/1-scoped.bin"],
    *["kept/entries.db", "kept/manifest.json", "kept/index/1-unscoped.bin", "kept/index/1-scoped.bin"],
)


async def ask(folder: Path, mode: str) -> str:
    """Gives "answered" or what is wrong; raises `MedhaError` where the cache refuses."""
    found = 0
    # A query with exchanged values would be right too, and hide that the stored one was lost.
    settings = Settings(_env_file=None, substitution="off")
    async with Medha.open(
        folder, mode=mode, collection_name="c", embedder=EMBEDDER, settings=settings
    ) as cache:
        for number in range(0, ENTRIES, 3):
            for asked in (number, number + 1):
                hit = await cache.search(question(asked), filters=filters(asked))
                if hit and hit.generated_query != query(asked):
                    return f"wrong: question {asked} is answered {hit.generated_query!r}"
                found += bool(hit)
            if hit := await cache.search(question(number), filters={"tenant": 9, "plan": "gold"}):
                return f"wrong: another tenant gets {hit.generated_query!r}"
            if number and (hit := await cache.search(question(number))):
                return f"wrong: {hit.generated_query!r} is answered without its filter"
    return "answered" if found == 2 * ENTRIES / 3 else "answered in part"


def outcome(folder: Path, mode: str) -> str:
    try:
        return asyncio.run(ask(folder, mode))
    except MedhaError:
        return "refused"
    except Exception as error:  # noqa: BLE001 - anything else is what this looks for
        return f"wrong: {type(error).__name__}: {error}"


def checked(folder: Path) -> bool:
    try:
        verify(folder)
    except MedhaError:
        return False
    return True


def run(mutations: int, seed: int) -> dict[str, object]:
    logging.getLogger("medha_core").addHandler(logging.NullHandler())
    logging.getLogger("medha_core").propagate = False
    rng, begin = random.Random(seed), time.monotonic()
    seen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="damage-") as name:
        sound, damaged = Path(name) / "sound", Path(name) / "damaged"
        asyncio.run(prepare(sound))
        for number in range(mutations):
            target, mutate = rng.choice(TARGETS), rng.choice(MUTATIONS)
            shutil.copytree(sound, damaged)
            data = bytearray((sound / target).read_bytes())
            mutate(data, rng)
            (damaged / target).write_bytes(data)
            folder, mode = damaged / target.split("/")[0], rng.choice(["r", "r+", "c"])
            passes = data == (sound / target).read_bytes() or checked(folder)
            result = outcome(folder, mode)
            if target.startswith("kept") and passes and bytes(data) != (sound / target).read_bytes():
                result = "wrong: damage to a snapshot was not found"
            if "/index/" in target and result != "answered":
                result = f"wrong: the rows are sound, and it is {result}"
            if result.startswith("wrong"):
                result = f"{result} (mutation {number}, {mutate.__name__} of {target}, mode {mode})"
            seen[result] += 1
            shutil.rmtree(damaged)
    wrong = [result for result in seen if result.startswith("wrong")]
    seconds = round(time.monotonic() - begin, 1)
    return {"mutations": mutations, "outcomes": dict(seen), "wrong": wrong, "seconds": seconds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    result = run(options.mutations, options.seed)
    print(json.dumps(result))
    return 1 if result["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
