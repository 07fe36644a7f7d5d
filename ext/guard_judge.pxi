# Verdicts on candidates (guard_judge.hpp, guard_exchange.hpp), kept as they are until somebody reads them.

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
