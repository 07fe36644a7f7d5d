# The guard: questions as interned symbols, what the cache has learnt, verdicts on candidates (guard_*.hpp).
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
        string_view body()
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
        const Symbol* shape
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


cdef void ask_lexicon(void* reader, int language, Symbols& symbols, const Symbol& word,
                      WordFacts& facts) noexcept:
    """Fill the facts of a word; an error stays set for the C++ that called."""
    try:
        fill_facts(<QuestionReader> reader, language, symbols, word, facts)
    except BaseException as error:
        PyErr_SetRaised(error)


cdef int relate_words(void* reader, int language, const Symbol& a, const Symbol& b, int relation) noexcept:
    try:
        relations = (<QuestionReader> reader)._lexicons[language].relations
        return bool(relations[relation](text_of(&a)[2:], text_of(&b)[2:]))
    except BaseException as error:
        PyErr_SetRaised(error)
        return 0


cdef inline void PyErr_SetRaised(object error) noexcept:
    PyErr_SetObject(type(error), error)


cdef extern from "Python.h":
    void PyErr_SetObject(object kind, object value)


cdef int fill_facts(QuestionReader reader, int language, Symbols& symbols, const Symbol& word, WordFacts& facts) except -1:
    cdef Phrase phrase
    found = reader._lexicons[language].facts(text_of(&word))
    facts.flags = found.flags
    facts.settled = found.settled
    facts.key = symbol_or_null(&symbols, found.key)
    facts.ordinal = symbol_or_null(&symbols, found.ordinal)
    facts.superlative = symbol_or_null(&symbols, found.superlative)
    facts.comparative = symbol_or_null(&symbols, found.comparative)
    facts.around = symbol_or_null(&symbols, found.around)
    facts.compared = symbol_or_null(&symbols, found.compared)
    facts.compared_way = symbol_or_null(&symbols, found.compared_way)
    facts.stem = symbol_of(&symbols, found.stem)
    facts.lemma_stem = symbol_of(&symbols, found.lemma_stem)
    facts.number = symbol_or_null(&symbols, found.number)
    facts.parts = symbols_of(&symbols, found.parts)
    for words, key in found.phrases:
        phrase.words = symbols_of(&symbols, words)
        phrase.key = symbol_or_null(&symbols, key)
        facts.phrases.push_back(phrase)
    return 0


cdef tuple told_facts(const WordFacts& facts):
    cdef size_t i
    return (
        facts.flags, facts.settled, text_of(facts.key), text_of(facts.ordinal), text_of(facts.superlative),
        text_of(facts.comparative), text_of(facts.around), text_of(facts.compared), text_of(facts.compared_way),
        text_of(facts.stem), text_of(facts.lemma_stem), text_of(facts.number), texts_of(facts.parts),
        tuple([(texts_of(facts.phrases[i].words), text_of(facts.phrases[i].key))
               for i in range(facts.phrases.size())]),
    )


