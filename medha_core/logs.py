"""What may stand in the log: questions and queries only at DEBUG, and there only if the settings allow."""

import logging

from medha_core.settings import Settings

logger = logging.getLogger("medha_core")


def said(error: BaseException, settings: Settings) -> str:
    """What a warning says of an error: its kind and its cause's, for its text may quote a question.

    The text goes to DEBUG.
    """
    if settings.log_questions:
        logger.debug("%s", error)
    kinds = [type(error).__name__]
    if error.__cause__ is not None:
        kinds.append(type(error.__cause__).__name__)
    return " from ".join(kinds)
