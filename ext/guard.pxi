# The guard: what guard_*.hpp declares, and its symbols from and to Python. The three parts that follow it are
# guard_reader.pxi, guard_evidence.pxi and guard_judge.pxi; guard_stored.pxi stands behind query.pxi, which it uses.
#
# The GIL is the lock: it is held for the whole of every call. What a word means is asked of the lexicon,
# which is Python code, and other threads may run then. So nobody changes evidence that a call works on (its
# owner has a lock), and symbols that nobody holds are dropped only when no call is under way (`busy`).

from libcpp cimport bool as cpp_bool
from libcpp.pair cimport pair
from libcpp.string cimport string
from libcpp.unordered_map cimport unordered_map
from libcpp.vector cimport vector

cdef extern from "Python.h":
    const char* utf8_or_null "PyUnicode_AsUTF8AndSize"(object text, Py_ssize_t* size)
    void PyErr_Clear()
    void PyErr_SetObject(object kind, object value)

cdef extern from "<string_view>" namespace "std":
    cppclass string_view:
        string_view()
        string_view(const char* data, size_t size)
        const char* data()
        size_t size()

cdef extern from "guard_builder.hpp" namespace "medha::guard":
    cppclass WordFacts "medha::guard::Facts"

    cppclass Symbol:
        const string& text()
        const WordFacts& facts() except +
        cpp_bool loose
        cpp_bool grave
        cpp_bool ranking

    ctypedef vector[const Symbol*] Keys
    ctypedef const Symbol* const_Symbol "const medha::guard::Symbol*"

    cppclass Phrase:
        Keys words
        const Symbol* key

    cppclass WordFacts "medha::guard::Facts":
        uint64_t flags
        cpp_bool settled
        const Symbol* key
        const Symbol* ordinal
        const Symbol* superlative
        const Symbol* comparative
        const Symbol* around
        const Symbol* compared
        const Symbol* compared_way
        const Symbol* stem
        const Symbol* lemma_stem
        const Symbol* number
        vector[Phrase] phrases
        Keys parts

    cppclass Relatable:
        void add_lines(string_view text) except +
        void add_negating(string_view prefix) except +

    cdef enum Relation "medha::guard::Relation":
        SYNONYMS "medha::guard::SYNONYMS"
        ANTONYMS "medha::guard::ANTONYMS"
        RELATED "medha::guard::RELATED"

    cppclass OpenWords:
        void add_words(string_view lines) except +
        void add_irregular(string_view lines) except +
        void add_particular(string_view word) except +

    cppclass Language:
        Relatable relatable
        OpenWords open
        unordered_map[const Symbol*, const Symbol*] magnitudes
        vector[const Symbol*] priced
        vector[const Symbol*] summing
        vector[const Symbol*] telling

    cppclass Symbols:
        Symbols(void* lexicons, void (*ask)(void*, int, Symbols&, const Symbol&, WordFacts&),
                int (*relate)(void*, int, const Symbol&, const Symbol&, int)) except +
        Symbol* intern(string_view text) except +
        Symbol* pin(string_view text) except +
        size_t size()
        cpp_bool may_relate(string_view a, string_view b, Relation relation)
        void tidy() except +
        void sweep() except +
        int busy
        int language
        vector[Language] languages
        vector[pair[const Symbol*, const Symbol*]] near_operators
        vector[pair[const Symbol*, const Symbol*]] one_part

    cppclass GuardWord "medha::guard::Word":
        const Symbol* text
        const Symbol* quoted
        const Symbol* quoted_lower
        uint32_t start
        uint32_t end
        char kind
        cpp_bool quoted_is_lower

    cppclass Item:
        const Symbol* key
        uint32_t first
        uint32_t last

    cppclass GuardValue "medha::guard::Value":
        const Symbol* text
        const Symbol* column
        uint32_t first
        uint32_t last
        vector[uint32_t] literals
        vector[pair[const Symbol*, const Symbol*]] spellings

    cppclass GuardSlot "medha::guard::Slot":
        uint32_t value
        Keys columns
        const Symbol* spelling
        cpp_bool is_number
        cpp_bool is_date
        cpp_bool is_lower

    cppclass Span:
        uint32_t first
        uint32_t last
        const Symbol* text
        const Symbol* key
        const Symbol* opened
        const Symbol* column
        const Keys* column_stems

    cppclass GuardSense "medha::guard::Sense":
        Keys superlatives
        Keys alone
        Keys measured
        Keys adjectives
        Keys peopled
        Keys sizes
        Keys selected
        cpp_bool is_number
        Keys places
        Keys extremes
        Keys things
        Keys venues
        cpp_bool differs
        cpp_bool sums
        cpp_bool groups

    cppclass Question:
        vector[GuardWord] words
        vector[Item] items
        const Symbol* asks
        cpp_bool is_english
        cpp_bool relative
        cpp_bool fixed_dates
        cpp_bool unnamed
        cpp_bool selects_name
        cpp_bool can_exchange
        cpp_bool knows_all
        int language
        vector[GuardValue] values
        vector[GuardSlot] slots
        Keys names
        GuardSense sense
        const Symbol* shape
        Keys opened

    cppclass Builder:
        Builder(Symbols& symbols, Question& question) except +
        cpp_bool tokenize(string_view text) except +
        void copy(const Question& said) except +
        void add_word(const GuardWord& word) except +
        void read() except +
        void add_value(const Symbol* text, const Symbol* whole, const Keys& parts, const Symbol* column,
                       const Keys& column_parts, uint32_t first, uint32_t last) except +
        void add_literal(uint32_t literal, const Symbol* column, const Symbol* spelling) except +
        void add_slot(const GuardSlot& slot) except +
        void set_sense(const GuardSense& sense) except +
        void finish(const Symbol* shape, const Keys& names) except +

    cppclass Evidence:
        size_t questions()
        size_t harmless()
        cpp_bool observe(Symbols& symbols, uint64_t entry, const Question& stored,
                         const vector[const Question*]& near) except +
        cpp_bool forget(Symbols& symbols, uint64_t entry, const Question& stored) except +

    cppclass Finder:
        Finder(Symbols& symbols, const Evidence& evidence) except +
        vector[uint64_t] alike(const Question& asked) except +

    cppclass VerifierNode "medha::guard::Verifier::Node":
        double value
        int32_t signal
        uint32_t low
        uint32_t high

    cppclass Verifier:
        void reset(double base)
        void start_tree() except +
        void add(const VerifierNode& node) except +
        cpp_bool is_sound()

    cppclass Limits:
        double floor
        double leftover
        double other_noun

    cppclass GuardVerdict "medha::guard::Verdict":
        cpp_bool accepted
        uint8_t reason
        double confidence
        string evidence

    cppclass Judge:
        Judge(Symbols& symbols, const Evidence& evidence, const Verifier& verifier, const Limits& limits) except +
        GuardVerdict judge(const Question& asked, const Question& stored, double score, double margin) except +
        GuardVerdict judge(const Question& asked, const Question& stored, const vector[Span]& asked_spans,
                           const vector[Span]& stored_spans, double score, double margin,
                           size_t exchanged) except +

    cppclass Proposal:
        vector[Span] spans
        vector[uint32_t] slots
        Keys spellings
        size_t exchanged

    cppclass Judged:
        GuardVerdict verdict
        cpp_bool exchanges
        GuardVerdict exchanged
        Proposal proposal

    cdef enum class ExchangeMode "medha::guard::Exchange::Mode":
        OFF
        SEEN
        ANY

    uint8_t SAME_WORDS "medha::guard::R_SAME"

    vector[Judged] judge_all(
        Symbols& symbols, const Evidence& evidence, const Verifier& verifier, const Limits& limits,
        ExchangeMode mode, const Question& asked, const vector[const Question*]& stored,
        const vector[double]& scores) except +
    const Symbol* open_value(Symbols& symbols, const Symbol* text, string_view tail) except +
    Keys stems_of(const Keys& words) except +

