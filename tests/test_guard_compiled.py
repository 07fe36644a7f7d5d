"""The compiled guard gives the verdicts of the readable one: reason, confidence, evidence in words, proposals."""

import random
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medha_core.deciding import decision
from medha_core.deciding.decision import Candidate, decide
from medha_core.errors import ArgumentTypeError, ArgumentValueError
from medha_core.guard import Guard, Learned, Reading
from medha_core.native import extension_loaded
from medha_core.reading.facts import Facts, word_facts
from medha_core.reading.lexicon import Lexicon, english

if not extension_loaded:
    pytest.skip("there is no compiled guard to compare", allow_module_level=True)

from medha_core._core import read_stored
from medha_core.guard.compiled import CompiledGuard
from medha_core.guard.compiled_reader import shared_reader
from medha_core.reading.query import READER

PLAIN, COMPILED = Guard(), CompiledGuard()
QUESTIONS = (Path(__file__).parent / "data" / "questions.txt").read_text("utf-8").splitlines()
QUERIES = [
    "SELECT * FROM orders o JOIN city c ON o.city = c.id WHERE c.name = '{0}' AND o.n > {1}",
    'SELECT count(*) FROM customers WHERE customers.town = "{0}" LIMIT {1}',
    "MATCH (p:Person {{name: '{0}'}})-[:KNOWS]->(q) WHERE q.age >= {1} RETURN q.name",
    "SELECT name FROM products WHERE day = '2023-03-05' AND maker LIKE '%{0}%'",
    "SELECT 1",
    "SELECT highest_point, city FROM states AS s ORDER BY s.population DESC LIMIT 1",
    "SELECT city.num_rivers FROM city WHERE city.area = (SELECT min(area) FROM city) AND city.name = '{0}'",
    "SELECT c.population FROM cities c WHERE c.name = '{0}'",
]
PLACES = ["Rome", "new york", "Oslo", "São Paulo", "us", "L'Aquila", "SKU-12", "東京", "2023", "a \ud800 b"]
WORDS = (
    "orders customers river rivers city cities state states flight flights price largest longest most fewest "
    "average total per each by from to between and or not without in of the a show me list what which who when "
    "where how many much first last 5 ten twenty two million 3.5 10k 50% before after more than less than at "
    "least yesterday last week monday april 2023-03-05 noon 9am custmer waht ordres paid unpaid citing cited "
    "area size people populous densest mean called place other high highest population please would like named "
    "run running longer shorter please is are did no only distinct all all must being will did was can could have "
    "has i you for with within their own train trained again now "
    "'single' \"quoted words\" item-5 a_b x@y.org https://x.y <= > % $5 Zürich größte страны 城市 ２０２３ ß İ é"
).split(" ")


def same_reading(question: str, query: str = "") -> None:
    plain, compiled = PLAIN.features(question, query), COMPILED.features(question, query)
    assert compiled.words == tuple(map(tuple, plain.words))
    assert compiled.items == tuple(map(tuple, plain.items))
    assert (compiled.asks, compiled.is_english, compiled.relative) == (
        plain.asks,
        plain.is_english,
        plain.relative,
    )
    assert compiled.opened == plain.opened
    assert compiled.mentions == plain.mentions
    assert "ReadQuestion" in repr(compiled)


