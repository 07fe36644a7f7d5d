"""Damages index files in every way it knows and opens them: `python tests/fuzz_index_file.py 10000 --seed 1`.

With `verify=True` a damaged file must be refused, or answer as the sound one does. Without it the process
must live, whatever offsets, links and slots the file gives, and raise nothing but errors of the library.
"""

import argparse
import collections
import os
import random
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import xxhash

from medha_core.errors import MedhaError, SnapshotError
from medha_core.index_file import HEADER_BYTES, Header, open_file, read_header
from medha_core.native import VectorIndex

DIMENSION = 24
ENTRIES = 400


def vectors(n: int, seed: int = 0, dimension: int = DIMENSION) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dimension), np.float32)


def make_index(quantization: str, joined: int) -> VectorIndex:
    index = VectorIndex(DIMENSION, quantization=quantization, M=4, graph_from=0)
    index.add(np.arange(ENTRIES) * 3, vectors(ENTRIES))
    index.join(joined)
    index.remove(np.arange(0, 3 * ENTRIES, 21))
    return index


def make_files(folder: Path) -> Iterator[Path]:
    for quantization, joined in (("int8", 300), ("float32", ENTRIES), ("binary", 200), ("int8", 0)):
        path = folder / f"{quantization}-{joined}.bin"
        make_index(quantization, joined).save(path)
        yield path


def answers(index: VectorIndex) -> list[tuple[list[int], list[float]]]:
    found = [index.search(query, 5, ef=50) for query in vectors(6, 1, index.dimension)]
    return [(labels.tolist(), scores.tolist()) for labels, scores in found]


# One way to damage a file each: it changes `data` and may set a new header.


def cut(data: bytearray, header: Header, chance: random.Random) -> None:
    section = chance.choice(header.sections)
    ends = [section.offset, section.offset + section.length, section.offset + section.length // 2]
    del data[chance.choice([chance.randrange(len(data)), *ends]) :]


def flip_bits(data: bytearray, header: Header, chance: random.Random) -> None:
    filled = [s for s in header.sections if s.length]
    for _ in range(chance.choice([1, 1, 8, 64])):
        section = chance.choice(filled)
        at = chance.choice(
            [chance.randrange(HEADER_BYTES), section.offset + chance.randrange(section.length)]
        )
        data[at] ^= 1 << chance.randrange(8)


def flip_in_one_section(data: bytearray, header: Header, chance: random.Random) -> None:
    section = chance.choice([s for s in header.sections if s.length])
    for _ in range(chance.choice([1, 20, 400])):
        data[section.offset + chance.randrange(section.length)] ^= 1 << chance.randrange(8)


def fill_section(data: bytearray, header: Header, chance: random.Random) -> None:
    section = chance.choice([s for s in header.sections if s.length])
    fill = chance.choice([b"\0", b"\xff", b"\x7f", chance.randbytes(section.length)])
    data[section.offset : section.offset + section.length] = (fill * section.length)[: section.length]


def swap_sections(data: bytearray, header: Header, chance: random.Random) -> None:
    one, other = chance.sample([s for s in header.sections if s.length], 2)
    n = min(one.length, other.length)
    a, b = slice(one.offset, one.offset + n), slice(other.offset, other.offset + n)
    data[a], data[b] = bytes(data[b]), bytes(data[a])


def random_tail(data: bytearray, header: Header, chance: random.Random) -> None:
    tail = chance.randbytes(chance.choice([1, 100, 20_000]))
    if chance.random() < 0.5:
        data.extend(tail)
    else:
        data[-len(tail) :] = tail


def forge_header(data: bytearray, header: Header, chance: random.Random) -> None:
    """A wrong number under a right checksum."""
    for _ in range(chance.choice([1, 1, 2])):
        at = chance.randrange(8, 400, 4)
        (value,) = struct.unpack_from("<I", data, at)
        close = [value + 1, value - 1, value * 2, value // 2, value ^ 1 << chance.randrange(32)]
        far = [0, 2**32 - 1, 2**31, ENTRIES, chance.randrange(2**32)]
        struct.pack_into("<I", data, at, chance.choice(close + far) % 2**32)
    digest = xxhash.xxh3_128_intdigest(bytes(data[: HEADER_BYTES - 16]))
    struct.pack_into("<2Q", data, HEADER_BYTES - 16, digest % 2**64, digest >> 64)


HARMFUL = [cut, flip_bits, flip_in_one_section, fill_section, swap_sections, random_tail]


def use(index: VectorIndex) -> None:
    """Everything that reads what the file says."""
    answers(index)
    query = vectors(1, dimension=index.dimension)[0]
    index.search(query, 3, min_score=0.9)
    index.search(query, 500, ef=500, allowed=np.arange(0, 1200, 2))
    index.search(query, 5, allowed=np.ones(5000, bool))
    for label in index.labels()[:20].tolist():
        index.search(query, 1, allowed=[label])
        if label in index:  # a damaged table may not know it
            index.get(label)
    repr((len(index), index.info(), index.memory_usage(), 1_000_000 in index))


def change(index: VectorIndex, folder: Path, chance: random.Random) -> None:
    """Everything that writes beside what the file says."""
    for _ in range(4):
        act = chance.randrange(5)
        if act == 0:
            index.add(np.arange(5000, 5100), vectors(100, 2, index.dimension))
        elif act == 1:
            index.add(np.arange(0, 90, 3), vectors(30, 3, index.dimension))
        elif act == 2:
            index.remove(np.arange(0, 1200, 5))
        elif act == 3:
            index.join(50)
        else:
            index.compact()
    use(index)
    index.save(folder / "again.bin")


def try_mutation(path: Path, folder: Path, chance: random.Random) -> str:
    data, expected = bytearray(path.read_bytes()), answers(VectorIndex.open(path))
    with open_file(path) as file:
        header = read_header(file, path)
    damage = chance.choice([*HARMFUL, forge_header])
    damage(data, header, chance)
    target = folder / "damaged.bin"
    target.write_bytes(data)
    outcome = "refused"
    with suppress(SnapshotError):
        index = VectorIndex.open(target, verify=True)
        assert damage is forge_header or answers(index) == expected, "verified, and answers otherwise"
        use(index)
        outcome = "as before" if damage is not forge_header else "accepted"
    for mode in "rc":
        with suppress(MedhaError):
            index = VectorIndex.open(target, mode=mode)
            use(index)
            if mode == "c":
                change(index, folder, chance)
    return f"{damage.__name__}: {outcome}"


def run(mutations: int, seed: int) -> None:
    """The last number on standard error is the mutation that ended the process."""
    shared_memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=shared_memory) as name:
        folder = Path(name)
        files = list(make_files(folder))
        outcomes: collections.Counter[str] = collections.Counter()
        for number in range(seed, seed + mutations):
            print(number, file=sys.stderr, flush=True)
            chance = random.Random(number)
            outcomes[try_mutation(chance.choice(files), folder, chance)] += 1
    print("\n".join(f"{n:6} {outcome}" for outcome, n in sorted(outcomes.items())))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mutations", type=int, nargs="?", default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="number of the first mutation")
    arguments = parser.parse_args()
    run(arguments.mutations, arguments.seed)
