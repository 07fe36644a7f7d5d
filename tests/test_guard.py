"""The guard: nobody gets another question's query."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medha_core.errors import ArgumentValueError
from medha_core.guard import Guard, Reason, Verdict, make_guard

GUARDS = [Guard(), make_guard("balanced")]
GUARD = GUARDS[0]


@pytest.fixture(
    autouse=True, scope="module", params=dict.fromkeys(map(type, GUARDS)), ids=lambda kind: kind.__name__
)
def each_guard(request):
    """Every test runs on the readable guard and on the compiled one."""
    globals()["GUARD"] = next(guard for guard in GUARDS if type(guard) is request.param)


CLOSE = 0.95


def judged(
    asked: str, stored: str, query: str = "SELECT 1", *, guard: Guard | None = None, score: float = CLOSE
) -> Verdict:
    guard = guard or GUARD
    return guard.judge(guard.features(asked), guard.features(stored, query), score)


@pytest.mark.parametrize(
    ("asked", "stored", "query", "reason"),
    [
        ("orders from Rome", "orders from Oslo", "SELECT * FROM o WHERE city = 'Oslo'", Reason.VALUE),
        ("orders in 2024", "orders in 2023", "SELECT 1", Reason.NUMBER),
        ("top 10 customers", "top 5 customers", "SELECT 1", Reason.NUMBER),
        ("customer 10239", "customer 10234", "SELECT * FROM c WHERE id = 10234", Reason.VALUE),
        ("orders on 2023-03-05", "orders on 2023-03-06", "SELECT 1", Reason.DATE),
        ('books called "Emma"', 'books called "Ivanhoe"', "SELECT 1", Reason.QUOTED),
        ("parts of SKU-12", "parts of SKU-13", "SELECT 1", Reason.IDENTIFIER),
        ("customers who did not order", "customers who did order", "SELECT 1", Reason.OPERATOR),
        ("products without reviews", "products with reviews", "SELECT 1", Reason.OPERATOR),
        ("the smallest warehouse", "the largest warehouse", "SELECT 1", Reason.OPERATOR),
        ("which shop has the fewest clerks", "which shop has the most clerks", "SELECT 1", Reason.OPERATOR),
        ("average price of lamps", "total price of lamps", "SELECT 1", Reason.OPERATOR),
        ("orders with more than 5 items", "orders with less than 5 items", "SELECT 1", Reason.OPERATOR),
        ("orders before 2020", "orders after 2020", "SELECT 1", Reason.OPERATOR),
        ("how many shops are open", "which shops are open", "SELECT 1", Reason.OPERATOR),
        ("sales per clerk", "sales of clerks", "SELECT 1", Reason.OPERATOR),
        ("sales of the last month", "sales of the last week", "SELECT 1", Reason.DATE),
        ("songs longer than 5 minutes", "songs shorter than 5 minutes", "SELECT 1", Reason.OPERATOR),
        ("the busiest clerk", "the laziest clerk", "SELECT 1", Reason.OPERATOR),
        ("when are the trains to Oslo", "the trains to Oslo", "SELECT 1", Reason.INTERROGATIVE),
        ("paid bills", "unpaid bills", "SELECT 1", Reason.OPPOSITE),
        ("lamps in stock", "lamps out of stock", "SELECT 1", Reason.OPERATOR),
        ("papers cited by the group", "papers citing the group", "SELECT 1", Reason.BINDING),
        ("top 5 orders", "first 5 orders", "SELECT 1", Reason.OPERATOR),
        ("trains from Oslo to Rome", "trains from Rome to Oslo", "SELECT 1", Reason.BINDING),
        (
            "trains from Oslo to Rome",
            "trains from Rome to Oslo",
            "SELECT * FROM t WHERE a = 'Rome' AND b = 'Oslo'",
            Reason.BINDING,
        ),
        (
            "largest city in the smallest state",
            "smallest city in the largest state",
            "SELECT 1",
            Reason.BINDING,
        ),
        ("flights that arrive today", "flights that leave today", "SELECT 1", Reason.OPPOSITE),
        (
            "shops that supply shops that supply shops in Rome",
            "shops that supply shops in Rome",
            "SELECT 1",
            Reason.STRANGER,
        ),
    ],
)
def test_a_changed_meaning_is_refused(asked, stored, query, reason):
    verdict = judged(asked, stored, query, score=0.99)
    assert not verdict.accepted
    assert verdict.reason is reason
    assert verdict.evidence


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("list all open orders", "list all open orders"),
        ("please show me the open orders", "list all open orders"),
        ("what are the open orders?", "open orders"),
        ("waht is the longest rievr", "what is the longest river"),
        ("number of ordres per customer", "number of orders per customer"),
        ("how many custmers bought lamps", "how many customers bought lamps"),
        ("the city with the highest population", "the city with the largest population"),
        ("trains from Oslo to Rome", "show me the trains from Oslo to Rome"),
    ],
)
def test_another_way_of_saying_it_is_answered(asked, stored):
    assert judged(asked, stored).accepted


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("welche Kunden haben keine Bestellung", "welche Kunden haben eine Bestellung"),
        ("was war die kleinste Bestellung", "was war die größte Bestellung"),
        ("clientes sin pedidos", "clientes con pedidos"),
        ("commandes avant mars", "commandes après mars"),
        ("2023年没有订单的客户", "2023年有订单的客户"),
        ("заказы до марта", "заказы после марта"),
        ("bestellingen in 2024", "bestellingen in 2023"),
    ],
)
def test_languages_without_a_lexicon_are_read_strictly(asked, stored):
    assert not judged(asked, stored, score=0.99).accepted
    assert judged(stored, stored).accepted


def test_a_slip_in_a_value_is_not_put_right():
    assert not judged(
        "customers called Jonson", "customers called Johnson", "SELECT 1 WHERE name = 'Johnson'"
    ).accepted


def test_a_value_the_cache_knows_is_never_extra():
    learned = GUARD.evidence()
    entry = GUARD.features("orders from us", "SELECT * FROM o WHERE country = 'US'")
    learned.observe(1, entry)
    stored = GUARD.features("show me the orders", "SELECT * FROM o")
    verdict = GUARD.judge(GUARD.features("show us orders"), stored, 0.95, learned=learned)
    assert verdict.reason is Reason.VALUE


def test_a_moving_time_does_not_get_a_fixed_date():
    query = "SELECT * FROM o WHERE day = '2026-11-20'"
    assert judged("orders of yesterday", "orders of yesterday", query).reason is Reason.STALE
    assert judged("orders of yesterday", "orders of yesterday", "SELECT 1 WHERE day = today() - 1").accepted


def test_a_name_too_many_is_a_filter_too_many():
    assert judged("sales in France", "sales", score=0.99).reason is Reason.STRANGER
    coded = "SELECT * FROM sales WHERE country = 'ZZ'"
    assert judged("sales", "sales in Zanzibar", coded, score=0.99).reason is Reason.STRANGER


@pytest.mark.parametrize(
    ("asked", "stored", "query"),
    [
        (
            "what is the name of the oldest clerk",
            "what is the age of the oldest clerk",
            "SELECT max(age) FROM clerk",
        ),
        ("list active customers", "list customers", "SELECT * FROM customers"),
        ("list the albums and their artists", "list the albums", "SELECT * FROM albums"),
        ("names of the clerks", "emails of the clerks", "SELECT email FROM clerks"),
        (
            "total sales by region",
            "total sales by country",
            "SELECT country, sum(x) FROM sales GROUP BY country",
        ),
        ("red shoes", "blue shoes", "SELECT * FROM shoes WHERE color = 'blue'"),
        ("show the price of each lamp", "show the cost of each lamp", "SELECT cost FROM lamps"),
    ],
)
def test_another_column_or_one_more_condition_is_refused(asked, stored, query):
    assert not judged(asked, stored, query, score=0.93).accepted


def test_strangers_are_refused_at_low_scores():
    verdict = judged("red shoes in stock", "blue hats in stock", score=0.75)
    assert not verdict.accepted


def test_levels():
    assert judged("top 10", "top 5", guard=type(GUARD)("off")).reason is Reason.OFF
    with pytest.raises(ArgumentValueError, match="level"):
        Guard("lax")


def test_strict_never_accepts_what_balanced_refuses():
    pairs = [
        ("list open orders now", "open orders"),
        ("orders shipped", "shipped orders"),
        ("sale items", "items on sale"),
    ]
    for asked, stored in pairs:
        assert (
            judged(asked, stored).accepted or not judged(asked, stored, guard=type(GUARD)("strict")).accepted
        )


def test_the_repr_shows_the_level():
    assert repr(GUARD) == f"{type(GUARD).__name__}('balanced')"


WORDS = st.sampled_from(
    [
        "show",
        "the",
        "orders",
        "customers",
        "from",
        "to",
        "Rome",
        "Oslo",
        "5",
        "10",
        "not",
        "largest",
        "smallest",
        "with",
        "without",
        "before",
        "after",
        "per",
        "month",
    ]
)
QUESTIONS = st.lists(WORDS, min_size=1, max_size=8).map(" ".join)


@given(QUESTIONS)
def test_a_question_always_answers_itself(question):
    assert judged(question, question).accepted


@given(QUESTIONS, QUESTIONS)
def test_numbers_and_negations_of_an_accepted_pair_are_equal(asked, stored):
    if judged(asked, stored).accepted:
        for word in ("5", "10", "not", "without", "largest", "smallest", "before", "after"):
            negated = {"not", "without"}
            words = negated if word in negated else {word}
            assert bool(words & set(asked.split())) == bool(words & set(stored.split()))


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80))
def test_any_text_gets_a_verdict(asked, stored, query):
    assert isinstance(judged(asked, stored, query), Verdict)


def test_a_slip_is_told_as_what_it_is():
    assert judged("waht is the longest river", "what is the longest river").evidence == "waht read as what"
    assert "another order" in judged("the rivers of Ohio that are long", "the long rivers of Ohio").evidence


@pytest.mark.parametrize("asked", ["sales in 'us'", 'sales in "Us"'])
def test_the_letters_of_a_quoted_text_count(asked):
    verdict = judged(asked, "sales in 'US'", "SELECT sum(x) FROM sales WHERE c = 'US'", score=0.99)
    assert verdict.reason is Reason.QUOTED


@pytest.mark.parametrize("text", ["." * 8190, "a-" * 4095, "1," * 4095, "ab " * 2730, '"' * 8189, "<" * 8190])
def test_a_hostile_question_answers_itself_and_nothing_else(text):
    assert judged(text, text).accepted
    assert not judged(f"{text} and one more", f"{text} and no more", score=0.99).accepted
