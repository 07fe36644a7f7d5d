"""What the stored query itself says about the words of the two questions."""

import pytest

from medha_core.guard import Guard, Reason, make_guard

GUARDS = [Guard(), make_guard("balanced")]
GUARD = GUARDS[0]
SCORES = [0.99, 0.9, 0.8]

LAKE = "SELECT name FROM lake ORDER BY area DESC LIMIT 1"
TOWN = "SELECT name FROM town WHERE population = (SELECT max(population) FROM town)"
STATE = "SELECT name FROM state ORDER BY population DESC LIMIT 1"
DENSE = "SELECT s.name FROM state AS s ORDER BY s.density DESC LIMIT 1"
CLERK = "SELECT name FROM clerk ORDER BY age LIMIT 1"
LAMP = "SELECT name FROM lamp ORDER BY price DESC LIMIT 1"
PAGES = "SELECT num_pages FROM book WHERE title = 'Emma'"
BORN = "SELECT birth_city FROM person WHERE name = 'Kim'"
PAPERS = "SELECT p.title FROM papers p JOIN authors a ON p.author = a.id WHERE a.name = 'Li'"
CITED = "SELECT p.title FROM papers p JOIN citations c ON p.id = c.cited JOIN authors a ON c.by = a.id WHERE a.name = 'Li'"
FILM = "SELECT d.name FROM directors d JOIN films f ON f.director = d.id WHERE f.title = 'Vertigo'"
PEAK = "SELECT state FROM land WHERE high_elevation = (SELECT max(high_elevation) FROM land)"
BEATS = "SELECT a FROM matches"
MEAL = "SELECT name FROM restaurant WHERE food_type = 'French' AND city = 'Rome'"


@pytest.fixture(
    autouse=True, scope="module", params=dict.fromkeys(map(type, GUARDS)), ids=lambda kind: kind.__name__
)
def each_guard(request):
    """Every test runs on the readable guard and on the compiled one."""
    globals()["GUARD"] = next(guard for guard in GUARDS if type(guard) is request.param)


def is_answered(asked: str, stored: str, query: str, score: float) -> bool:
    return GUARD.judge(GUARD.features(asked), GUARD.features(stored, query), score).accepted


@pytest.mark.parametrize(
    ("asked", "stored", "query"),
    [
        ("the lake with the largest area", "the largest lake", LAKE),
        ("which lake has the greatest size", "the largest lake", LAKE),
        ("the biggest lake", "which lake has the largest area", LAKE),
        ("which lake is the largest by area", "the largest lake", LAKE),
        ("which town has the most inhabitants", "which is the largest town", TOWN),
        ("the biggest town", "the town with the highest population", TOWN),
        ("which is the most populous town", "which town has the most people", TOWN),
        ("the most dense state", "which state has the greatest density", DENSE),
        ("which state is the largest by density", "the state with the most density", DENSE),
        ("the youngest clerk", "the clerk with the lowest age", CLERK),
        ("who is the clerk with the lowest age", "who is the youngest clerk", CLERK),
        ("the most expensive lamp", "the lamp with the highest price", LAMP),
        (
            "the parcel with the highest weight",
            "the heaviest parcel",
            "SELECT id FROM parcel WHERE weight = (SELECT max(weight) FROM parcel)",
        ),
        (
            "which town in Kent has the most people",
            "the largest town in Kent",
            "SELECT name FROM town WHERE county = 'Kent' ORDER BY population DESC LIMIT 1",
        ),
        ("how many pages does the book Emma have", "the pages of the book Emma", PAGES),
        (
            "how many people live in the town Kent",
            "the population of the town Kent",
            "SELECT population FROM town WHERE name = 'Kent'",
        ),
        (
            "the size of the lake Mead",
            "the area of the lake Mead",
            "SELECT area FROM lake WHERE name = 'Mead'",
        ),
        (
            "the id of the clerk Kim",
            "the id of the clerk named Kim",
            "SELECT id FROM clerk WHERE clerk = 'Kim'",
        ),
        ("streets of towns called Kent", "streets of Kent", "SELECT street FROM streets WHERE town = 'Kent'"),
        ("in which city was Kim born", "where was Kim born", BORN),
        ("teams that beat other teams", "teams that beat teams", BEATS),
        (
            "the high points of Kent",
            "the highest points of Kent",
            "SELECT highest_point FROM c WHERE n = 'Kent'",
        ),
        ("French restaurants in Rome", "French places in Rome", MEAL),
        ("the French restaurant in Rome", "the French in Rome", MEAL),
        ("papers written by Li", "papers by Li", PAPERS),
        ("papers by Li", "papers authored by Li", PAPERS),
        ("the director of Vertigo", "who directed Vertigo", FILM),
        ("who directed Vertigo", "who is the director of Vertigo", FILM),
        ("which state has the highest point", "the state with the highest elevation", PEAK),
        ("what does the code FN mean", "what is the code FN", "SELECT text FROM codes WHERE code = 'FN'"),
    ],
)
def test_what_the_query_says_is_one_question_is_answered(asked, stored, query):
    assert is_answered(asked, stored, query, 0.9)


