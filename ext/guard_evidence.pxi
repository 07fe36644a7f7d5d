# What the entries of one scope have taught (guard_evidence.hpp, guard_forms.hpp).

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
