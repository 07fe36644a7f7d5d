# Query texts: their literals and names. The work is in query.hpp, on ASCII; for all other texts each function
# says that it did not look, and `medha_core.reading.query` asks the Python reader.

from libcpp.string cimport string
from libcpp.unordered_set cimport unordered_set
from libcpp.vector cimport vector

cdef extern from "query.hpp" namespace "medha::query":
    cppclass QueryToken "medha::query::Token":
        uint32_t start
        uint32_t end

    cppclass QueryLiteral "medha::query::Literal":
        string value
        string column
        cpp_bool is_number
        cpp_bool is_pattern
        uint32_t start
        uint32_t end
        cpp_bool is_matched

    cppclass QueryVocabulary "medha::query::Vocabulary":
        unordered_set[string] comparisons
        unordered_set[string] clauses
        unordered_set[string] keywords
        unordered_set[string] matching
        unordered_set[string] sql_starts

    cppclass QueryScanner "medha::query::Scanner":
        QueryScanner(string_view text)
        vector[QueryToken] run() except +

    cppclass QueryLiteralReader "medha::query::LiteralReader":
        QueryLiteralReader(string_view text, const vector[QueryToken]& tokens, const QueryVocabulary& words) except +
        vector[QueryLiteral] run() except +

    cpp_bool differ_only_at "medha::query::differ_only_at"(
        string_view before, string_view after, const vector[uint32_t]& starts) except +
    cpp_bool is_sql "medha::query::is_sql"(
        string_view text, const vector[QueryToken]& tokens, const QueryVocabulary& words) except +
    vector[string] name_parts "medha::query::name_parts"(
        string_view text, const vector[QueryToken]& tokens) except +


cdef inline string_view ascii_view(object text) except *:
    cdef TextBytes found
    utf8_of(text, &found)
    return string_view(found.data, found.size)


cdef inline str ascii_text(const string& text):
    return PyUnicode_DecodeUTF8(text.data(), <Py_ssize_t> text.size(), "strict")


cdef unordered_set[string] words_of(words) except *:
    cdef unordered_set[string] found
    for word in words:
        found.insert(word.encode())
    return found


cdef class QueryReader:
    """Finds literals and names in query texts.

    Args:
        comparisons, clauses, keywords, matching: the words of `medha_core.reading.literals`.
        sql_starts: what a query of SQL begins with.
    """

    cdef QueryVocabulary _vocabulary

    def __init__(self, comparisons, clauses, keywords, matching, sql_starts):
        self._vocabulary.comparisons = words_of(comparisons)
        self._vocabulary.clauses = words_of(clauses)
        self._vocabulary.keywords = words_of(keywords)
        self._vocabulary.matching = words_of(matching)
        self._vocabulary.sql_starts = words_of(sql_starts)

    def read(self, str query not None):
        """The literals, each as (value, column, is_number, is_pattern, start, end, is_matched), the parts of
        names, and whether it is SQL.

        None for a query that is not ASCII.
        """
        if not PyUnicode_IS_ASCII(query):
            return None
        cdef string_view text = ascii_view(query)
        cdef QueryScanner* scanner = new QueryScanner(text)
        cdef QueryLiteralReader* reader = NULL
        cdef vector[QueryToken] tokens
        try:
            tokens = scanner.run()
            reader = new QueryLiteralReader(text, tokens, self._vocabulary)
            literals = [
                (ascii_text(one.value), ascii_text(one.column), one.is_number, one.is_pattern, one.start, one.end,
                 one.is_matched)
                for one in reader.run()
            ]
            parts = [ascii_text(part) for part in name_parts(text, tokens)]
            return literals, parts, is_sql(text, tokens, self._vocabulary)
        finally:
            del reader
            del scanner


def differ_only_in(str before not None, str after not None, starts):
    """Whether two queries have the same tokens but for those of the first that begin at `starts`.

    None where one of them is not ASCII.
    """
    cdef vector[uint32_t] places = sorted(starts)
    if not (PyUnicode_IS_ASCII(before) and PyUnicode_IS_ASCII(after)):
        return None
    return differ_only_at(ascii_view(before), ascii_view(after), places)
