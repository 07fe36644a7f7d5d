"""Derive the English word, irregular-form and synonym files of the guard from WordNet 3.0.

    python benchmarks/build_wordnet_lexicon.py /usr/share/wordnet medha_core/reading/lexicons

The input is the `dict` folder of WordNet 3.0 (Debian package `wordnet-base`). The file formats are
those of wndb(5WN); the licence travels in `lexicons/WORDNET-LICENSE.txt`.
"""

import gzip
import sys
from collections import defaultdict
from pathlib import Path

PARTS = ("noun", "verb", "adj", "adv")
PERSON_FILE = "18"
"""Number of the lexicographer file noun.person (lexnames(5WN))."""
MAX_SENSE = 2
"""A synonym counts only where the shared meaning is among both words' first senses."""
MAX_RELATED_SENSE = 4
"""The same for words that are only related."""


def index_entries(folder: Path, part: str):
    """Each `(lemma, offsets by frequency, tagged senses)` of one part of speech; single plain words only."""
    for line in (folder / f"index.{part}").read_text().splitlines():
        fields = line.split()
        lemma = fields[0] if not line.startswith(" ") else ""
        if lemma.isascii() and lemma.isalpha() and len(lemma) > 1:
            pointer_count = int(fields[3])
            yield lemma, fields[6 + pointer_count :], int(fields[5 + pointer_count])


def synonym_pairs(folder: Path):
    """Unordered pairs of words that share a synset among the first senses of both."""
    for part in ("noun", "verb", "adj"):
        members = defaultdict(list)
        for lemma, offsets, _ in index_entries(folder, part):
            for offset in offsets[:MAX_SENSE]:
                members[offset].append(lemma)
        for words in members.values():
            yield from ((a, b) for a in words for b in words if a < b)


def antonym_pairs(folder: Path):
    """Unordered pairs WordNet marks as antonyms (pointer `!`), and each with the synonyms of the other."""
    alike = defaultdict(set)
    for a, b in synonym_pairs(folder):
        alike[a].add(b)
        alike[b].add(a)
    for part in PARTS:
        synsets = dict(_synsets(folder, part))
        for lemmas, pointers in synsets.values():
            for target, source, other in pointers:
                if source and target and other in synsets:
                    a, b = lemmas[source - 1], synsets[other][0][target - 1]
                    pairs = {(a, b)} | {(a, c) for c in alike[b]} | {(c, b) for c in alike[a]}
                    yield from (tuple(sorted(p)) for p in pairs if p[0].isalpha() and p[1].isalpha())


def related_pairs(folder: Path):
    """Unordered pairs of common words with near first senses: one synset, derived, a direct class, alike."""
    ranks: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    common = set()
    for part in PARTS:
        for lemma, offsets, tagged in index_entries(folder, part):
            if tagged:
                common.add(lemma)
            for rank, offset in enumerate(offsets):
                ranks[part, offset][lemma] = rank

    def crossed(some, others, depth: int):
        left = [word for word, rank in some.items() if rank < depth and word in common]
        right = [word for word, rank in others.items() if rank < depth and word in common]
        yield from (tuple(sorted((a, b))) for a in left for b in right if a != b)

    for part in PARTS:
        for offset, lemmas, pointers in _related_synsets(folder, part):
            own = ranks[part, offset]
            yield from crossed(own, own, MAX_RELATED_SENSE)
            for symbol, other_part, other, source in pointers:
                there = ranks[other_part, other]
                if symbol == "+":
                    word = lemmas[source - 1]
                    yield from crossed({word: own.get(word, MAX_RELATED_SENSE)}, there, MAX_SENSE + 1)
                else:
                    yield from crossed(own, there, MAX_SENSE)


