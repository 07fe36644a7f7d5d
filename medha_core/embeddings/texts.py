"""What an embedder accepts as text."""

from collections.abc import Sequence

from medha_core.errors import ArgumentTypeError, ArgumentValueError


def check_texts(texts: Sequence[str]) -> None:
    """Refuse what no tokenizer can read faithfully. Raises `ArgumentTypeError` or `ArgumentValueError`."""
    if isinstance(texts, (str, bytes)):
        raise ArgumentTypeError("texts", "a sequence of str", texts)
    for row, text in enumerate(texts):
        check_text(text, "text" if len(texts) == 1 else f"texts[{row}]")


def check_text(text: str, argument: str = "text") -> None:
    """One text: a `str` with something to see in it, without NUL and lone surrogates."""
    if not isinstance(text, str):
        raise ArgumentTypeError(argument, "str", text)
    if not text.strip():
        raise ArgumentValueError(argument, "a non-empty text", text)
    if "\0" in text:
        raise ArgumentValueError(argument, "a text without NUL characters", text)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ArgumentValueError(argument, "a text without lone surrogates", text) from error