class Pair:
    """One cache on each guard, played side by side."""

    def __init__(self, level: str = "balanced"):
        self.plain, self.compiled = Guard(level), CompiledGuard(level)
        self.learned, self.evidence = Learned(), self.compiled.evidence()
        self.stored: list[tuple] = []

    def store(self, entry: object, question: str, query: str, near: int = 3) -> None:
        plain, compiled = self.plain.features(question, query), self.compiled.features(question, query)
        neighbours = self.stored[-near:] if near else []
        self.learned.observe(entry, plain, [one[1] for one in neighbours])
        self.evidence.observe(entry, compiled, [one[2] for one in neighbours])
        self.stored.append((entry, plain, compiled, query))

    def forget(self, place: int) -> None:
        entry, plain, compiled, _ = self.stored[place]
        self.learned.forget(entry, plain)
        self.evidence.forget(entry, compiled)

    @staticmethod
    def reaches(candidate: Candidate) -> bool:
        return candidate.score > 0.6

    def ask(self, question: str, scores: list[float], substitution: str = "seen") -> int:
        """Compare everything the two say of a question; how many candidates were accepted."""
        asked, read = self.plain.features(question), self.compiled.features(question)
        assert len(self.learned) == len(self.evidence)
        assert self.plain.alike(asked, self.learned) == self.compiled.alike(read, self.evidence)
        chosen = [one for one, _ in zip(self.stored[-8:], scores, strict=False)]
        one = [Candidate(c[1], c[3], s) for c, s in zip(chosen, scores, strict=False)]
        other = [Candidate(c[2], c[3], s) for c, s in zip(chosen, scores, strict=False)]
        expected = decide(
            self.plain, self.learned, asked, [c[1] for c in chosen], one, substitution=substitution
        )
        found = decide(
            self.compiled, self.evidence, read, [c[2] for c in chosen], other, substitution=substitution
        )
        assert (found.winner, found.substituted) == (expected.winner, expected.substituted)
        for sure in (0.0, 0.8, 1.1):
            reached = [decided.near_misses(one, sure, self.reaches) for decided in (found, expected)]
            assert reached[0] == reached[1]
        for a, b in zip(found.verdicts, expected.verdicts, strict=True):
            assert (a.accepted, a.reason, a.evidence) == (b.accepted, b.reason, b.evidence)
            assert a.confidence == pytest.approx(b.confidence, abs=1e-9)
        for candidate, twin in zip(one, other, strict=True):
            margin = decision._margin(candidate, one)
            weighed = self.compiled.judge(
                read, twin.features, twin.score, learned=self.evidence, margin=margin
            )
            assert weighed == pytest.approx(
                self.plain.judge(
                    asked, candidate.features, candidate.score, learned=self.learned, margin=margin
                )
            )
        return sum(verdict.accepted for verdict in found.verdicts)


def variant(rng: random.Random, question: str) -> str:
    """A question with a word changed, dropped, said twice, misspelt or exchanged."""
    words = question.split()
    place = rng.randrange(len(words))
    act = rng.randrange(6)
    if act == 0:
        words[place] = rng.choice(WORDS)
    elif act == 1 and len(words) > 1:
        del words[place]
    elif act == 2:
        words.insert(place, rng.choice([*WORDS, *PLACES]))
    elif act == 3:
        other = rng.randrange(len(words))
        words[place], words[other] = words[other], words[place]
    elif act == 4 and len(words[place]) > 3:
        at = rng.randrange(1, len(words[place]) - 1)
        words[place] = words[place][:at] + words[place][at + 1] + words[place][at] + words[place][at + 2 :]
    return " ".join(words)


@pytest.mark.parametrize("question", QUESTIONS)
def test_questions_are_read_alike(question):
    same_reading(question)
    for query in QUERIES:
        same_reading(question, query.format(question.split()[-1].strip("?"), 5))


@pytest.mark.parametrize("substitution", ["seen", "any", "off"])
@pytest.mark.parametrize("level", ["balanced", "strict"])
def test_caches_of_questions_and_their_variants_decide_alike(level, substitution):
    rng = random.Random(f"{level} {substitution}")
    pair, accepted = Pair(level), 0
    for turn in range(400):
        question = rng.choice(QUESTIONS[:60]) if turn % 3 else f"shops in {rng.choice(PLACES)} with 5 rooms"
        asked = variant(rng, question) if rng.random() < 0.7 else question
        scores = sorted((rng.uniform(0.7, 1.0) for _ in range(8)), reverse=True)
        accepted += pair.ask(asked, scores, substitution)
        value = next((place for place in PLACES if place in question), rng.choice(PLACES))
        pair.store(turn % 350, question, rng.choice(QUERIES).format(value, rng.choice([5, 7])))
        if turn % 11 == 10:
            pair.forget(rng.randrange(len(pair.stored)))
    assert accepted


@settings(max_examples=300)
@given(st.lists(st.sampled_from([*WORDS, *PLACES]), max_size=12), st.sampled_from(QUERIES))
def test_rows_of_telling_words_are_read_alike(words, query):
    same_reading(" ".join(words))
    same_reading(" ".join(words), query.format(words[-1] if words else "x", 5))


ROLES = "nurses doctors acme boats train trained trains order ordered did has will was i by who which all every".split()
ROLES += "second largest than more not for with on 5 7 price beds their own".split()


