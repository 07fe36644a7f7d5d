"""What the guard learns from the entries of a collection."""

from medha_core.guard import Guard, Learned, Reason

GUARD = Guard()
COUNT = "SELECT count(*) FROM cafe WHERE city = '{}'"
LIST = "SELECT * FROM cafe WHERE city = '{}'"


def stored(learned: Learned, entry: int, question: str, query: str, neighbours=()):
    features = GUARD.features(question, query)
    learned.observe(entry, features, neighbours)
    return features


def test_pairs_with_the_same_query_teach_equal_words():
    learned = Learned()
    stored(learned, 1, "where is a cafe in Rome", LIST.format("Rome"))
    stored(learned, 2, "where is a place in Oslo", LIST.format("Oslo"))
    other = GUARD.features("the best place in Lima", "SELECT * FROM cafe WHERE city = 'Lima' ORDER BY stars")
    asked = GUARD.features("the best cafe in Lima")
    alone = GUARD.judge(asked, other, 0.8)
    taught = GUARD.judge(asked, other, 0.8, learned=learned)
    assert taught.reason is Reason.LEARNED
    assert taught.confidence > alone.confidence


def test_a_difference_that_changed_a_query_is_not_believed():
    learned = Learned()
    first = stored(learned, 1, "cafe in Rome", LIST.format("Rome"))
    stored(
        learned, 2, "cafe terrace in Rome", "SELECT * FROM cafe WHERE terrace = 1 AND city = 'Rome'", [first]
    )
    other = GUARD.features("good cafe in Oslo", LIST.format("Oslo"))
    verdict = GUARD.judge(GUARD.features("good cafe terrace in Oslo"), other, 0.9, learned=learned)
    assert not verdict.accepted


def test_the_form_of_a_question_finds_entries_with_other_values():
    learned = Learned()
    stored(learned, 1, "which cafes are in Rome", LIST.format("Rome"))
    stored(learned, 2, "how many cafes are in Oslo", COUNT.format("Oslo"))
    assert GUARD.alike(GUARD.features("which cafes are in Oslo"), learned) == [1]
    assert GUARD.alike(GUARD.features("whcih caffes are in Oslo"), learned) == [1]
    assert GUARD.alike(GUARD.features("which cafes are in Lima"), learned) == []


def test_a_forgotten_entry_is_not_found():
    learned = Learned()
    features = stored(learned, 1, "which cafes are in Rome", LIST.format("Rome"))
    learned.forget(1, features)
    learned.forget(1, features)
    assert GUARD.alike(GUARD.features("which cafes are in Rome"), learned) == []
    assert not learned.values.columns("rome")
    assert repr(learned) == "<Learned 0 questions, 0 harmless differences>"
