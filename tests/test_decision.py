"""From the candidates of one search to one answer."""

import pytest

from medha_core.deciding.decision import Candidate, decide
from medha_core.guard import Guard, Learned, Reason

GUARD = Guard()


class Cache:
    """Stored pairs, all of which are candidates with the same score."""

    def __init__(self, *pairs: tuple[str, str], score: float = 0.9):
        self.learned, self.candidates = Learned(), []
        for entry, (question, query) in enumerate(pairs):
            features = GUARD.features(question, query)
            self.learned.observe(entry, features)
            self.candidates.append(Candidate(features, query, score))

    def ask(self, question: str, guard: Guard = GUARD, **options):
        read = [candidate.features for candidate in self.candidates]
        return decide(guard, self.learned, guard.features(question), read, self.candidates, **options)

    def answer(self, question: str, **options) -> str | None:
        decision = self.ask(question, **options)
        if decision.winner is None:
            return None
        return decision.substituted.query if decision.substituted else self.candidates[decision.winner].query


CITY = "SELECT * FROM shop WHERE city = '{}'"
SHOPS = Cache(
    ("which shops are in Rome", CITY.format("Rome")),
    ("which shops are in Oslo", CITY.format("Oslo")),
    ("how many shops are in Lima", "SELECT count(*) FROM shop WHERE city = 'Lima'"),
)


def test_the_stored_query_answers_its_own_question():
    assert SHOPS.answer("Which shops are in Rome?") == CITY.format("Rome")


def test_another_known_value_is_put_in():
    assert SHOPS.answer("which shops are in Lima") == CITY.format("Lima")
    assert SHOPS.answer("which shops are in Lima", substitution="off") is None


def test_an_unknown_value_is_a_miss_with_its_reasons():
    decision = SHOPS.ask("which shops are in Atlantis")
    assert decision.winner is None
    assert decision.confidence == 0
    assert {verdict.reason for verdict in decision.verdicts} == {Reason.VALUE}
    assert all(verdict.evidence for verdict in decision.verdicts)


def test_no_candidate_is_a_miss():
    assert decide(GUARD, Learned(), GUARD.features("anything"), [], []).winner is None


def test_candidates_that_disagree_give_no_answer():
    cache = Cache(("show the orders", "SELECT 1"), ("list all orders", "SELECT 2"))
    decision = cache.ask("what are the orders")
    assert decision.winner is None
    assert {verdict.reason for verdict in decision.verdicts} <= {Reason.AMBIGUOUS, Reason.UNSURE}


def test_a_value_known_in_two_columns_with_two_queries_is_ambiguous():
    cache = Cache(
        ("population of Oslo", "SELECT p FROM city WHERE city.name = 'Oslo'"),
        ("population of Texas", "SELECT p FROM state WHERE state.title = 'Texas'"),
        ("mayor of Georgia", "SELECT m FROM city WHERE city.name = 'Georgia'"),
        ("governor of Georgia", "SELECT g FROM state WHERE state.title = 'Georgia'"),
    )
    assert cache.answer("population of Georgia") is None


@pytest.mark.parametrize("question", ["which shops are in Rome", "which shops are in Lima"])
def test_off_gives_the_nearest(question):
    assert SHOPS.ask(question, Guard("off")).winner == 0


def test_swapped_values_are_put_in_the_right_places():
    cache = Cache(("trains from Rome to Oslo", "SELECT * FROM t WHERE t.a = 'Rome' AND t.b = 'Oslo'"))
    cache.learned.values.saw("t.a", "oslo", "Oslo")
    cache.learned.values.saw("t.b", "rome", "Rome")
    assert cache.answer("trains from Oslo to Rome") == "SELECT * FROM t WHERE t.a = 'Oslo' AND t.b = 'Rome'"
