"""A small shop with questions about it: what `medha demo` asks, usable from code as well."""

from medha_core.demo.run import Answer, Report, Verdict, run_demo
from medha_core.demo.shop import (
    MustMiss,
    Pair,
    Paraphrase,
    must_miss,
    open_shop,
    pairs,
    pairs_file,
    paraphrases,
)

__all__ = [
    # the sample
    "MustMiss",
    "Pair",
    "Paraphrase",
    "must_miss",
    "open_shop",
    "pairs",
    "pairs_file",
    "paraphrases",
    # asking it
    "Answer",
    "Report",
    "Verdict",
    "run_demo",
]