cdef class QuestionReader:
    """Turns questions into what the guard compares, and holds the texts they share.

    Args:
        lexicon: of the language that ASCII texts are taken to be of (`medha_core.guard.compiled.Words`).
        keys: what there is to know of keys in all languages (`medha_core.guard.compiled.Keys`).
    """

    cdef Symbols* _symbols
    cdef list _lexicons
    cdef object _mention

    def __cinit__(self, lexicon, keys):
        self._lexicons = []
        self._mention = keys.mention
        self._symbols = new Symbols(<void*> self, ask_lexicon, relate_words)
        self.add(lexicon)
        for key in keys.loose:
            self._pinned(key).loose = True
        for key in keys.grave:
            self._pinned(key).grave = True
        for key in keys.ranking:
            self._pinned(key).ranking = True
        for one, other in keys.near_operators:
            self._symbols.near_operators.push_back(
                pair[const_Symbol, const_Symbol](self._pinned(one), self._pinned(other)))
        for one, other in keys.one_part:
            self._symbols.one_part.push_back(
                pair[const_Symbol, const_Symbol](self._pinned(one), self._pinned(other)))

    def add(self, lexicon):
        """One more language; its number."""
        cdef Language language
        for key, meaning in lexicon.magnitudes.items():
            language.magnitudes[self._pinned(key)] = self._pinned(meaning)
        for key in lexicon.priced:
            language.priced.push_back(self._pinned(key))
        for key in lexicon.summing:
            language.summing.push_back(self._pinned(key))
        for key in lexicon.telling:
            language.telling.push_back(self._pinned(key))
        language.relatable.add_lines(view_of(lexicon.pairs))
        for prefix in lexicon.negating:
            language.relatable.add_negating(view_of(prefix))
        if lexicon.words:
            language.open.add_words(view_of(lexicon.words))
            language.open.add_irregular(view_of(lexicon.irregular))
        for word in lexicon.particular:
            language.open.add_particular(view_of(word))
        self._lexicons.append(lexicon)
        self._symbols.languages.push_back(language)
        return len(self._lexicons) - 1

    def __dealloc__(self):
        del self._symbols

    cdef Symbol* _pinned(self, str text) except NULL:
        cdef bytes encoded = text.encode()
        return self._symbols.pin(string_view(PyBytes_AS_STRING(encoded), <size_t> PyBytes_GET_SIZE(encoded)))

    def __len__(self):
        return self._symbols.size()

    def __repr__(self):
        return f"<QuestionReader {len(self)} texts>"

    def sweep(self):
        """Drop the texts that no question and no evidence holds. Happens by itself when there are many."""
        if self._symbols.busy == 0:
            self._symbols.sweep()

    def may_relate(self, str one not None, str other not None, *, bint opposite=False):
        """Whether the first lexicon is asked how two words are related; `opposite`: whether they are opposites."""
        self._symbols.language = 0
        return self._symbols.may_relate(view_of(one), view_of(other), ANTONYMS if opposite else SYNONYMS)

    def facts(self, str word not None, int language=0):
        """What is known of a word in a language, in the order of `medha_core.reading.facts.Facts`."""
        if not 0 <= language < len(self._lexicons):
            raise ArgumentValueError("language", "the number of a language", language)
        self._symbols.busy += 1
        self._symbols.language = language
        try:
            return told_facts(symbol_of(self._symbols, word).facts())
        finally:
            self._symbols.busy -= 1

    def read(self, question):
        """An asked question, in the first language."""
        check_text(question)
        return self._made(question, None, None, 0, None)

    def read_words(self, words, stored=None, int language=0, readable=None):
        """A question whose words are known; with `stored`, what its query says (`medha_core.guard.compiled`).

        `readable` says whether the lexicon may be trusted for it, where its words do not tell.
        """
        if not 0 <= language < len(self._lexicons):
            raise ArgumentValueError("language", "the number of a language", language)
        return self._made(None, words, stored, language, readable)

    def word_texts(self, text, int language=0):
        """The words of a text, without their places."""
        cdef ReadQuestion read
        if language:
            return tuple([word[1] for word in self._lexicons[language].tokenize(text)])
        read = self.read(text)
        return tuple([text_of(word.text) for word in read._question.words])

    cdef ReadQuestion _made(self, question, words, stored, int language, readable):
        made = ReadQuestion.__new__(ReadQuestion)
        (<ReadQuestion> made)._reader = self
        (<ReadQuestion> made)._question.language = language
        self._symbols.tidy()
        self._symbols.busy += 1
        self._symbols.language = language
        try:
            (<ReadQuestion> made)._read(question, words, stored)
            if readable is not None:
                (<ReadQuestion> made)._question.is_english = readable
        finally:
            self._symbols.busy -= 1
        return made


