"""`medha explain QUESTION`: which stored question came nearest, and why it answers or not, in sentences."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medha_core import CacheHit, SearchStrategy
from medha_core.cli.opening import open_cache, open_kept_settings
from medha_core.cli.output import ERROR, MISS, OK, emit, emit_json
from medha_core.cli.search import search
from medha_core.trace import Explanation, SeenCandidate

_WHY = {
    "off": "The guard is off: its score alone decided",
    "same": "It says the same words",
    "agrees": "It asks for the same thing",
    "learned": "Stored questions show that this difference of wording does not change the query",
    "value": "It asks about another value",
    "number": "The numbers differ",
    "date": "The dates differ",
    "quoted": "The quoted texts differ",
    "identifier": "The identifiers differ",
    "operator": "Only one of the two has a word that changes what is computed",
    "opposite": "The two say opposite things",
    "interrogative": "They ask in another way (who, where, when)",
    "stranger": "One of the two says something the other does not",
    "binding": "The words belong together in another way",
    "projection": "Another thing is asked for",
    "language": "The wording differs in a language the guard does not read",
    "stale": "The answer depends on the day it was asked",
    "known_otherwise": "Stored questions show that this difference changes the query",
    "ambiguous": "It is not certain enough alone, or several fit with different queries",
    "unsure": "The wording is too far apart to be sure",
    "unread": "They differ in signs that the embedding model cannot read",
    "error_rate": "It is not certain enough for the error rate asked for, or after the feedback on it",
    "feedback": "A user or the judge",
    "judge": "The judge was asked",
}
"""A sentence's beginning for each reason; the evidence follows it."""
_ACCEPTED = ("same", "agrees", "learned")
_HOW = {
    SearchStrategy.L1_CACHE: "It was ready in the first-level cache: the same question was answered before.",
    SearchStrategy.EXACT_MATCH: "The question is stored as it is.",
    SearchStrategy.TEMPLATE_MATCH: "A query template fits the question.",
    SearchStrategy.SEMANTIC_MATCH: "A stored question asks for the same thing in other words.",
    SearchStrategy.FUZZY_MATCH: "A stored question asks for the same thing with nearly the same letters.",
    SearchStrategy.PARAMETRIC_MATCH: "A stored question asks for the same thing with other values.",
}


def command(
    question: str,
    collection: str | None,
    path: Path | None,
    model: str | None,
    *,
    warm_from: Path | None,
    as_json: bool,
) -> int:
    settings = open_kept_settings(path, warm_from)
    cache = open_cache(settings, collection, model, read_only=warm_from is None)
    hit, _, entries = asyncio.run(search(cache, question, warm_from, explain=True, fresh=True))
    sentences = tell(hit, entries)
    if as_json:
        emit_json(_as_json(question, hit, sentences))
    else:
        for sentence in (f"Asked: {question}", *sentences):
            emit(sentence)
    if hit.strategy is SearchStrategy.ERROR:
        return ERROR
    return OK if hit else MISS


def tell(hit: CacheHit, entries: int) -> list[str]:
    """What happened, from the most to the least important."""
    if hit.strategy is SearchStrategy.ERROR:
        return [f"The search failed: {hit.error}"]
    seen = candidates(hit.explanation)
    sentences = [*_outcome(hit), *_nearest(hit, seen)]
    if not seen and not hit:
        sentences.append(
            "No stored question lies near enough to be compared." if entries else "The cache is empty."
        )
    others = [one for one in seen[1:4] if one.entry_id != hit.entry_id]
    return [*sentences, *(f"Also near, {_described(one)}: {reason(one)}" for one in others)]


def candidates(explanation: Explanation) -> list[SeenCandidate]:
    """What the tiers considered, nearest first, each entry with the last word on it."""
    latest = {one.entry_id: one for step in explanation.steps for one in step.candidates}
    return sorted(latest.values(), key=lambda one: -one.score)


def reason(seen: SeenCandidate) -> str:
    """Why a candidate was accepted or refused, as a sentence."""
    begin = _WHY.get(seen.verdict, seen.verdict.replace("_", " "))
    if seen.verdict == "feedback":
        return f"{begin} said that it is wrong for this question."
    if not seen.evidence or seen.verdict == "same":
        return f"{begin}."
    return f"{begin} ({seen.evidence.removesuffix(': in one question only')})."


def _outcome(hit: CacheHit) -> list[str]:
    if not hit:
        return ["Not answered."]
    lines = [f"Answered: {hit.generated_query}", _HOW[hit.strategy]]
    if hit.parameters:
        values = ", ".join(f"{column} = {value}" for column, value in hit.parameters.items())
        lines.append(f"Values put into its query: {values}.")
    return lines


def _nearest(hit: CacheHit, seen: Sequence[SeenCandidate]) -> list[str]:
    """The stored question that answered, or, without an answer, the one that came nearest."""
    one = next((one for one in seen if hit and one.entry_id == hit.entry_id), None)
    if one is not None:
        return [f"Stored question, {_described(one)}", reason(one)]
    if not seen or hit:
        return []
    refused = f"Refused. {reason(seen[0])}"
    if seen[0].verdict in _ACCEPTED:
        refused = f"Its score reaches the threshold of no tier, although the guard says: {reason(seen[0])}"
    return [f"Nearest stored question, {_described(seen[0])}", refused]


def _described(seen: SeenCandidate) -> str:
    return f"cosine {seen.score:.2f}: {seen.question}"


def _as_json(question: str, hit: CacheHit, sentences: list[str]) -> dict[str, Any]:
    seen = [] if hit.explanation is None else candidates(hit.explanation)
    return {
        "question": question,
        "answered": bool(hit),
        "strategy": hit.strategy.value,
        "generated_query": hit.generated_query,
        "entry_id": hit.entry_id,
        "sentences": sentences,
        "candidates": [
            {
                "entry_id": one.entry_id,
                "question": one.question,
                "score": round(one.score, 4),
                "verdict": one.verdict,
                "evidence": one.evidence,
                "sentence": reason(one),
            }
            for one in seen
        ],
    }