cdef const Symbol* symbol_of(Symbols* symbols, object text) except NULL:
    """The symbol of a text; lone surrogates are kept as they are."""
    cdef Py_ssize_t size = 0
    cdef bytes encoded
    if not PyUnicode_Check(text):
        raise ArgumentTypeError("text", "str", text)
    cdef const char* data = utf8_or_null(text, &size)
    if data != NULL:
        return symbols.intern(string_view(data, <size_t> size))
    PyErr_Clear()
    encoded = (<str> text).encode("utf-8", "surrogatepass")
    return symbols.intern(string_view(PyBytes_AS_STRING(encoded), <size_t> PyBytes_GET_SIZE(encoded)))


cdef string_view view_of(str text) except *:
    """The bytes of a text, which live as long as it does."""
    cdef Py_ssize_t size = 0
    cdef const char* data = utf8_or_null(text, &size)
    if data == NULL:
        raise ArgumentValueError("text", "text without lone surrogates", text)
    return string_view(data, <size_t> size)


cdef const Symbol* symbol_or_null(Symbols* symbols, object text) except? NULL:
    return symbol_of(symbols, text) if text else NULL


cdef Keys symbols_of(Symbols* symbols, object texts) except *:
    cdef Keys found
    for text in texts:
        found.push_back(symbol_of(symbols, text))
    return found


cdef GuardSense sense_of(Symbols* symbols, object sense) except *:
    cdef GuardSense made
    made.superlatives = symbols_of(symbols, sense.superlatives)
    made.alone = symbols_of(symbols, sense.alone)
    made.measured = symbols_of(symbols, sense.measured)
    made.adjectives = symbols_of(symbols, sense.adjectives)
    made.peopled = symbols_of(symbols, sense.peopled)
    made.sizes = symbols_of(symbols, sense.sizes)
    made.selected = symbols_of(symbols, sense.selected)
    made.is_number = sense.is_number
    made.places = symbols_of(symbols, sense.places)
    made.extremes = symbols_of(symbols, sense.extremes)
    made.things = symbols_of(symbols, sense.things)
    made.venues = symbols_of(symbols, sense.venues)
    made.differs = sense.differs
    made.sums = sense.sums
    made.groups = sense.groups
    return made


cdef inline str text_of(const Symbol* symbol):
    if symbol == NULL:
        return ""
    cdef const string* text = &symbol.text()
    return PyUnicode_DecodeUTF8(text.data(), <Py_ssize_t> text.size(), "surrogatepass")


cdef tuple texts_of(const Keys& keys):
    cdef size_t i
    return tuple([text_of(keys[i]) for i in range(keys.size())])
