"""Normalised questions, their hashes and keys, on the extension and on its twin."""

import hashlib
import re

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from medha_core import _twin
from medha_core.errors import ArgumentTypeError, ArgumentValueError
from medha_core.normalise import keyword_overlap_score, normalize_question, query_hash, question_hash

PHRASES = [
    *(
        "can you tell me",
        "could you",
        "get",
        "show",
        "find",
        "list",
        "i want to know",
        "me the",
        "me",
        "all the",
    ),
    *(
        "all",
        "the",
        "who are the",
        "what are the",
        "tell me about",
        "about",
        "out",
        "please",
        "first 10",
        "orders",
    ),
    *("Get me the", "SHOW ME", "could you can you tell me"),
]
MARKS = [
    "",
    " ",
    "  ",
    "\t",
    "\n",
    "\x1f",
    "\x85",
    "\u3000",
    "-",
    "_",
    "'",
    '"',
    ".",
    "?",
    "!",
    " ?",
    "é",
    "İ",
    "Σ",
    "\ud800",
    "²",
    "٣",
    "́",
    "’",
    "“",
    "”",
    "«",
    "»",
    "`",
]
questions = st.one_of(
    st.text(st.characters()),
    st.text(st.sampled_from("aAzZ _'\"`?.!éİΣσς\u2019\u201c\u201d\u00ab\u00bb\t\x1c\x85")),
    st.lists(st.one_of(st.sampled_from(PHRASES), st.sampled_from(MARKS), st.just(" "))).map("".join),
)

# The rules of the Medha library as one list, written apart from the code under test.
MEDHA_RULES = [
    (r"\bfirst (\d+)\b", r"top \1"),
    (r"\bcan you tell me\b", "get"),
    (r"\bcould you (show|get|find|list)\b", r"\1"),
    (r"\bi want to know\b", "get"),
    (r"\bget me the\b", "get"),
    (r"\bget me\b", "get"),
    (r"\bshow me the\b", "show"),
    (r"\bshow me\b", "show"),
    (r"\blist all the\b", "list"),
    (r"\blist all\b", "list"),
    (r"\bwho are the\b", "list"),
    (r"\bwhat are the\b", "list"),
    (r"\btell me about\b", "get"),
    (r"\bfind out\b", "find"),
    (r"\bplease\b", ""),
]


def by_rules(question, rules):
    text = re.sub(r"\s+", " ", question).strip().lower()
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text)
    return re.sub(r"\s+", " ", re.sub(r"[.!?]+$", "", text)).strip()


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("", ""),
        (" \t\n ", ""),
        ("  How MANY   users?! ", "how many users"),
        (
            "Could you please show me the orders",
            "could you show orders",
        ),
        ("Could you show me the orders, please?", "show orders,"),
        ("Can you tell me the total?", "get the total"),
        ("could you can you tell me me the name", "get name"),
        ("get me the me the list", "get the list"),
        ("What are the cities", "list cities"),
        ("forget me not", "forget me not"),
        ("Show me's", "show's"),
        ("éget me", "éget me"),
        ("get meé", "get meé"),
        ("find out. please", "find."),
        ("first 5 users", "first 5 users"),
        ("ΟΔΟΣ İ", "οδος i̇"),
        ("please", ""),
    ],
)
def test_a_question_is_normalised(core, question, expected):
    assert core.normalize(question) == expected


@given(questions)
def test_normalising_follows_the_rules(core, question):
    assert core.normalize(question) == by_rules(question, MEDHA_RULES[1:])


def test_every_character_keeps_its_case_space_and_word_rules(core):
    # The planes that hold letters; the others are alike.
    for start in [*range(0, 0x34000, 64), *range(0xE0000, 0xE1000, 64), 0x10FFC0]:
        question = " ".join(f"get me{chr(c)} {chr(c)}list all" for c in range(start, start + 64))
        assert core.normalize(question) == by_rules(question, MEDHA_RULES[1:]), hex(start)


@given(questions)
def test_legacy_is_the_medha_library(question):
    assert normalize_question(question, legacy=True) == by_rules(question, MEDHA_RULES)


def test_first_and_top_are_different_questions_unless_legacy():
    assert normalize_question("first 5 users") != normalize_question("top 5 users")
    assert normalize_question("first 5 users", legacy=True) == "top 5 users"


def test_own_replacements_come_after_the_built_in_ones():
    assert normalize_question("Show me the clients!", [(r"\bshow clients\b", "customers")]) == "customers"


@pytest.mark.parametrize("value", [None, 5, b"text"])
def test_only_text_is_normalised(core, value):
    for function in (core.normalize, normalize_question, lambda q: core.question_key(b"", q)):
        with pytest.raises(ArgumentTypeError, match="question: expected str"):
            function(value)


def test_hashes_are_md5_of_the_compared_form():
    assert question_hash("  Show me the Users! ") == hashlib.md5(b"show users").hexdigest()
    assert question_hash("first 5", legacy=True) == hashlib.md5(b"top 5").hexdigest()
    assert query_hash("  SELECT 1\n") == hashlib.md5(b"SELECT 1").hexdigest()
    assert query_hash("select 1") != query_hash("SELECT 1")