cdef class ReadQuestion:
    """One question, read. Made by `QuestionReader`; cannot be changed."""

    cdef QuestionReader _reader
    cdef Question _question
    cdef readonly bint is_stored
    """Whether what its query says is known: it is the question of an entry, and no asked one."""

    def __repr__(self):
        return f"<ReadQuestion {' '.join(word[1] for word in self.words)!r}>"

    cdef int _read(self, question, words, stored) except -1:
        cdef Symbols* symbols = self._reader._symbols
        cdef Builder* builder = new Builder(symbols[0], self._question)
        cdef TextBytes text
        try:
            if question is not None and PyUnicode_IS_ASCII(question):
                utf8_of(question, &text)
                if not builder.tokenize(string_view(text.data, text.size)):
                    words = self._reader._lexicons[0].tokenize(question)
            elif question is not None:
                words = self._reader._lexicons[0].tokenize(question)
            for word in words or ():
                self._add_word(builder, symbols, word)
            symbols.language = self._question.language  # the Python reader may have let other threads in
            builder.read()
            if stored is not None:
                self._add_stored(builder, symbols, stored)
        finally:
            del builder
        return 0

    cdef int _add_word(self, Builder* builder, Symbols* symbols, word) except -1:
        cdef GuardWord made
        kind, text, start, end, quoted = word
        made.kind = <char> ord(kind)
        made.text = symbol_of(symbols, text)
        made.quoted = symbol_or_null(symbols, quoted)
        made.quoted_lower = symbol_or_null(symbols, quoted.lower())
        made.quoted_is_lower = quoted.islower()
        made.start, made.end = start, end
        builder.add_word(made)
        return 0

    cdef int _add_stored(self, Builder* builder, Symbols* symbols, stored) except -1:
        cdef GuardSlot slot
        cdef Keys parts
        self.is_stored = True
        self._question.unnamed = stored.unnamed
        self._question.selects_name = stored.selects_name
        self._question.fixed_dates = stored.fixed_dates
        for text, first, last, literals, column, spellings in stored.mentions:
            if not 0 <= first < last <= self._question.words.size():
                raise ArgumentValueError("stored", "mentions within the words", (first, last))
            split = text.split()
            parts = symbols_of(symbols, split)
            builder.add_value(symbol_of(symbols, text), symbol_of(symbols, " ".join(split)), parts,
                              symbol_of(symbols, column), column_words(symbols, column), first, last)
            for literal, (name, spelling) in zip(literals, spellings, strict=True):
                builder.add_literal(literal, symbol_of(symbols, name), symbol_of(symbols, spelling))
        self._question.can_exchange = stored.slots is not None
        for value, columns, spelling, is_number, is_date in stored.slots or ():
            if not 0 <= value < self._question.values.size():
                raise ArgumentValueError("stored", "slots of its mentions", value)
            slot.value = value
            slot.columns = symbols_of(symbols, columns)
            slot.spelling = symbol_of(symbols, spelling)
            slot.is_number, slot.is_date, slot.is_lower = is_number, is_date, spelling.islower()
            builder.add_slot(slot)
        builder.set_sense(sense_of(symbols, stored.sense))
        builder.finish(symbol_of(symbols, stored.shape), symbols_of(symbols, stored.names))
        return 0

    @property
    def words(self):
        """Its words, as tuples of kind, text, start, end and, of a quoted string, what it says as written."""
        return tuple([
            (chr(word.kind), text_of(word.text), word.start, word.end, text_of(word.quoted))
            for word in self._question.words
        ])

    @property
    def items(self):
        """Its items, as tuples of key, first and last word."""
        return tuple([(text_of(item.key), item.first, item.last) for item in self._question.items])

    @property
    def asks(self):
        """The item that says what is asked for, or ""."""
        return text_of(self._question.asks)

    @property
    def opened(self):
        """The compared items of a stored question with the column in place of each value."""
        return texts_of(self._question.opened)

    @property
    def is_english(self):
        """Whether the lexicon of its language may be trusted for it."""
        return self._question.is_english

    @property
    def knows_all(self):
        """Whether that lexicon knows every word of it."""
        return self._question.knows_all

    @property
    def language(self):
        """The number of its language."""
        return self._question.language

    @property
    def relative(self):
        return self._question.relative

    @property
    def mentions(self):
        """Where the values of the query stand (`medha_core.reading.mentions.Mention`)."""
        return tuple([mention_of(self, i) for i in range(self._question.values.size())])

    @property
    def stored(self):
        """What its query says, in the order of `medha_core.guard.compiled_reader.Stored`; None for an asked one."""
        if not self.is_stored:
            return None
        question = &self._question
        slots = tuple([
            (slot.value, texts_of(slot.columns), text_of(slot.spelling), slot.is_number, slot.is_date)
            for slot in question.slots
        ])
        return (self.mentions, slots if question.can_exchange else None, self.shape,
                tuple(sorted(texts_of(question.names))), question.unnamed, question.fixed_dates,
                question.selects_name, told_sense(question.sense))

    @property
    def shape(self):
        """What stands for the query with its mentioned values left open; "" for an asked question."""
        return text_of(self._question.shape)


