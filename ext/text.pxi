# Normalised text and the keys made from it. The work is in text.hpp and xxh3.hpp; here Python
# strings become bytes, and what cannot be a key is refused.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_Check
from libc.string cimport memchr

from medha_core.errors import ArgumentTypeError, ArgumentValueError

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    object PyUnicode_DecodeUTF8(const char* data, Py_ssize_t size, const char* errors)

cdef extern from "xxh3.hpp" namespace "medha" nogil:
    struct Key128:
        uint64_t low
        uint64_t high

cdef extern from "xxh3.hpp" namespace "medha::xxh3" nogil:
    Key128 xxh3_hash "medha::xxh3::hash"(const void* data, uint64_t size)
    void write_digest(const Key128& key, char* out)
    Key128 read_digest(const char* digest)

cdef extern from "text.hpp" namespace "medha" nogil:
    cppclass Scratch:
        Scratch(size_t capacity) except +
        char* data()

cdef extern from "text.hpp" namespace "medha::text" nogil:
    struct TextBytes "medha::text::Bytes":
        const char* data
        size_t size

    size_t normalize_bytes "medha::text::normalize"(const char* text, size_t size, char* out)
    size_t append_part "medha::text::append"(char* out, size_t at, const char* part, size_t size)
    Key128 hash_question "medha::text::question_key"(TextBytes, TextBytes, TextBytes) except +


cdef bytes digest_of(Key128 key):
    cdef bytes digest = PyBytes_FromStringAndSize(NULL, 16)
    write_digest(key, PyBytes_AS_STRING(digest))
    return digest


cdef inline int utf8_of(object text, TextBytes* out) except -1:
    """Point `out` at the UTF-8 that `text` keeps for its lifetime."""
    cdef Py_ssize_t size
    out.data = PyUnicode_AsUTF8AndSize(text, &size)
    out.size = size
    return 0


cdef int valid_utf8_of(object text, TextBytes* out, str argument) except -1:
    try:
        utf8_of(text, out)
    except UnicodeEncodeError:
        raise ArgumentValueError(argument, "text without lone surrogates", text) from None
    return 0


cdef inline int check_text(object question) except -1:
    if not PyUnicode_Check(question):
        raise ArgumentTypeError("question", "str", question)
    return 0


cdef inline int part_of(object part, TextBytes* out) except -1:
    if PyUnicode_Check(part):
        return valid_utf8_of(part, out, "parts")
    if not PyBytes_Check(part):
        raise ArgumentTypeError("parts", "str or bytes", part)
    out.data = PyBytes_AS_STRING(part)
    out.size = PyBytes_GET_SIZE(part)
    return 0


def hash_parts(*parts):
    """XXH3-128 (16 bytes) over the parts, each behind its length; str counts as its UTF-8.

    Equal to `xxhash.xxh3_128_digest` over `len(part).to_bytes(8, "little") + part` of all parts.
    """
    cdef TextBytes bytes_of
    cdef size_t size = 0
    for part in parts:
        part_of(part, &bytes_of)
        size += 8 + bytes_of.size
    scratch = new Scratch(size)
    try:
        size = 0
        for part in parts:
            part_of(part, &bytes_of)
            size = append_part(scratch.data(), size, bytes_of.data, bytes_of.size)
        return digest_of(xxh3_hash(scratch.data(), size))
    finally:
        del scratch


def normalize(question):
    """`question` in lower case, whitespace collapsed, polite phrases shortened, end marks dropped.

    The rules are those of `medha_core.normalise.normalize_question`.
    """
    check_text(question)
    cdef bytes lowered = b""
    cdef TextBytes source
    if PyUnicode_IS_ASCII(question):
        utf8_of(question, &source)
    else:
        lowered = str.lower(question).encode("utf-8", "surrogatepass")
        source.data = PyBytes_AS_STRING(lowered)
        source.size = PyBytes_GET_SIZE(lowered)
    scratch = new Scratch(source.size)
    try:
        written = normalize_bytes(source.data, source.size, scratch.data())
        return PyUnicode_DecodeUTF8(scratch.data(), written, "surrogatepass")
    finally:
        del scratch


cdef inline Key128 key_of(bytes scope, object question) except *:
    """The key of a question inside a scope, without a Python object when the question is ASCII."""
    check_text(question)
    cdef TextBytes scope_bytes, source, lowered
    scope_bytes.data = PyBytes_AS_STRING(scope)
    scope_bytes.size = PyBytes_GET_SIZE(scope)
    cdef object lower_text = question
    if PyUnicode_IS_ASCII(question):
        utf8_of(question, &source)
        lowered = source
    else:
        lower_text = str.lower(question)
        valid_utf8_of(question, &source, "question")
        valid_utf8_of(lower_text, &lowered, "question")
    if memchr(source.data, 0, source.size) != NULL:
        raise ArgumentValueError("question", "text without NUL characters", question)
    return hash_question(scope_bytes, source, lowered)


def question_key(bytes scope not None, question):
    """16 bytes that stand for a question inside a scope (collection, filters).

    Hashed are the scope, the normalised question, the inside of each quoted literal as written,
    and each word in capitals ("US" is not "us") of a question that is not all in capitals: the
    case of letters counts there and nowhere else.
    Raises `ArgumentValueError` for NUL characters and lone surrogates.
    """
    return digest_of(key_of(scope, question))
