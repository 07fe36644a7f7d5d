"""What templates cost a question: 20, 200 and 2,000 of them, for misses and for hits.

python benchmarks/bench_templates.py
pytest benchmarks/bench_templates.py
"""

import time

import pytest

from medha_core import ParameterExtractor, QueryTemplate
from medha_core.learning.knowledge import Knowledge
from medha_core.templates import Templates

VERBS = ["Show", "List", "Count", "Find", "Get"]
THINGS = ["orders", "customers", "invoices", "products", "employees", "tickets", "shipments", "suppliers"]
FILTERS = ["in {city}", "of {name}", "for year {year}", "placed by {name}", "delivered to {city}"]
DETAILS = ["open", "late", "paid", "new", "blocked", "large", "small", "recent", "foreign", "internal"]
SIZES = (20, 200, 2000)
THRESHOLD = 0.70
MISSES = [
    "What is the email of Nina Keller?",
    "How many open orders are there in the system right now",
    "Show me the total revenue by month and region for the last year",
    "Which customers placed more than 5 orders in 2024?",
    "list all products that were never reviewed",
]


def templates(count):
    """Templates that share most of their words, as the patterns of one database do."""
    made = []
    for i in range(count):
        verb, thing = VERBS[i % 5], THINGS[i // 5 % 8]
        condition, detail = FILTERS[i // 40 % 5], DETAILS[i // 200 % 10]
        text = f"{verb} all {detail} {thing} {condition}"
        names = [condition[condition.index("{") + 1 : -1]]
        made.append(
            QueryTemplate(
                intent=f"t{i}",
                template_text=text,
                aliases=[f"{detail} {thing} {condition}"],
                query_template=f"SELECT * FROM {thing} WHERE kind = '{detail}' AND x = '{{{names[0]}}}'",
                parameters=names,
            )
        )
    return made


def microseconds(function, repeats):
    """Processor time of one call, the best of five rounds."""
    best = float("inf")
    for _ in range(5):
        begin = time.process_time()
        for _ in range(repeats):
            function()
        best = min(best, (time.process_time() - begin) / repeats)
    return best * 1e6


def made(count):
    tier = Templates(templates(count), ParameterExtractor(use_spacy=False))
    tier.match("warm up", THRESHOLD)
    return tier


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("question", MISSES[:2])
def test_miss(benchmark, count, question):
    agrees = Knowledge("balanced").agrees
    assert benchmark(made(count).match, question, THRESHOLD, agrees) is None


@pytest.mark.parametrize("count", SIZES)
def test_hit(benchmark, count):
    agrees = Knowledge("balanced").agrees
    found = benchmark(made(count).match, "show all open orders in Berlin", THRESHOLD, agrees)
    assert found.query == "SELECT * FROM orders WHERE kind = 'open' AND x = 'Berlin'"


def main():
    agrees = Knowledge("balanced").agrees
    hit = "show all open orders in Berlin"
    print(f"{'templates':>9} {'build ms':>9} {'miss us, mean':>14} {'worst':>7} {'hit us':>7}")
    for count in SIZES:
        begin = time.process_time()
        tier = made(count)
        build = (time.process_time() - begin) * 1e3
        assert tier.match(hit, THRESHOLD, agrees).template.intent == "t0"
        costs = [
            microseconds(lambda t=tier, q=q: t.match(q, THRESHOLD, agrees), 2000 // len(MISSES))
            for q in MISSES
        ]
        found = microseconds(lambda t=tier: t.match(hit, THRESHOLD, agrees), 200)
        print(f"{count:>9} {build:>9.1f} {sum(costs) / len(costs):>14.1f} {max(costs):>7.1f} {found:>7.1f}")


if __name__ == "__main__":
    main()