@settings(max_examples=400)
@given(
    st.lists(st.sampled_from(ROLES), min_size=2, max_size=9).flatmap(
        lambda row: st.tuples(st.just(row), st.permutations(row))
    )
)
def test_the_same_words_in_another_order_are_judged_alike(rows):
    stored, asked = (" ".join(row) for row in rows)
    pair = Pair()
    pair.store(1, f"which boats {stored}", "SELECT 1 FROM boats WHERE a = 'acme' AND b = 5")
    pair.ask(f"which boats {asked}", [0.97])
    pair.store(2, stored, "SELECT 1")
    pair.ask(asked, [0.97, 0.99])


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parent / "data").glob("hard_cases*.txt")), ids=lambda p: p.stem
)
def test_hard_cases_are_judged_alike(path):
    pair, accepted = Pair(), 0
    for entry, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        mark, _, text = line.partition(" ")
        parts = [part.strip() for part in text.split(" | ")]
        if mark == "=":
            pair = Pair()
            pair.store(entry, *parts)
        elif mark in ("+", "-", "!"):
            accepted += pair.ask(parts[0 if mark == "+" else 1], [0.95])
    assert accepted


def same_query(question: str, query: str) -> bool:
    """Whether compiled code told what a query says; it must be what the Python reader says."""
    reader = shared_reader()
    read = reader.read(question)
    expected = reader._with_query(read, query)
    found = read_stored(reader.core, read, query, READER, reader._sense)
    if found is None:
        return False
    assert found.stored == expected.stored
    for name in "words items asks opened is_english knows_all language relative mentions shape".split():
        assert getattr(found, name) == getattr(expected, name)
    return True


PIECES = (
    "select SELECT Select distinct from FROM join , . ( ) = != <> < like LIKE in between and where order by desc "
    "limit 1 10 max min ( c.name name highest_point num_pages place_id city cityAlias a b AS as c x.area `Big Lake` "
    "[town] 'Rome' 'new york' '%oslo%' \"Lima\" 'it''s' '' '2023-03-05' '2023-3' 5 3.5 007 \n \t /* */ $ $$ "
    "\"\"\" -- group count sum MATCH RETURN limit\n1 max\t( 'abc 10k 'two hundred' nulls last offset"
).split(" ")


@settings(max_examples=1_500)
@given(
    st.lists(st.sampled_from(PIECES), max_size=24),
    st.sampled_from([" ", "", "  "]),
    st.lists(
        st.sampled_from("Rome new york oslo Lima it's 5 3.5 7 2023-03-05 \"Rome\" 'new york' the".split(" "))
    ),
)
def test_what_any_query_says_is_told_alike(pieces, space, words):
    question = f"which cities {' '.join(words)}"
    for query in (
        space.join(pieces),
        f"SELECT {' '.join(pieces)}",
        f"select a.b from t a {' '.join(pieces)}",
    ):
        same_query(question, query)


@settings(max_examples=500)
@given(st.text(), st.text(max_size=30))
def test_what_any_text_says_as_a_query_is_told_alike(query, value):
    same_query(f"shops in {value}", query)
    same_query(f"shops in {value}", f"SELECT * FROM shops WHERE city = '{value}' AND n > 5")


@pytest.mark.parametrize("question", QUESTIONS[::5])
def test_what_usual_queries_say_is_told_by_compiled_code(question):
    is_english = shared_reader().read(question).language == 0
    for query in QUERIES:
        assert same_query(question, query.format(question.split()[-1].strip("?"), 5)) == is_english


def test_queries_that_dialects_read_differently_are_left_to_the_python_reader():
    for query in ("SELECT $a$ x $a$", "SELECT /* a */ 1", 'SELECT """a"""', "SELECT 'open", "SELECT 'é'"):
        assert not same_query("a question", query)
    assert not same_query("wie viele Kunden haben wir in Berlin", "SELECT 1")


ENDINGS = "s es ies ed ied ing er est ier iest ly ment ation 's n't ers ss".split()


def same_facts(word: str) -> None:
    assert shared_reader().core.facts(word) == tuple(word_facts(word, english()))


def test_what_the_word_list_says_is_what_the_lexicon_says():
    lexicon, rng = english(), random.Random(5)
    chosen = [*rng.sample(sorted(lexicon.words), 4_000), *rng.sample(sorted(lexicon.irregular), 1_000)]
    chosen += [word[: len(word) - rng.randrange(3)] + rng.choice(ENDINGS) for word in chosen]
    chosen += [word[:-1] + word[-2:] + rng.choice(ENDINGS) for word in rng.sample(chosen, 2_000)]
    for word in chosen:
        same_facts(word)


