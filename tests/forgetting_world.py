"""A small world of questions whose vectors are chosen: customers mean one thing, suppliers another."""

from medha_core import CallableEmbedder


class World:
    """An embedder that knows two meanings, by the words in a question."""

    def __call__(self, texts):
        return [[float("customers" in text), float("suppliers" in text), 0.01] for text in texts]

    def embedder(self):
        return CallableEmbedder(self, 3, "world", batch=True)


WORLD = World()

STORED = "customers in Rome"
QUERY = "SELECT name FROM crm.customers WHERE city = 'Rome'"
PARAPHRASE = "show me the customers in Rome"
OTHER_VALUE = "customers in Oslo"
OTHER = "suppliers in Oslo"
OTHER_QUERY = "SELECT name FROM suppliers WHERE city = 'Oslo'"
TAUGHT_VALUE = "suppliers in Rome"
SERVED = (STORED, PARAPHRASE, OTHER_VALUE, TAUGHT_VALUE)
"""Answered by the entry of `STORED`, or with what it taught."""
