"""A template's query with values in its slots, written by the literal rules of its language.

Each value is checked for what could end a literal, then written for the place it stands in, and the
finished query is read again: where anything but the slots' own tokens differs, it is refused.
"""

import re
import unicodedata
from collections.abc import Mapping

from medha_core.errors import ParameterExtractionError, shown
from medha_core.parameters.patterns import pattern
from medha_core.parameters.slots import Place, Plan, Slot, plan, skeleton
from medha_core.reading.literals import tokenize
from medha_core.types import QueryTemplate

__all__ = ["plan_of", "render"]

MAX_LENGTH = 512
"""Characters of a value; a longer one is refused."""
_RELATIVE_TIME = re.compile(
    r"yesterday|today|tomorrow|tonight|now"
    r"|(?:this|last|next|past|previous|current)\s+\w+"
    r"|(?:a|an|\w+)\s+\w+\s+ago|in\s+(?:a|an|\d+)\s+\w+",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_NAME_PART = re.compile(r"\w+")
_PLAIN = re.compile(r"[\w\s-]+")
_ENDING = ('"', "`", "\\", ";", "--", "/*", "*/")
"""What could close a literal or a statement, or open a comment, in some language."""
_APOSTROPHES = frozenset("'’ʼ＇‘ʹ′")
_RESERVED = frozenset(
    "select from where and or not in is as on join union all distinct limit offset between like exists case "
    "when then else end set values with match return null true false intersect except into update delete "
    "insert drop alter create table having group order by".split()
)
_BACKSLASH_ESCAPES = frozenset(["cypher", "graphql"])


def plan_of(template: QueryTemplate, language: str) -> Plan:
    """The template's query, read. In GraphQL `{name}` is a selection where no parameter has that name."""
    kept = frozenset[str]()
    if language == "graphql":
        kept = frozenset(re.findall(r"\{(\w+)\}", template.query_template)) - set(template.parameters)
    return plan(template.query_template, kept, language != "graphql")


def render(template: QueryTemplate, params: Mapping[str, object], language: str) -> str:
    """The query with `params` in its slots. Raises `ParameterExtractionError` for what cannot stand there."""
    read = plan_of(template, language)
    parts: list[str] = []
    spans, end, length = [], 0, 0
    for slot in read.slots:
        if slot.name not in params:
            raise ParameterExtractionError(f"template {template.intent!r}: no value for slot {{{slot.name}}}")
        before, text = (
            read.text[end : slot.start],
            _written(template, slot, params[slot.name], language, read),
        )
        parts += [before, text]
        spans.append((length + len(before), length + len(before) + len(text)))
        length, end = spans[-1][1], slot.end
    query = "".join([*parts, read.text[end:]])
    if read.slots and skeleton(tokenize(query), spans) != read.tokens:
        raise ParameterExtractionError(f"template {template.intent!r}: its values would change the query")
    return query


def _written(template: QueryTemplate, slot: Slot, given: object, language: str, read: Plan) -> str:
    """One value as the text of its slot."""
    where = f"template {template.intent!r}, parameter {slot.name!r}"
    value = _checked(given, where)
    refused = ParameterExtractionError(f"{where}: {shown(value)} is not safe to insert")
    if slot.place is Place.COMMENT:
        raise ParameterExtractionError(f"{where}: its slot stands in a comment of the query")
    if slot.place is Place.NAME:
        if value.isdecimal() or _is_name(value, whole=_is_whole(slot, read)):
            return value
        raise refused
    if slot.place is Place.VALUE and _NUMBER.fullmatch(value):
        return value
    knows_rules = language != "generic"
    if not _may_stand(value, slot, template, knows_rules=knows_rules):
        raise refused
    if slot.place is Place.QUOTED:
        return _escaped(value, slot.quote, language)
    if knows_rules or read.is_sql:
        quote = '"' if language == "graphql" else "'"
        return f"{quote}{_escaped(value, quote, language)}{quote}"
    if not _is_name(value, whole=True):
        raise refused
    return value


def _checked(given: object, where: str) -> str:
    """The value as text, without what is refused in every place."""
    if isinstance(given, bool) or not isinstance(given, (str, int, float)):
        raise ParameterExtractionError(f"{where}: expected text or a number, got {type(given).__name__}")
    value = str(given)
    if not value.strip():
        raise ParameterExtractionError(f"{where}: an empty value")
    if len(value) > MAX_LENGTH:
        raise ParameterExtractionError(f"{where}: {len(value)} characters are over {MAX_LENGTH}")
    if _RELATIVE_TIME.fullmatch(value.strip()):
        raise ParameterExtractionError(f"{where}: {shown(value)} depends on today's date")
    return value


def _may_stand(value: str, slot: Slot, template: QueryTemplate, *, knows_rules: bool) -> bool:
    """Whether a value may be part of a string: nothing in it ends one or is read as a pattern."""
    if slot.is_count or _could_end(value) or (slot.is_pattern and any(mark in value for mark in "%_")):
        return False
    if slot.bracketed and any(mark in value for mark in "[]"):
        return False
    if slot.is_expression and not _PLAIN.fullmatch(value):
        return False
    if any(mark in value for mark in _APOSTROPHES):
        # O'Brien is escaped where the language is known; any other apostrophe is refused.
        return knows_rules and not slot.prefixed and slot.quote != "`" and _inside_words(value)
    if _PLAIN.fullmatch(value) or knows_rules:
        return True
    declared = template.parameter_patterns.get(slot.name)
    return declared is not None and pattern(declared, _where(template, slot.name)).allows(value)


def _where(template: QueryTemplate, name: str) -> str:
    return f"template {template.intent!r}, parameter_patterns[{name!r}]"


def _could_end(value: str) -> bool:
    """Whether a value, or what a database may fold it to, closes a literal or opens a comment."""
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp", "Cf") for c in value):
        return True
    return any(mark in form for form in (value, unicodedata.normalize("NFKC", value)) for mark in _ENDING)


def _inside_words(value: str) -> bool:
    """Whether each apostrophe is a plain one between two letters, as in O'Brien."""
    return all(
        c == "'" and value[i - 1 : i].isalpha() and value[i + 1 : i + 2].isalpha()
        for i, c in enumerate(value)
        if c in _APOSTROPHES
    )


def _escaped(value: str, quote: str, language: str) -> str:
    if quote != "'" or "'" not in value:
        return value
    return value.replace("'", "\\'" if language in _BACKSLASH_ESCAPES else "''")


def _is_whole(slot: Slot, read: Plan) -> bool:
    """Whether a name consists of the slot alone."""
    before, after = read.text[slot.start - 1 : slot.start], read.text[slot.end : slot.end + 1]
    return not any(c and (c.isalnum() or c in "_{}") for c in (before, after))


def _is_name(value: str, *, whole: bool) -> bool:
    """Whether a value names something: alone no word of the language, or a part of a name."""
    if not whole:
        return _NAME_PART.fullmatch(value) is not None
    return _IDENTIFIER.fullmatch(value) is not None and value.lower() not in _RESERVED