def test_words_of_the_small_tables_and_their_forms_are_asked_about():
    for word in sorted(english().particular()):
        for form in (word, *(word + ending for ending in ENDINGS), f"{word[:-1]}ies"):
            same_facts(form)


@settings(max_examples=600)
@given(st.text() | st.from_regex(r"[a-z]{0,3}(s|es|ies|ied|ed|ing|er|est)?", fullmatch=True))
def test_any_word_means_what_the_lexicon_says(word):
    same_facts(word)


def test_the_lexicon_is_asked_about_few_words(monkeypatch):
    asked = []

    def told(word: str, lexicon: Lexicon) -> Facts:
        asked.append(word)
        return word_facts(word, lexicon)

    monkeypatch.setattr("medha_core.guard.compiled_reader.word_facts", told)
    guard = CompiledGuard(lexicon=Lexicon("en"))
    for number in range(200):
        guard.features(f"gizmos {number} of acmes{'x' * (number % 9)} colder than sku-{number}")
    assert asked == ["of", "than"]


def test_facts_are_of_a_language_that_there_is():
    with pytest.raises(ArgumentValueError, match="the number of a language"):
        shared_reader().core.facts("word", 99)


def slipped(rng: random.Random, word: str, slips: int) -> str:
    """A word with a letter more, less, other, or two exchanged, so many times."""
    for _ in range(slips):
        at, letter = rng.randrange(len(word)), rng.choice("abcdeé")
        before, behind = word[:at], word[at:]
        ways = [before + letter + behind, before + behind[1:], before + letter + behind[1:]]
        ways.append(before + behind[1:2] + behind[:1] + behind[2:])
        word = rng.choice(ways) or word
    return word


@pytest.mark.parametrize("letters", ["abc", "abcdé", "abcdefghijklmnop"])
def test_slips_among_words_that_are_near_each_other_mean_the_same(letters):
    rng, pair = random.Random(letters), Pair()
    known = [word for word in sorted(english().words) if word.isalpha() and len(word) > 2]
    made = ["".join(rng.choices(letters, k=rng.randint(1, 12))) for _ in range(120)]
    words = [*rng.sample(known, 120), *made]
    words += [slipped(rng, word, rng.randint(1, 2)) for word in words]
    for entry, word in enumerate(words):
        pair.store(entry, f"which {word} are left", f"SELECT {entry}", near=0)
    for place in rng.sample(range(len(words)), 150):
        pair.forget(place)
    found = 0
    for word in words * 4:
        asked = f"which {slipped(rng, word, rng.randint(1, 2))} are left"
        pair.ask(asked, [])
        found += bool(pair.compiled.alike(pair.compiled.features(asked), pair.evidence))
    assert 50 < found < len(words) * 4 - 50


MARKS = st.text(st.sampled_from(" '\"0123459.,:;/-%$kbnapm.T@_#+<>=!?()\tzAsSoO\n\x1c"), max_size=24)


@settings(max_examples=600)
@given(MARKS)
def test_words_and_marks_in_any_order_are_read_alike(text):
    same_reading(text)


GERMAN = [
    "wie viele Kunden haben wir in Berlin",
    "zeige alle Bestellungen ohne Rechnung",
    "welche Stadt hat die meisten Kunden",
    "welche Stadt hat die wenigsten Kunden",
    "die teuersten Produkte in Hamburg",
    "wie viele Kunden gibt es in Köln",
    "Kunden, die nicht bestellt haben",
    "the customers in Berlin",
]


@pytest.mark.parametrize("question", GERMAN)
def test_another_language_is_read_by_its_own_lexicon(question):
    same_reading(question)
    same_reading(question, "SELECT * FROM k WHERE k.stadt = 'Berlin'")
    number = COMPILED.features(question).language
    assert (number == 0) == (PLAIN.features(question).language == "en")


def test_languages_beside_each_other_are_judged_alike():
    pair = Pair()
    for place, question in enumerate([*GERMAN, *QUESTIONS[:20]]):
        pair.store(place, question, QUERIES[place % len(QUERIES)].format(question.split()[-1], 5))
        for asked in (*GERMAN, "how many customers do we have in Berlin"):
            pair.ask(asked, [0.9, 0.88, 0.95, 0.8, 0.99, 0.7, 0.86, 0.91])