cdef tuple told_sense(const GuardSense& sense):
    """In the order of `medha_core.reading.sense.Sense`."""
    return (
        frozenset(texts_of(sense.superlatives)), frozenset(texts_of(sense.alone)),
        frozenset(texts_of(sense.measured)), frozenset(texts_of(sense.adjectives)),
        frozenset(texts_of(sense.peopled)), frozenset(texts_of(sense.sizes)), frozenset(texts_of(sense.selected)),
        sense.is_number, frozenset(texts_of(sense.places)), frozenset(texts_of(sense.extremes)),
        frozenset(texts_of(sense.things)), frozenset(texts_of(sense.venues)), sense.differs,
    )


cdef object mention_of(ReadQuestion question, size_t place):
    cdef const GuardValue* value = &question._question.values[place]
    cdef size_t i
    spellings = tuple([
        (text_of(value.spellings[i].first), text_of(value.spellings[i].second))
        for i in range(value.spellings.size())
    ])
    return question._reader._mention(
        text_of(value.text), value.first, value.last, tuple(value.literals), text_of(value.column), spellings)


cdef class GuardEvidence:
    """What the entries of one scope have taught. Its owner locks it against changes during other calls."""

    cdef QuestionReader _reader
    cdef Evidence _evidence
    cdef dict _handles
    """Entry -> its handle, and in how many forms it stands."""
    cdef dict _entries
    cdef uint64_t _last

    def __init__(self, QuestionReader reader not None):
        self._reader = reader
        self._handles = {}
        self._entries = {}

    def __len__(self):
        return self._evidence.questions()

    def __repr__(self):
        return f"<GuardEvidence {len(self)} questions, {self._evidence.harmless()} harmless differences>"

    def observe(self, entry, ReadQuestion stored not None, neighbours=()):
        """Learn from an entry just stored and, where a search found them, from the entries next to it."""
        cdef vector[const Question*] near
        self._check(stored)
        others = list(neighbours)
        for other in others:
            self._check(other)
            near.push_back(&(<ReadQuestion> other)._question)
        handle, forms = self._handles.get(entry, (self._last + 1, 0))
        self._last = max(self._last, <uint64_t> handle)
        if self._evidence.observe(self._reader._symbols[0], handle, stored._question, near):
            forms += 1
        if forms:
            self._handles[entry] = handle, forms
            self._entries[handle] = entry

    def forget(self, entry, ReadQuestion stored not None):
        """Take an entry back. What its wording taught about the language stays."""
        self._check(stored)
        if entry not in self._handles:
            return
        handle, forms = self._handles[entry]
        if not self._evidence.forget(self._reader._symbols[0], handle, stored._question):
            return
        if forms > 1:
            self._handles[entry] = handle, forms - 1
        else:
            del self._handles[entry], self._entries[handle]

    cdef int _check(self, stored) except -1:
        if not checked(self._reader, stored).is_stored:
            raise ArgumentValueError("stored", "a stored question", stored)
        return 0

    def alike(self, ReadQuestion asked not None):
        """Entries whose question says the asked one's words with other values, newest first."""
        checked(self._reader, asked)
        cdef Symbols* symbols = self._reader._symbols
        cdef Finder* finder = new Finder(symbols[0], self._evidence)
        symbols.busy += 1
        try:
            return [self._entries[handle] for handle in finder.alike(asked._question)]
        finally:
            symbols.busy -= 1
            del finder


cdef ReadQuestion checked(QuestionReader reader, object question):
    """A question of this reader: symbols of another one cannot be compared."""
    if not isinstance(question, ReadQuestion):
        raise ArgumentTypeError("question", "ReadQuestion", question)
    if (<ReadQuestion> question)._reader is not reader:
        raise ArgumentValueError("question", "a question of the same reader", question)
    return <ReadQuestion> question