def _related_synsets(folder: Path, part: str):
    """Each `(offset, lemmas, pointers)`: derived, more general, attribute, verb group, alike, caused."""
    parts = {"n": "noun", "v": "verb", "a": "adj", "s": "adj", "r": "adv"}
    for line in (folder / f"data.{part}").read_text().splitlines():
        if line.startswith(" "):
            continue
        fields = line.split("|")[0].split()
        count = int(fields[3], 16)
        lemmas = [fields[4 + 2 * i].partition("(")[0].lower() for i in range(count)]
        start = 5 + 2 * count
        quads = [fields[start + 4 * i : start + 4 * i + 4] for i in range(int(fields[start - 1]))]
        kinds = "+=$&*>" + ("@" if part in ("noun", "verb") else "")
        yield (
            fields[0],
            lemmas,
            [(q[0], parts[q[2]], q[1], int(q[3][:2], 16)) for q in quads if q[0] in kinds],
        )


def proper_nouns(folder: Path) -> set[str]:
    """Nouns whose first sense WordNet writes with a capital."""
    first = {lemma: offsets[0] for lemma, offsets, _ in index_entries(folder, "noun")}
    found = set()
    for line in (folder / "data.noun").read_text().splitlines():
        fields = line.split()
        if not line.startswith(" "):
            words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
            found |= {w.lower() for w in words if w[0].isupper() and first.get(w.lower()) == fields[0]}
    return found


def persons(folder: Path) -> set[str]:
    """Nouns whose first sense is in WordNet's file of persons."""
    offsets = {
        line.split()[0]
        for line in (folder / "data.noun").read_text().splitlines()
        if line[9:11] == PERSON_FILE
    }
    return {lemma for lemma, found, _ in index_entries(folder, "noun") if found[0] in offsets}


def _synsets(folder: Path, part: str):
    """Each `(offset, (lemmas, antonym pointers))`; a pointer is `(target, source, offset)`, words from 1."""
    for line in (folder / f"data.{part}").read_text().splitlines():
        if line.startswith(" "):
            continue
        fields = line.split("|")[0].split()
        count = int(fields[3], 16)
        lemmas = [fields[4 + 2 * i].partition("(")[0].lower() for i in range(count)]
        start = 5 + 2 * count
        quads = [fields[start + 4 * i : start + 4 * i + 4] for i in range(int(fields[start - 1]))]
        pointers = [(int(q[3][2:], 16), int(q[3][:2], 16), q[1]) for q in quads if q[0] == "!"]
        yield fields[0], (lemmas, pointers)


def irregular_forms(folder: Path):
    """Each `(form, base)` of the exception lists, single plain words only."""
    for part in ("noun", "verb"):
        for line in (folder / f"{part}.exc").read_text().splitlines():
            form, base = line.split()[:2]
            if form.isalpha() and base.isalpha() and form != base:
                yield form, base


def write(path: Path, lines):
    """Sorted unique lines, gzipped without a time stamp so that rebuilding gives the same bytes."""
    text = "\n".join(sorted(set(lines))) + "\n"
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def main(source: str, target: str) -> None:
    folder, out = Path(source), Path(target)
    tags: defaultdict[str, str] = defaultdict(str)
    for part in PARTS:
        for lemma, _, tagged in index_entries(folder, part):
            tags[lemma] += part[0] + ("+" if tagged else "")
    for word in proper_nouns(folder) & tags.keys():
        tags[word] += "p"
    for word in persons(folder) & tags.keys():
        tags[word] += "h"
    write(out / "en_words.txt.gz", (f"{word} {tag}" for word, tag in tags.items()))
    write(out / "en_irregular.txt.gz", (f"{a} {b}" for a, b in irregular_forms(folder)))
    write(out / "en_antonyms.txt.gz", (f"{a} {b}" for a, b in antonym_pairs(folder)))
    write(out / "en_synonyms.txt.gz", (f"{a} {b}" for a, b in synonym_pairs(folder)))
    write(out / "en_related.txt.gz", (f"{a} {b}" for a, b in related_pairs(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