@pytest.mark.parametrize(
    ("asked", "stored", "query"),
    [
        # Something else is measured, counted, or told apart by it.
        (
            "the state with the most rivers",
            "the largest state",
            "SELECT name FROM state ORDER BY area DESC LIMIT 1",
        ),
        ("the largest state", "the state with the largest population", STATE),
        ("the state with the highest population", "the state with the highest population density", DENSE),
        ("the state with the highest population density", "the state with the highest population", STATE),
        ("the lake with the largest depth", "the largest lake", LAKE),
        (
            "the oldest clerk",
            "the clerk with the highest pay",
            "SELECT name FROM clerk ORDER BY pay DESC LIMIT 1",
        ),
        (
            "the most expensive lamp",
            "the lamp with the highest cost",
            "SELECT n FROM lamp ORDER BY cost DESC LIMIT 1",
        ),
        ("the most popular town", "the most populous town", TOWN),
        ("the town with the most people over 60", "the largest town", TOWN),
        ("the town with the largest population growth", "the largest town", TOWN),
        ("the town with the largest average population", "the largest town", TOWN),
        ("the town with the largest population in 1990", "the largest town", TOWN),
        (
            "the order with the latest delivery date",
            "the latest order",
            "SELECT n FROM o ORDER BY paid DESC LIMIT 1",
        ),
        # The other way, another place, or more than one.
        ("the smallest lake", "the lake with the largest area", LAKE),
        ("the lake with the smallest area", "the largest lake", LAKE),
        ("the oldest clerk", "the clerk with the lowest age", CLERK),
        ("the second largest lake", "the lake with the largest area", LAKE),
        ("the lake with the second largest area", "the largest lake", LAKE),
        (
            "the lakes with the largest area",
            "the 5 largest lakes",
            "SELECT name FROM lake ORDER BY area DESC LIMIT 5",
        ),
        ("the lakes without the largest area", "the largest lake", LAKE),
        # Of something else, or the measure itself.
        (
            "the region with the largest area",
            "the region with the largest lake",
            "SELECT region FROM lake ORDER BY area DESC LIMIT 1",
        ),
        (
            "which album has the longest track",
            "which album has the longest duration",
            "SELECT name FROM album ORDER BY duration DESC LIMIT 1",
        ),
        ("the largest population of a town", "the largest town", TOWN),
        ("the largest town population", "the largest town", TOWN),
        ("the population of the largest town", "the largest town", TOWN),
        ("the largest lake", "the largest area of a lake", "SELECT max(area) FROM lake"),
        (
            "the capital with the largest population",
            "the capital of the largest state",
            "SELECT capital FROM state ORDER BY population DESC LIMIT 1",
        ),
        ("the largest town of each county", "the town with the largest population", TOWN),
        # Two extremes in one query: which is which cannot be told.
        (
            "the largest town in the state with the largest area",
            "the largest town in the largest state",
            "SELECT name FROM town WHERE state = (SELECT name FROM state ORDER BY income DESC LIMIT 1) "
            "ORDER BY population DESC LIMIT 1",
        ),
        # Numbers.
        ("the pages of the book Emma", "the number of pages of the book Emma", PAGES),
        ("how many authors does the book Emma have", "how many pages does the book Emma have", PAGES),
        (
            "how many pages does the book Emma have",
            "which pages does the book Emma have",
            "SELECT page FROM pages WHERE book = 'Emma'",
        ),
        ("people in Kent", "the population of Kent", "SELECT population FROM county WHERE name = 'Kent'"),
        # Names, places, and words for anything.
        ("students named Kim", "teachers named Kim", "SELECT id FROM teacher WHERE name = 'Kim'"),
        ("ships called at Oslo", "ships of Oslo", "SELECT ship FROM ship WHERE port = 'Oslo'"),
        ("where was Kim born", "in which city was Kim born", BORN),
        ("in which country was Kim born", "where was Kim born", BORN),
        ("when was Kim born", "where was Kim born", BORN),
        ("French chefs in Rome", "French restaurants in Rome", MEAL),
        ("the French chef in Rome", "the French in Rome", MEAL),
        (
            "best place in Kent",
            "best chef in Kent",
            "SELECT c.name FROM chef c WHERE c.county = 'Kent' ORDER BY rating DESC LIMIT 1",
        ),
        (
            "the size of the shoe Hill",
            "the price of the shoe Hill",
            "SELECT price FROM shoe WHERE name = 'Hill'",
        ),
        (
            "the height of the tower Hill",
            "the area of the tower Hill",
            "SELECT area FROM tower WHERE name = 'Hill'",
        ),
        ("papers cited by Li", "papers by Li", PAPERS),
        ("papers by Li", "papers cited by Li", CITED),
        ("papers written by Li", "papers cited by Li", CITED),
        ("papers cited by Li", "papers written by Li", PAPERS),
        ("the producer of Vertigo", "who directed Vertigo", FILM),
        ("who wrote Vertigo", "who directed Vertigo", FILM),
        ("the actors of Vertigo", "who directed Vertigo", FILM),
        ("when was Vertigo directed", "who directed Vertigo", FILM),
        ("the assistant of the director of Vertigo", "who directed Vertigo", FILM),
        (
            "the best French in Rome",
            "the best French chef in Rome",
            "SELECT chef.name FROM chef WHERE food = 'French' AND city = 'Rome'",
        ),
        (
            "the team with the highest elevation",
            "the team with the highest points",
            "SELECT t FROM teams ORDER BY points DESC LIMIT 1",
        ),
        (
            "the tallest team",
            "the team with the highest points",
            "SELECT t FROM teams ORDER BY points DESC LIMIT 1",
        ),
        (
            "the highest point of Kent",
            "the highest elevation of Kent",
            "SELECT max(elevation) FROM land WHERE county = 'Kent'",
        ),
        (
            "the highest elevation of Kent",
            "the highest point of Kent",
            "SELECT point FROM land WHERE county = 'Kent' ORDER BY elevation DESC LIMIT 1",
        ),
        # `other` and superlatives that have a part in the query.
        (
            "teams that beat other teams",
            "teams that beat no other teams",
            "SELECT a FROM t WHERE a NOT IN (SELECT b FROM t)",
        ),
        ("teams that beat other teams", "teams that beat teams", "SELECT a FROM t WHERE a <> b"),
        ("which stores sell other products", "which stores sell products", "SELECT store FROM sale"),
        ("the highest bid of Kim", "the high bid of Kim", "SELECT bid FROM bids WHERE name = 'Kim'"),
        (
            "the high points of Kent",
            "the lowest points of Kent",
            "SELECT lowest_point FROM c WHERE n = 'Kent'",
        ),
        ("the good seller", "the best seller", "SELECT best_seller FROM shop"),
        # `mean` that means something.
        ("the mean price of lamps", "the price of lamps", "SELECT price FROM lamp"),
        ("trains at 6 o'clock pm", "trains at 6 o'clock", "SELECT id FROM train WHERE hour = 6"),
    ],
)
def test_what_only_seems_to_be_said_is_refused(asked, stored, query):
    assert [score for score in SCORES if is_answered(asked, stored, query, score)] == []


