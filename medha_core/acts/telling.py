"""Telling: what users say about answers."""

import logging

from medha_core.acts.parts import Parts
from medha_core.errors import ArgumentTypeError, StorageError
from medha_core.logs import said
from medha_core.pairs import check_question, check_text

logger = logging.getLogger("medha_core")


class Telling:
    """Takes judgements of answers."""

    def __init__(self, parts: Parts):
        self._parts = parts

    async def feedback(
        self,
        question: str,
        correct: bool,
        *,
        entry_id: str | None = None,
        collection_name: str | None = None,
    ) -> bool:
        """Say whether an answer was right; whether there was an entry to count that with.

        Args:
            question: what was asked.
            entry_id: `hit.entry_id`; without it the judgement counts for the entry stored under
                this very question (an arbitrary one of several).

        A wrong answer is not given to this question again by that entry, which from now on must be
        more certain; one that reached `Settings.feedback_incorrect_threshold` is deleted (without
        `entry_id`: every entry of the question). The same words still get what is stored for them.
        A failing store gives False and a warning.
        """
        self._parts.check_started()
        check_question(question, self._parts.settings)
        if not isinstance(correct, bool):
            raise ArgumentTypeError("correct", "bool", correct)
        if entry_id is not None:
            check_text(entry_id, "entry_id")
        collection = self._parts.scope_of(collection_name, None, False).collection
        try:
            return await self._parts.feedback.take(collection, question, correct, entry_id)
        except StorageError as error:
            logger.warning("feedback was not counted: %s", said(error, self._parts.settings))
            return False
