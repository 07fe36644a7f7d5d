"""Verdicts in sentences."""

import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from medha_core import CacheHit, SearchStrategy
from medha_core.cli.explain import reason, tell
from medha_core.guard import Reason
from medha_core.trace import Explanation, SeenCandidate, Step


def hit_with(*seen, **fields):
    return CacheHit(explanation=Explanation("?", [Step("guard", candidates=list(seen))]), **fields)


@pytest.mark.parametrize("verdict", Reason, ids=lambda verdict: verdict.value)
def test_every_reason_of_the_guard_has_a_sentence(verdict):
    sentence = reason(SeenCandidate("1", "q", 0.9, verdict.value))
    assert sentence.endswith(".")
    assert len(sentence.split()) > 2


def test_what_the_guard_accepts_below_the_thresholds_is_not_called_refused():
    (_, nearest, why) = tell(hit_with(SeenCandidate("1", "all shops", 0.7, "agrees", "asked: x")), 1)
    assert nearest == "Nearest stored question, cosine 0.70: all shops"
    assert why.startswith("Its score reaches the threshold of no tier, although the guard says: It asks")


def test_the_nearest_comes_first_and_others_follow():
    seen = [SeenCandidate(str(i), f"question {i}", i / 10, "stranger", f"word {i}") for i in (7, 9, 8)]
    told = tell(hit_with(*seen), 3)
    assert "question 9" in told[1]
    assert [line.split(":")[1].split()[-1] for line in told[3:]] == ["8", "7"]


def test_exchanged_values_are_named():
    told = tell(
        hit_with(
            SeenCandidate("1", "orders in 2023", 0.9, "same"),
            generated_query="SELECT 2022",
            strategy=SearchStrategy.PARAMETRIC_MATCH,
            parameters={"year": "2022"},
            entry_id="1",
        ),
        1,
    )
    assert told[:3] == [
        "Answered: SELECT 2022",
        "A stored question asks for the same thing with other values.",
        "Values put into its query: year = 2022.",
    ]


def test_an_error_is_told():
    assert tell(CacheHit(strategy=SearchStrategy.ERROR, error="disk full"), 1) == [
        "The search failed: disk full"
    ]