@pytest.mark.parametrize(
    ("asked", "stored", "query"),
    [
        (
            "the farm with the smallest price",
            "the smallest farm",
            "SELECT name, price FROM farm WHERE area = (SELECT min(area) FROM farm)",
        ),
        (
            "what is the tallest mill",
            "where is the tallest mill",
            "SELECT town FROM mill ORDER BY height DESC LIMIT 1",
        ),
    ],
)
def test_no_stored_pair_excuses_what_the_query_speaks_against(asked, stored, query):
    taught = [
        ("where is the tallest bridge", "SELECT name FROM bridge"),
        ("what is the tallest bridge", "SELECT name FROM bridge"),
        ("the smallest barn", "SELECT name FROM barn"),
        ("the barn with the smallest price", "SELECT name FROM barn"),
        ("the smallest shed", "SELECT name FROM shed"),
        ("the shed with the smallest price", "SELECT name FROM shed"),
    ]
    learned = GUARD.evidence()
    for entry, pair in enumerate([*taught, (stored, query)]):
        learned.observe(entry, GUARD.features(*pair))
    verdict = GUARD.judge(GUARD.features(asked), GUARD.features(stored, query), 0.95, learned=learned)
    assert not verdict.accepted
    assert verdict.reason in (Reason.INTERROGATIVE, Reason.OPERATOR)