cdef class CandidateJudge:
    """Weighs stored questions as answers to an asked one.

    Args:
        reader: the reader of all questions.
        trees, base: of the verifier: nodes `[signal, threshold, low, high]` or numbers.
        floor, leftover, other_noun: probabilities a candidate must reach (`medha_core.guard.judge.Level`).
    """

    cdef QuestionReader _reader
    cdef Verifier _verifier
    cdef Limits _limits

    def __init__(self, QuestionReader reader not None, trees, double base, *, double floor, double leftover,
                 double other_noun):
        cdef VerifierNode made
        self._reader = reader
        self._limits.floor, self._limits.leftover, self._limits.other_noun = floor, leftover, other_noun
        self._verifier.reset(base)
        for tree in trees:
            self._verifier.start_tree()
            for node in tree:
                if isinstance(node, (int, float)):
                    made.signal, made.value, made.low, made.high = -1, node, 0, 0
                else:
                    made.signal, made.value, made.low, made.high = node
                self._verifier.add(made)
        if not self._verifier.is_sound():
            raise ArgumentValueError("trees", "nodes whose branches lead forward within their tree", trees)

    def judge(self, GuardEvidence evidence not None, ReadQuestion asked not None, ReadQuestion stored not None,
              double score, double margin, reading=None):
        """One verdict: accepted, number of the reason, evidence in words, confidence.

        `reading` is None, or which words of the two questions are values and how many of them are
        exchanged, as mentions.
        """
        self._check(evidence, asked, [stored])
        cdef Symbols* symbols = self._reader._symbols
        cdef vector[Span] first, second
        cdef vector[Keys] stems
        cdef Judge* judge = new Judge(symbols[0], evidence._evidence, self._verifier, self._limits)
        symbols.busy += 1
        try:
            if reading is None:
                return told(judge.judge(asked._question, stored._question, score, margin))
            stems.reserve(len(reading[0]) + len(reading[1]))
            first, second = spans_of(asked, reading[0], &stems), spans_of(stored, reading[1], &stems)
            return told(judge.judge(asked._question, stored._question, first, second, score, margin, reading[2]))
        finally:
            symbols.busy -= 1
            del judge

    def judge_all(self, GuardEvidence evidence not None, ReadQuestion asked not None, list candidates not None,
                  list scores not None, str substitution not None):
        """What is said of each candidate, as `Judgements`."""
        self._check(evidence, asked, candidates)
        cdef Judgements made = Judgements.__new__(Judgements)
        cdef vector[const Question*] stored
        cdef vector[double] cosines
        cdef Symbols* symbols = self._reader._symbols
        cdef ExchangeMode mode
        if len(candidates) != len(scores):
            raise ArgumentValueError("scores", f"{len(candidates)} numbers", scores)
        if substitution == "off":
            mode = ExchangeMode.OFF
        else:
            mode = ExchangeMode.ANY if substitution == "any" else ExchangeMode.SEEN
        for candidate, score in zip(candidates, scores):
            stored.push_back(&(<ReadQuestion> candidate)._question)
            cosines.push_back(score)
        symbols.busy += 1
        try:
            made._found = judge_all(symbols[0], evidence._evidence, self._verifier, self._limits, mode,
                                    asked._question, stored, cosines)
            made._scores = cosines
            made._tell(stored)
        finally:
            symbols.busy -= 1
        return made

    cdef int _check(self, GuardEvidence evidence, ReadQuestion asked, list candidates) except -1:
        checked(self._reader, asked)
        if evidence._reader is not self._reader:
            raise ArgumentValueError("evidence", "evidence of the same reader", evidence)
        for candidate in candidates:
            if not checked(self._reader, candidate).is_stored:
                raise ArgumentValueError("candidates", "stored questions", candidate)
        return 0


