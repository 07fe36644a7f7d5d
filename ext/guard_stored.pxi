# What the query of an entry says of its question (guard_stored.hpp), for queries in ASCII and questions in English;
# for all others `medha_core.guard.compiled_reader` asks the Python reader.

import hashlib

cdef extern from "guard_stored.hpp" namespace "medha::guard":
    cppclass SelectReader:
        cpp_bool selects
        string_view selected
        string tables
        cpp_bool may_have_extreme
        cpp_bool groups

    cppclass StoredReader:
        StoredReader(Symbols& symbols, const Question& said, string_view query, const QueryVocabulary& words) except +
        cpp_bool run() except +
        string shape() except +
        void tell(Builder& builder, Question& made, string_view shape) except +
        Keys names() except +
        cpp_bool differs()
        SelectReader select


def read_stored(QuestionReader reader not None, ReadQuestion said not None, str query not None,
                QueryReader queries not None, sense not None):
    """A question of the first language, which `reader` has read, with what its query says.

    `sense(query, selected, tables, may_have_extreme, differs, groups)` gives what it asks of its data
    (`medha_core.reading.sense`) and is asked where it is a SELECT; `sense()` is of no such query. None where the Python
    reader has to look.
    """
    if checked(reader, said)._question.language != 0 or not PyUnicode_IS_ASCII(query):
        return None
    made = ReadQuestion.__new__(ReadQuestion)
    (<ReadQuestion> made)._reader = reader
    reader._symbols.tidy()
    reader._symbols.busy += 1
    reader._symbols.language = 0
    try:
        return made if tell_stored(reader._symbols, made, said, query, queries, sense) else None
    finally:
        reader._symbols.busy -= 1


cdef bint tell_stored(Symbols* symbols, ReadQuestion made, ReadQuestion said, str query, QueryReader queries,
                      object sense) except -1:
    cdef string shape
    cdef Builder* builder = NULL
    cdef SelectReader* select
    cdef StoredReader* stored = new StoredReader(
        symbols[0], said._question, ascii_view(query), queries._vocabulary)
    try:
        if not stored.run():
            return False
        builder = new Builder(symbols[0], made._question)
        builder.copy(said._question)
        shape = stored.shape()
        stored.tell(builder[0], made._question, string_view(shape.data(), shape.size()))
        select = &stored.select
        if select.selects:
            told = sense(query, ascii_text(string(select.selected.data(), select.selected.size())),
                         ascii_text(select.tables), select.may_have_extreme, stored.differs(), select.groups)
        else:
            told = sense()
        symbols.language = 0  # Python may have let other threads in
        builder.set_sense(sense_of(symbols, told))
        digest = hashlib.blake2b(PyBytes_FromStringAndSize(shape.data(), shape.size()), digest_size=16)
        builder.finish(symbol_of(symbols, digest.hexdigest()), stored.names())
        made.is_stored = True
        return True
    finally:
        del builder
        del stored
