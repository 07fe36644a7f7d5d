# Questions read: what the lexicon is asked of words, the reader that holds their texts, one question.

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
        frozenset(texts_of(sense.things)), frozenset(texts_of(sense.venues)), sense.differs, sense.sums, sense.groups,
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


cdef Keys column_words(Symbols* symbols, str column) except *:
    return symbols_of(symbols, column.replace(".", "_").lower().split("_") if column else ())


cdef ReadQuestion checked(QuestionReader reader, object question):
    """A question of this reader: symbols of another one cannot be compared."""
    if not isinstance(question, ReadQuestion):
        raise ArgumentTypeError("question", "ReadQuestion", question)
    if (<ReadQuestion> question)._reader is not reader:
        raise ArgumentValueError("question", "a question of the same reader", question)
    return <ReadQuestion> question
