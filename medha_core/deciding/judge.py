"""A second opinion: a callable of the user's, a language model say, asked about doubtful candidates."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from medha_core.concurrency.calling import called
from medha_core.errors import ArgumentTypeError

__all__ = ["Judge", "JudgeFunction"]

logger = logging.getLogger("medha_core")

JudgeFunction = Callable[[str, str, str], bool | Awaitable[bool]]
"""`(question, stored_question, stored_query)` -> whether that query answers the question."""


class Judge:
    """Asks the user's function, with a time limit. What fails, or is no plain True or False, is no answer."""

    def __init__(self, function: JudgeFunction, timeout: float):
        if not callable(function):
            raise ArgumentTypeError("judge", "a callable (question, stored_question, stored_query)", function)
        self._function = function
        self._timeout = timeout

    async def ask(self, question: str, stored_question: str, stored_query: str) -> bool | None:
        """The answer; None when the function raised, took too long or answered something else."""
        asked = called(self._function, question, stored_question, stored_query)
        try:
            answer = await asyncio.wait_for(asked, self._timeout)
        except TimeoutError:
            logger.warning("the judge took longer than %s seconds", self._timeout)
            return None
        except Exception as error:  # noqa: BLE001 - a judge may raise anything, and then there is no answer
            logger.warning("the judge raised %s", type(error).__name__)  # its text may quote a question
            return None
        if not isinstance(answer, bool):
            logger.warning("the judge answered %s instead of True or False", type(answer).__name__)
            return None
        return answer