@settings(max_examples=200)
@given(
    st.lists(st.lists(st.sampled_from([*WORDS, *PLACES]), min_size=1, max_size=8), min_size=2, max_size=5),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_rows_of_telling_words_are_judged_alike(rows, scores):
    pair = Pair()
    *stored, asked = rows
    for entry, words in enumerate(stored):
        pair.store(entry, " ".join(words), QUERIES[entry % len(QUERIES)].format(words[0], 5))
    pair.ask(" ".join(asked), scores)
    pair.ask(" ".join(stored[0]), scores, "any")


SUPERLATIVES = (
    "largest biggest smallest highest lowest most fewest densest sparsest oldest best heaviest".split()
)
MEASURES = (
    "area size population people density populous dense age rating weight price river by count other".split()
)
THINGS = "city town cities state river lake mean named place where high who director point by written wrote the of in Rome".split()


@settings(max_examples=500)
@given(
    st.lists(st.sampled_from([*SUPERLATIVES, *MEASURES, *THINGS]), min_size=2, max_size=7),
    st.lists(st.sampled_from([*SUPERLATIVES, *MEASURES, *THINGS]), min_size=2, max_size=7),
    st.sampled_from(
        "area population density age rating weight num_rivers highest_elevation city.size director".split()
    ),
    st.sampled_from(
        [
            "SELECT name FROM city ORDER BY {} DESC LIMIT 1",
            "SELECT {} FROM cities c WHERE c.name = 'Rome' ORDER BY {} LIMIT 1",
            "SELECT r.city, r.{} FROM river r WHERE r.{} = (SELECT min({}) FROM river)",
            "SELECT {} FROM lakes WHERE town = 'Rome'",
            "SELECT age, area, population FROM cities ORDER BY {} DESC LIMIT 1",
        ]
    ),
)
def test_what_a_query_explains_is_judged_alike(one, other, column, query):
    pair = Pair()
    pair.store(1, " ".join(one), query.replace("{}", column))
    for asked in (other, [*other, one[-1]], [*one[:-1], *other], other + one):
        pair.ask(" ".join(asked), [0.95])
    superlative, measure, thing = other[0], other[-1], one[0]
    pair.store(2, f"the {superlative} {thing}", query.replace("{}", column))
    for asked in (f"the {thing} with the {superlative} {measure}", f"the {superlative} {measure} {thing}"):
        pair.ask(asked, [0.95, 0.9])
    pair.store(3, f"{thing} in Rome with the {superlative} {measure}", query.replace("{}", column))
    pair.ask(f"the {superlative} {thing} in Rome", [0.95, 0.9, 0.8])


@settings(max_examples=300)
@given(st.text(), st.text(), st.floats(0, 1))
def test_any_text_is_read_and_judged_alike(one, other, score):
    pair = Pair()
    pair.store(1, one, QUERIES[0].format("x", 5))
    pair.store(2, other, f"SELECT '{one}' WHERE a.b = '{other}'")
    pair.ask(one, [score, 0.9])
    pair.ask(f"{other} {one}", [score, 0.9])


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "\0",
        "\ud800",
        "\U0001f600" * 50,
        "a" * 1_000_000,
        "é" * 100_000,
        "9" * 5_000,
        '"' + "x" * 100_000 + '"',
        "a " * 2_000,
        "million " * 500,
        "in 2023 " * 300,
    ],
    ids=lambda text: f"{text[:2]!r}*{len(text)}",
)
def test_hostile_text_is_read_and_judged(hostile):
    question = f"orders from {hostile} to Oslo"
    stored = COMPILED.features(question, f"SELECT * FROM o WHERE o.city = '{hostile}'")
    evidence = COMPILED.evidence()
    evidence.observe(1, stored)
    verdict = COMPILED.judge(COMPILED.features(question), stored, 1.0, learned=evidence)
    assert verdict.accepted
    other = COMPILED.judge(COMPILED.features("orders from Rome to Oslo"), stored, 0.99, learned=evidence)
    assert not (other.accepted and hostile.strip("\0 \ud800\U0001f600"))


def test_a_reading_of_values_is_judged_alike():
    query = "SELECT * FROM t WHERE t.start = 'Rome' AND t.goal = 'Oslo'"
    stored = "trains from Rome to Oslo"
    asked = "trains from Lima to Oslo"
    mentions = PLAIN.features(stored, query).mentions
    reading = Reading((mentions[0]._replace(text="rome"), mentions[1]), mentions, 1)
    assert COMPILED.judge(
        COMPILED.features(asked), COMPILED.features(stored, query), 0.9, reading=reading
    ) == PLAIN.judge(PLAIN.features(asked), PLAIN.features(stored, query), 0.9, reading=reading)


