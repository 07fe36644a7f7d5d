"""`medha demo`: the sample asked, as a table."""

import asyncio
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from medha_core import OnnxEmbedder
from medha_core.cli.output import MISS, OK, console, download, emit, emit_json, progress
from medha_core.demo import Answer, Report, Verdict, run_demo

_COLOURS = {
    Verdict.RIGHT: "green",
    Verdict.HONEST_MISS: "cyan",
    Verdict.UNANSWERED: "yellow",
    Verdict.WRONG: "red",
}


def command(*, as_json: bool) -> int:
    report = asyncio.run(_run())
    if as_json:
        emit_json(_as_json(report))
    else:
        _show(report)
    return OK if report.as_expected else MISS


async def _run() -> Report:
    with download("fetching the model") as on_progress:
        embedder = OnnxEmbedder(progress=on_progress)
    with progress("storing the sample") as on_progress:
        return await run_demo(embedder, on_progress=on_progress)


def _show(report: Report) -> None:
    terminal = console()
    question, answer, row = _widths(terminal.width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("question", width=question)
    table.add_column("answer", width=answer, no_wrap=True, overflow="ellipsis")
    table.add_column("tier", width=8)
    table.add_column("confidence", width=10, justify="right")
    table.add_column("ms", width=6, justify="right")
    table.add_column("first row", width=row, no_wrap=True, overflow="ellipsis")
    for given in report.answers:
        table.add_row(*_cells(given))
    terminal.print(table)
    emit(_totals(report))


def _widths(width: int) -> tuple[int, int, int]:
    """Columns for question, answer and first row: what tier, confidence, ms and the gaps leave."""
    rest = max(width - 8 - 10 - 6 - 5 * 3, 30)
    question = 48 if rest >= 78 else rest * 9 // 20  # 48 is the longest question of the sample
    answer = (rest - question) * 3 // 5
    return question, answer, rest - question - answer


def _cells(answer: Answer) -> tuple[str, ...]:
    hit, colour = answer.hit, _COLOURS[answer.verdict]
    return (
        escape(answer.question),
        f"[{colour}]{escape(_said(answer))}[/]",
        hit.strategy.value.removesuffix("_match") if hit else "-",
        f"{hit.confidence:.2f}" if hit else "-",
        f"{answer.milliseconds:.1f}",
        escape(_shown_row(answer.first_row)),
    )


def _said(answer: Answer) -> str:
    if answer.verdict is Verdict.RIGHT:
        return answer.hit.generated_query
    if answer.verdict is Verdict.WRONG:
        return f"WRONG: {answer.hit.generated_query}"
    return answer.verdict.value


def _shown_row(row: tuple[object, ...] | None) -> str:
    return "-" if row is None else ", ".join(str(value) for value in row)


def _totals(report: Report) -> str:
    return (
        f"\n{report.entries} questions stored, {len(report.answers)} asked, "
        f"{report.median_ms:.1f} ms each in the median\n"
        f"{report.count(Verdict.RIGHT)} hits with the right query, "
        f"{report.count(Verdict.WRONG)} wrong answers, "
        f"{report.count(Verdict.HONEST_MISS)} honest misses, "
        f"{report.count(Verdict.UNANSWERED)} unanswered"
    )


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "entries": report.entries,
        "hits": report.count(Verdict.RIGHT),
        "wrong_answers": report.count(Verdict.WRONG),
        "honest_misses": report.count(Verdict.HONEST_MISS),
        "unanswered": report.count(Verdict.UNANSWERED),
        "median_ms": round(report.median_ms, 3),
        "as_expected": report.as_expected,
        "answers": [_answer_as_json(answer) for answer in report.answers],
    }


def _answer_as_json(answer: Answer) -> dict[str, Any]:
    return {
        "question": answer.question,
        "verdict": answer.verdict.value,
        "generated_query": answer.hit.generated_query,
        "strategy": answer.hit.strategy.value,
        "confidence": round(answer.hit.confidence, 4),
        "milliseconds": round(answer.milliseconds, 3),
        "first_row": answer.first_row,
    }
