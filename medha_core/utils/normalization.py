"""Normal forms and hashes, under the path the Medha library gives them."""

from medha_core.normalise import normalize_question, query_hash, question_hash

__all__ = ["normalize_question", "query_hash", "question_hash"]