def test_questions_of_another_reader_are_refused():
    other = CompiledGuard(lexicon=type(english())("en"))
    with pytest.raises(ArgumentValueError, match="the same reader"):
        COMPILED.judge(COMPILED.features("a"), other.features("a", "SELECT 1"), 0.9)
    with pytest.raises(ArgumentValueError, match="a stored question"):
        COMPILED.evidence().observe(1, COMPILED.features("a"))
    with pytest.raises(ArgumentTypeError):
        COMPILED.evidence().observe(1, COMPILED.features("a", "SELECT 1"), ["a"])


def test_places_without_a_candidate_are_refused():
    asked, stored = COMPILED.features("how many shops"), COMPILED.features("how many shops", "SELECT 1")
    judged = COMPILED._judge.judge_all(COMPILED.evidence(), asked, [stored], [0.9], "seen")
    assert (len(judged), judged.same, judged.accepted, judged.exchanges) == (1, 0, (0,), {})
    for refused in (lambda: judged.verdict(1), lambda: judged.rival(1, ()), lambda: judged.verdict(0, True)):
        with pytest.raises(ArgumentValueError, match="place"):
            refused()
    with pytest.raises(ArgumentValueError, match="scores"):
        COMPILED._judge.judge_all(COMPILED.evidence(), asked, [stored], [], "seen")


def test_texts_that_nobody_holds_are_dropped():
    reader = shared_reader().core
    evidence = COMPILED.evidence()
    held = COMPILED.features("frobnicators in Zzyzx", "SELECT * FROM f WHERE f.town = 'Zzyzx'")
    evidence.observe(1, held)
    before = len(reader)
    for n in range(1_000):
        COMPILED.features(f"what is gadget{'x' * (n % 7)} number {n * 7919} about")
    assert len(reader) > before
    reader.sweep()
    assert len(reader) <= before
    assert held.words[0][1] == "frobnicators"
    assert COMPILED.judge(COMPILED.features("frobnicators in Zzyzx"), held, 0.9, learned=evidence).accepted


def test_an_error_of_the_lexicon_reaches_the_caller():
    lexicon = type(english())("en")
    guard = CompiledGuard(lexicon=lexicon)
    stored = guard.features("lamps", "SELECT 1")
    lexicon.are_antonyms = None
    broken = CompiledGuard(lexicon=lexicon)
    del lexicon.words
    with pytest.raises(AttributeError):
        broken.features("a gizmo nobody met")
    assert guard.judge(stored, stored, 1.0).accepted


def test_no_related_words_are_passed_over():
    lexicon, core = english(), shared_reader().core
    pairs = [line.split() for line in lexicon.pairs().splitlines()]
    assert len(pairs) > 100_000
    assert all(core.may_relate(one, other) and core.may_relate(other, one) for one, other in pairs)
    for word in lexicon.words:
        for prefix in lexicon.negating:
            if lexicon.are_antonyms(word, prefix + word):
                assert core.may_relate(word, prefix + word, opposite=True)


def test_few_unrelated_words_are_asked_about():
    rng, lexicon, core = random.Random(4), english(), shared_reader().core
    words = sorted(lexicon.words)
    chosen = [rng.sample(words, 2) for _ in range(20_000)]
    apart = [pair for pair in chosen if not lexicon.are_related(*pair) and not lexicon.are_antonyms(*pair)]
    assert sum(core.may_relate(*pair) for pair in apart) < len(apart) / 20


def test_many_threads_may_ask_at_once():
    evidence = COMPILED.evidence()
    stored = [COMPILED.features(q, QUERIES[i % 5].format("Rome", 5)) for i, q in enumerate(QUESTIONS[:50])]
    for entry, one in enumerate(stored):
        evidence.observe(entry, one)
    expected = [COMPILED.judge(COMPILED.features(q), stored[0], 0.9, learned=evidence) for q in QUESTIONS]
    wrong = []

    def ask(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(300):
            place = rng.randrange(len(QUESTIONS))
            new = COMPILED.features(f"{QUESTIONS[place]} word{rng.random()}")
            COMPILED.judge(new, stored[place % 50], 0.9, learned=evidence)
            asked = COMPILED.features(QUESTIONS[place])
            if COMPILED.judge(asked, stored[0], 0.9, learned=evidence) != expected[place]:
                wrong.append(QUESTIONS[place])
            if rng.random() < 0.05:
                shared_reader().core.sweep()

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
