"""Questions in other languages than English: answered where a lexicon knows the words, else word for word."""

from importlib.resources import files

import pytest

from medha_core.guard import Guard, Reason
from medha_core.reading.features import extract
from medha_core.reading.lexicon import ENGLISH, of_language, others

GUARD = Guard()


def verdict(asked: str, stored: str, query: str = "SELECT 1", score: float = 0.93):
    return GUARD.judge(GUARD.features(asked), GUARD.features(stored, query), score)


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("Zeige alle Kunden mit mehr als 5 Bestellungen", "Welche Kunden haben mehr als 5 Bestellungen?"),
        ("Wie viele Kunden gibt es?", "Anzahl der Kunden"),
        ("Liste die Namen der Lieferanten", "Was sind die Namen der Lieferanten?"),
        ("Zeige bitte die Kunden ohne Bestellung", "Welche Kunden haben keine Bestellung?"),
        ("Welches Produkt hat den höchsten Preis?", "Zeige das Produkt mit dem höchsten Preis"),
        ("Welche Bestellungen gab es im März 2023?", "Zeige die Bestellungen im März 2023"),
        ("Wie viele Bestellungen gab es mit drei Produkten?", "Anzahl der Bestellungen mit 3 Produkten"),
    ],
)
def test_german_in_other_words_is_answered(asked, stored):
    found = verdict(asked, stored)
    assert found.accepted, found
    assert GUARD.features(asked).language == "de"


@pytest.mark.parametrize(
    ("asked", "stored", "reason"),
    [
        ("Welche Kunden haben keine Bestellung", "Welche Kunden haben eine Bestellung", Reason.OPERATOR),
        ("Was war die kleinste Bestellung", "Was war die größte Bestellung", Reason.OPERATOR),
        (
            "Welche Kunden haben weniger als 5 Autos?",
            "Welche Kunden haben mehr als 5 Autos?",
            Reason.OPERATOR,
        ),
        ("Welche Flüge gehen von Wien nach Graz", "Welche Flüge gehen von Graz nach Wien", Reason.BINDING),
        ("Welche Aufträge kamen vor dem März?", "Welche Aufträge kamen nach dem März?", Reason.OPERATOR),
        ("Wie viele Kunden haben wir?", "Welche Kunden haben wir?", Reason.OPERATOR),
        ("Zeige die Adressen der Kunden", "Zeige die Namen der Kunden", Reason.STRANGER),
        ("Was war die Summe der Umsätze", "Was war der Durchschnitt der Umsätze", Reason.OPERATOR),
        ("Umsatz im letzten Monat", "Umsatz im letzten Jahr", Reason.DATE),
        ("Wer sind die Kunden seit dem Juni?", "Wer sind die Kunden bis zum Juni?", Reason.BINDING),
        ("Welche Kunden haben drei Autos?", "Welche Kunden haben vier Autos?", Reason.NUMBER),
        ("Welche Filialen sind offen?", "Welche Filialen sind geschlossen?", Reason.OPPOSITE),
        ("Welche Kunden gibt es in Graz?", "Welche Kunden gibt es in Linz?", Reason.STRANGER),
    ],
)
def test_german_near_misses_are_refused(asked, stored, reason):
    found = verdict(asked, stored, score=0.99)
    assert not found.accepted
    assert found.reason is reason


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("clientes sin pedidos", "clientes con pedidos"),
        ("¿cuál es el pedido más grande?", "¿cuál es el pedido más pequeño?"),
        ("combien de clients avons nous", "combien de commandes avons nous"),
        ("les clients qui ont commandé", "les clients qui n'ont pas commandé"),
        ("quels clients sont à Paris avant mars", "quels clients sont à Paris après mars"),
        ("wie heeft de meeste bestellingen in oslo", "wie heeft de minste bestellingen in oslo"),
        ("hur många kunder har vi inte", "hur många kunder har vi"),
        ("मुंबई में कितने ग्राहक हैं", "मुंबई में कितने ग्राहक नहीं हैं"),
        ("没有订单的客户", "有订单的客户"),
        ("注文が一番多い顧客", "注文が一番少ない顧客"),
        ("كم عدد العملاء في دبي", "كم عدد العملاء في عمان"),
        ("клиенты без заказов", "клиенты с заказами"),
        ("ile zamówień mamy w maju", "ile zamówień mamy w marcu"),
        ("Which customers have orders?", "Welche Kunden haben Bestellungen?"),
    ],
)
def test_without_a_lexicon_only_the_same_words_are_answered(asked, stored):
    for one, other in ((asked, stored), (stored, asked)):
        assert not verdict(one, other, score=0.99).accepted
        assert verdict(one, one, score=0.99).accepted


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("2024年的订单", "2023年的订单"),
        ('客户 "张伟" 的订单', '客户 "李娜" 的订单'),
        ("заказ AX-17", "заказ AX-18"),
        ("٢٠٢٤ طلبات", "٢٠٢٣ طلبات"),
    ],
)
def test_numbers_quotes_and_identifiers_count_in_any_script(asked, stored):
    assert not verdict(asked, stored, score=0.99).accepted


def test_every_lexicon_file_is_a_language_of_its_own():
    names = {entry.name for entry in (files("medha_core.reading") / "lexicons").iterdir()}
    languages = {name.removesuffix(".toml") for name in names if name.endswith(".toml")}
    assert languages == {ENGLISH, *(lexicon.language for lexicon in others())}
    assert {"de", "en"} <= languages
    assert all(of_language(language).language == language for language in languages)


def test_english_questions_are_read_without_the_other_lexicons(monkeypatch):
    monkeypatch.setattr("medha_core.reading.features.others", lambda: pytest.fail("read"))
    features = extract("how many customers have no orders")
    assert features.is_english
    assert features.language == ENGLISH
