"""Damages what readers of rows, manifests and notes are given: `python tests/fuzz_readers.py 10000 --seed 1`.

Each reader sees damaged bytes and may refuse with an error of the library, or read what is sound; anything
else ends the script. With Atheris installed, `python tests/fuzz_readers.py --atheris` lets coverage lead the
way instead. `fuzz_index_file.py` does the same for the sections of the index, which C++ reads.
"""

import argparse
import asyncio
import collections
import json
import logging
import random
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from medha_core import HashingEmbedder, Medha, Settings
from medha_core.errors import MedhaError
from medha_core.index_file import open_file, read_header
from medha_core.manifest import check_sizes, read_manifest
from medha_core.rows.pages import records
from medha_core.rows.row import loads_tables
from medha_core.rows.salvage import salvage


async def _prepare(folder: Path) -> None:
    settings = Settings(_env_file=None, path=folder / "live", guard="off")
    async with Medha("c", HashingEmbedder(16), settings=settings) as cache:
        for number in range(60):
            long = "x" * (number % 9 * 700)
            metadata = {"tenant": number % 4} if number % 2 else None
            await cache.store(f"Where is machine {number}?", f"SELECT {number} -- {long}", metadata=metadata)
        await cache.snapshot(folder / "kept")


def read_rows(path: Path) -> None:
    for record in records(path):
        if record.values:
            loads_tables(record.values[-1])


def save_rows(path: Path) -> None:
    salvage(path)


def read_a_manifest(path: Path) -> None:
    found = read_manifest(path.parent)
    with suppress(MedhaError):
        check_sizes(path.parent, found)


def read_a_header(path: Path) -> None:
    with open_file(path) as file, suppress(ValueError):
        json.loads(read_header(file, path).note)


READERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "rows": ("live/entries.db", read_rows),
    "salvage": ("live/entries.db", save_rows),
    "manifest": ("kept/manifest.json", read_a_manifest),
    "header": ("kept/index/1-unscoped.bin", read_a_header),
}


def damage(data: bytearray, chance: random.Random) -> None:
    """One to eight changes: bits, numbers, stretches, ends, and pages that change places."""
    for _ in range(chance.choice([1, 1, 2, 8])):
        if not data:
            return
        at = chance.randrange(len(data))
        match chance.randrange(6):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at : at + 4] = chance.choice([0, 1, 2**31 - 1, 2**32 - 1]).to_bytes(4, "big")
            case 2:
                data[at : at + chance.choice([1, 16, 512, 4096])] = chance.randbytes(
                    chance.choice([1, 16, 512])
                )
            case 3:
                del data[at:]
            case 4:
                page, other = (chance.randrange(max(1, len(data) // 4096)) * 4096 for _ in range(2))
                data[page : page + 4096], data[other : other + 4096] = (
                    data[other : other + 4096],
                    data[page : page + 4096],
                )
            case _:
                data[at:at] = chance.randbytes(chance.choice([1, 8, 4096]))


def attempt(name: str, data: bytes, folder: Path) -> str:
    """The outcome; raises what no reader may raise."""
    source, read = READERS[name]
    path = folder / Path(source).name
    path.write_bytes(data)
    try:
        read(path)
    except MedhaError:
        return f"{name}: refused"
    finally:
        for leftover in folder.iterdir():
            leftover.unlink()
    return f"{name}: read"


def sound_files(folder: Path) -> dict[str, bytes]:
    asyncio.run(_prepare(folder))
    return {name: (folder / source).read_bytes() for name, (source, _) in READERS.items()}


def run(mutations: int, seed: int) -> dict[str, int]:
    """Outcomes by reader. The seed and the number of the mutation that failed stand in the error's note."""
    outcomes: collections.Counter[str] = collections.Counter()
    logging.getLogger("medha_core").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as sound, tempfile.TemporaryDirectory() as name:
        files = sound_files(Path(sound))
        for number in range(seed, seed + mutations):
            chance = random.Random(number)
            reader = chance.choice(list(READERS))
            data = bytearray(files[reader])
            damage(data, chance)
            try:
                outcomes[attempt(reader, data, Path(name))] += 1
            except Exception as error:
                error.add_note(f"mutation {number} of {reader}")
                raise
    return dict(sorted(outcomes.items()))


def run_atheris() -> None:
    """Let Atheris choose the bytes: the first says which reader, the others what it is given."""
    import atheris

    folder = Path(tempfile.mkdtemp())
    names = list(READERS)

    def one(data: bytes) -> None:
        if data:
            attempt(names[data[0] % len(names)], data[1:], folder)

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mutations", type=int, nargs="?", default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--atheris", action="store_true", help="let Atheris lead; other options are its own")
    options, rest = parser.parse_known_args()
    if options.atheris:
        sys.argv = [sys.argv[0], *rest]
        run_atheris()
    else:
        print(json.dumps(run(options.mutations, options.seed)))