cdef class Judgements:
    """What `CandidateJudge.judge_all` says of each candidate. A verdict becomes Python objects when it is asked for."""

    cdef vector[Judged] _found
    cdef vector[double] _scores
    cdef vector[const void*] _shapes
    cdef readonly tuple accepted
    """Places of the candidates whose query is accepted as it is stored."""
    cdef readonly object same
    """The first of these that says the very same words, or None."""
    cdef readonly dict exchanges
    """By place, how a candidate may answer with other values: `(slot, first, last)` for each asked value, the slots'
    spellings, how many differ."""

    cdef int _tell(self, const vector[const Question*]& stored) except -1:
        cdef size_t i
        cdef list accepted = []
        cdef dict exchanges = {}
        for i in range(self._found.size()):
            self._shapes.push_back(stored[i].shape)
            if self._found[i].verdict.accepted:
                accepted.append(i)
                if self.same is None and self._found[i].verdict.reason == SAME_WORDS:
                    self.same = i
            if self._found[i].exchanges:
                exchanges[i] = proposed(self._found[i].proposal)
        self.accepted, self.exchanges = tuple(accepted), exchanges
        return 0

    def __len__(self):
        return self._found.size()

    def verdict(self, size_t place, bint exchanged=False):
        """Whether it is accepted, number of the reason, evidence in words, confidence.

        With `exchanged`, of its query with other values; it must be one of `exchanges`.
        """
        self._check(place)
        if exchanged and not self._found[place].exchanges:
            raise ArgumentValueError("place", "one of exchanges", place)
        return told(self._found[place].exchanged if exchanged else self._found[place].verdict)

    def refused(self, double least, spoken):
        """Of the candidates but those in `spoken`: the numbers of their reasons, and the highest score, of those that
        score at least `least`; the places of the others.
        """
        cdef list reasons = []
        cdef list others = []
        cdef double best = -1
        cdef size_t i
        for i in range(self._found.size()):
            if i in spoken:
                continue
            if self._scores[i] < least:
                others.append(i)
                continue
            reasons.append(self._found[i].verdict.reason)
            best = max(best, self._scores[i])
        return reasons, None if best < 0 else best, others

    def rival(self, size_t place, taken):
        """The highest confidence among the candidates of another query shape, None where there is none of these.

        Of those in `taken` it is that of the verdict on their query with other values.
        """
        self._check(place)
        cdef double highest = -1, confidence
        cdef size_t i
        for i in range(self._found.size()):
            if self._shapes[i] == self._shapes[place]:
                continue
            confidence = (self._found[i].exchanged if i in taken else self._found[i].verdict).confidence
            highest = max(highest, confidence)
        return None if highest < 0 else highest

    cdef int _check(self, size_t place) except -1:
        if place >= self._found.size():
            raise ArgumentValueError("place", f"below {self._found.size()}", place)
        return 0


cdef tuple told(const GuardVerdict& verdict):
    return (
        verdict.accepted,
        verdict.reason,
        PyUnicode_DecodeUTF8(verdict.evidence.data(), <Py_ssize_t> verdict.evidence.size(), "surrogatepass"),
        verdict.confidence,
    )


cdef tuple proposed(const Proposal& proposal):
    cdef size_t i
    places = tuple([
        (proposal.slots[i], proposal.spans[i].first, proposal.spans[i].last)
        for i in range(proposal.spans.size())
    ])
    return places, texts_of(proposal.spellings), proposal.exchanged


cdef Keys column_words(Symbols* symbols, str column) except *:
    return symbols_of(symbols, column.replace(".", "_").lower().split("_") if column else ())


cdef vector[Span] spans_of(ReadQuestion question, mentions, vector[Keys]* stems) except *:
    """Mentions as places of values. Symbols need not be held: nothing is dropped during a call.

    `stems` keeps what the spans point at; it has room for one of each mention.
    """
    cdef vector[Span] found
    cdef Span span
    cdef bytes tail
    cdef Symbols* symbols = question._reader._symbols
    for mention in mentions:
        if not 0 <= mention.first < mention.last <= question._question.words.size():
            raise ArgumentValueError("reading", "mentions within the words", mention)
        span.first, span.last = mention.first, mention.last
        span.text = symbol_of(symbols, mention.text)
        span.key = symbol_of(symbols, f"v:{mention.text}")
        span.column = symbol_of(symbols, mention.column)
        tail = mention.column.rpartition(".")[2].encode("utf-8", "surrogatepass")
        span.opened = open_value(
            symbols[0], span.text, string_view(PyBytes_AS_STRING(tail), <size_t> PyBytes_GET_SIZE(tail)))
        span.column_stems = NULL
        if mention.column:
            stems.push_back(stems_of(column_words(symbols, mention.column)))
            span.column_stems = &stems.back()
        found.push_back(span)
    return found
