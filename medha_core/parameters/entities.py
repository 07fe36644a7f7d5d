"""Named entities: what a recogniser of the caller's, GLiNER or spaCy finds in a question.

The libraries are optional and heavy. They are imported when a question first needs them and never on
the thread of a running event loop: there the first question goes without, and a thread loads them.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

from medha_core.concurrency.calling import on_event_loop
from medha_core.concurrency.forking import lock
from medha_core.errors import ConfigurationError

__all__ = ["Entity", "LazyModel", "Recogniser", "gliner", "gliner_installed", "spacy_pipeline"]

logger = logging.getLogger("medha_core")

_SPACY_MODELS = ("en_core_web_sm", "en_core_web_md")
_GLINER_THRESHOLD = 0.5


class Entity(NamedTuple):
    """A named thing in a text."""

    label: str
    """What it is: a parameter's name for GLiNER, `PERSON`, `ORG` and the like for spaCy."""
    text: str
    """It, as the text has it."""


Recogniser = Callable[[str, Sequence[str]], Iterable[Entity]]
"""`(text, labels) -> entities`; a recogniser with labels of its own may ignore the wanted ones."""


class LazyModel:
    """A recogniser that is loaded when first needed. Safe across threads."""

    def __init__(self, name: str, load: Callable[[], Recogniser]):
        self._name = name
        self._load = load
        self._lock = lock()
        """Held while the model is loaded."""
        self._recogniser: Recogniser | None = None
        self._failed = False
        self._thread: threading.Thread | None = None

    def load(self) -> Recogniser | None:
        """The recogniser, loaded if need be; None, with one warning, when it cannot be."""
        with self._lock:
            if self._recogniser is None and not self._failed:
                try:
                    self._recogniser = self._load()
                except Exception as error:  # noqa: BLE001 - a model's loader may raise anything, and extraction works without
                    self._failed = True
                    logger.warning("%s is not used: %s: %s", self._name, type(error).__name__, error)
        return self._recogniser

    def get(self) -> Recogniser | None:
        """The recogniser; on the thread of an event loop only if it is loaded already."""
        if self._recogniser is not None or self._failed or not on_event_loop():
            return self._recogniser or self.load()
        if self._thread is None:
            self._thread = threading.Thread(target=self.load, name=f"load-{self._name}", daemon=True)
            self._thread.start()
        return None


def installed_spacy_model() -> str | None:
    """The English model there is, found without importing anything."""
    if find_spec("spacy") is None:
        return None
    return next((name for name in _SPACY_MODELS if find_spec(name) is not None), None)


def spacy_pipeline(model: Any) -> Recogniser:
    """A recogniser from a spaCy pipeline, or from the name or directory of one."""
    if callable(model):
        pipeline = model
    else:
        import spacy

        pipeline = spacy.load(model)
    return lambda text, _labels: [Entity(found.label_, found.text) for found in pipeline(text).ents]


def gliner_installed() -> bool:
    """Whether the package is there, without importing it."""
    return find_spec("gliner") is not None


def gliner(model: str) -> Recogniser:
    """A zero-shot recogniser: its labels are the parameters' names."""
    try:
        from gliner import GLiNER
    except ModuleNotFoundError as error:
        if error.name != "gliner":
            raise
        raise ConfigurationError("use_gliner needs the package gliner: pip install gliner") from None
    loaded = GLiNER.from_pretrained(model)

    def recognise(text: str, labels: Sequence[str]) -> list[Entity]:
        found = loaded.predict_entities(text, list(labels), threshold=_GLINER_THRESHOLD)
        return [Entity(one["label"], one["text"]) for one in found]

    return recognise