def test_what_cannot_be_hashed_is_refused():
    with pytest.raises(ArgumentValueError, match="question: expected text without lone surrogates"):
        question_hash("a\udc80")
    with pytest.raises(ArgumentTypeError, match="query: expected str"):
        query_hash(None)


@pytest.mark.parametrize(
    ("question", "template", "score"),
    [
        ("show top users by city", "show the {count} users in {city}", 1.0),
        ("show cities", "show users", 0.5),
        ("anything", "{a} the {b}", 0.0),
        ("Users", "USERS and orders", 0.5),
    ],
)
def test_keyword_overlap_is_coverage_of_the_template(question, template, score):
    assert keyword_overlap_score(question, template) == score


@given(
    st.lists(
        st.one_of(st.binary(max_size=40), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
    )
)
def test_hash_parts_is_xxh3_over_length_prefixed_parts(core, parts):
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    joined = b"".join(len(part).to_bytes(8, "little") + part for part in encoded)
    assert core.hash_parts(*parts) == xxhash.xxh3_128_digest(joined)


@given(seed=st.binary(min_size=1, max_size=64))
def test_xxh3_of_every_length_class(core, seed):
    data = (seed * 2049)[:2048]
    for length in [*range(300), 511, 512, 513, 1015, 1016, 1017, 1023, 1024, 1025, 2039, 2040, 2048]:
        part = data[:length]
        assert core.hash_parts(part) == xxhash.xxh3_128_digest(length.to_bytes(8, "little") + part)


def test_parts_do_not_run_together(core):
    assert core.hash_parts("ab", "c") != core.hash_parts("a", "bc")
    assert core.hash_parts("a", "") != core.hash_parts("a")


def test_a_part_is_text_or_bytes(core):
    with pytest.raises(ArgumentTypeError, match="parts: expected str or bytes, got int"):
        core.hash_parts("a", 3)
    with pytest.raises(ArgumentValueError, match="parts: expected text without lone surrogates"):
        core.hash_parts("a", "\ud800")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Orders of Paris", "orders of paris", True),
        ("orders of 'Paris'", "Orders  of 'Paris'?", True),
        ("orders of 'Paris'", "orders of 'paris'", False),
        ('orders of "Paris"', 'orders of "PARIS"', False),
        ("orders of “Paris”", "orders of “paris”", False),
        ("orders of ‘Paris’", "orders of ‘paris’", False),
        ("orders of «Paris»", "orders of «paris»", False),
        ("orders of `Paris`", "orders of `paris`", False),
        ("titled 'Show me'", "titled 'Show'", False),
        ("titled 'show me'", "titled 'show'", False),
        ("titled 'a  b'", "titled 'a b'", False),
        ("the user's Name isn't set", "the user's name isn't set", True),
        ("the users' Names and 'a'", "the users' names and 'a'", True),
        ("‘It’s Here’", "‘it’s Here’", False),
        ('a 5" Pipe', 'a 5" pipe', True),
        ("'x' and Y", "'x' and y", True),
        ("ÉTÉ 'É'", "été 'É'", True),
        ("'É'", "'é'", False),
        ("sales in the US", "sales in the us", False),
        ("Sales in the US", "sales in the US?", True),
        ("SALES IN THE US", "sales in the us", True),
        ("sales of ABc and a B", "sales of abc and A b", True),
        ("revenue of Q1", "revenue of q1", False),
        ("the USé and xUS and US_", "the usé and xus and us_", True),
    ],
)
def test_case_counts_in_quotes_and_words_in_capitals_only(core, one, other, same):
    assert (core.question_key(b"s", one) == core.question_key(b"s", other)) is same


def test_the_scope_is_part_of_the_key(core):
    assert core.question_key(b"a", "x") != core.question_key(b"b", "x")
    assert len(core.question_key(b"", "")) == 16


@pytest.mark.parametrize(
    ("question", "what"), [("a\ud800b", "lone surrogates"), ("a\0b", "NUL"), ("é\0", "NUL")]
)
def test_text_that_cannot_be_stored_has_no_key(core, question, what):
    with pytest.raises(ArgumentValueError, match=f"question: expected text without {what}"):
        core.question_key(b"", question)


@given(st.binary(max_size=20), questions)
def test_keys_are_the_twins(core, scope, question):
    def key(module):
        try:
            return module.question_key(scope, question)
        except ArgumentValueError as error:
            return str(error)

    assert key(core) == key(_twin)


def test_long_questions_with_many_open_quotes_stay_quick(core):
    question = "\"'`“‘« a" * 20_000
    assert core.question_key(b"", question) == _twin.question_key(b"", question)
    assert len(core.normalize("show me " * 10_000)) < 80_000


class Shouting(str):
    """Text of a class that changes what its methods mean."""

    def lower(self):
        return Deaf(self)


class Deaf(str):
    def encode(self, *_):
        return None


def test_text_of_another_class_counts_as_its_characters():
    core = pytest.importorskip("medha_core._core", exc_type=ImportError)
    assert core.normalize(Shouting("ÉTÉ total?")) == "été total"
    assert core.question_key(b"", Shouting("ÉTÉ total?")) == core.question_key(b"", "ÉTÉ total?")
