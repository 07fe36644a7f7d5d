"""What a request asks for, checked, and vectors cut to it."""

from collections.abc import Sequence

import numpy as np

from medha_core.errors import ArgumentTypeError, ArgumentValueError
from medha_core.service.models import SHORTENS, LoadedModel, ServedModel
from medha_core.tokens import MOST_TOKENS, check_length


def filled(texts: Sequence[str]) -> list[int]:
    """The places of the texts that are not empty. Raises `ValueError` when there is none."""
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Sequence):
        raise ArgumentTypeError("texts", "a list of texts", texts)
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise ArgumentTypeError(f"texts[{place}]", "str", text)
    places = [place for place, text in enumerate(texts) if text.strip()]
    if not places:
        raise ArgumentValueError("texts", "at least one text that is not empty", texts)
    return places


def counted(texts: Sequence[str], config: ServedModel, name: str) -> list[float]:
    """The tokens of each text, estimated; `ArgumentValueError` for too many.

    A model that reads more than the usual limit may be given more; `name` is what
    the only text is called.
    """
    most = max(MOST_TOKENS, config.max_input_length)
    names = [name] if len(texts) == 1 else [f"texts[{row}]" for row in range(len(texts))]
    return [check_length(text, called, most) for text, called in zip(texts, names, strict=True)]


def batch_size_of(asked: int | None, config: ServedModel) -> int:
    """How many texts are computed in one call: at most what the model takes."""
    if asked is None:
        return config.max_batch_size
    if not isinstance(asked, int) or isinstance(asked, bool):
        raise ArgumentTypeError("batch_size", "int or None", asked)
    if asked < 1:
        raise ArgumentValueError("batch_size", "at least 1", asked)
    return min(asked, config.max_batch_size)


def shown_dimension(asked: int | None, model: LoadedModel) -> int:
    """How many numbers of each vector are answered; fewer than all for few models only."""
    if asked is None or asked == model.dimension:
        return model.dimension
    if model.config.name not in SHORTENS:
        raise ArgumentValueError(
            "dimensions", f"{model.dimension}, the only ones {model.config.name} has", asked
        )
    if not isinstance(asked, int) or not 1 <= asked <= model.dimension:
        raise ArgumentValueError("dimensions", f"1 to {model.dimension}", asked)
    return asked


def shortened(array: np.ndarray, dimension: int) -> np.ndarray:
    """The first numbers of each vector, scaled to length 1 again; whole vectors are left as they are.

    The whole vector is what is remembered, so no two dimensions can be taken for each other.
    """
    if dimension == array.shape[1]:
        return array
    short = array[:, :dimension]
    lengths = np.linalg.norm(short, axis=1, keepdims=True)
    return np.asarray(short / np.where(lengths > 0, lengths, 1), np.float32)
