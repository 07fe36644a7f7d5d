# The first-level cache: 16-byte keys to Python objects. lru.hpp knows keys, slots and order; the
# objects stand in a Python list under their slot, which the garbage collector understands.
#
# The GIL is the lock. Other code can run only in the clock and in the destructors of dropped
# values, so: after the clock a slot is looked up again, and a dropped value is kept in a local
# until the structure is whole.

from math import inf, isnan
from time import time

cdef extern from "lru.hpp" namespace "medha" nogil:
    ctypedef uint32_t Slot
    const Slot NO_SLOT

    cppclass Lru:
        size_t size()
        size_t slots()
        double expires_at(Slot slot)
        Slot find(const Key128& key)
        Slot find_tag(uint64_t tag)
        Slot oldest()
        void touch(Slot slot)
        Slot add(const Key128& key, double expires_at, uint64_t tag) except +
        void change(Slot slot, double expires_at, uint64_t tag) except +
        void remove(Slot slot)
        void clear()

cdef double NEVER = inf
MAX_LRU_SIZE = 2**32 - 2


cdef inline Key128 key_from(object key) except *:
    if type(key) is not bytes:
        raise ArgumentTypeError("key", "bytes", key)
    if PyBytes_GET_SIZE(key) != 16:
        raise ArgumentValueError("key", "16 bytes", key)
    return read_digest(PyBytes_AS_STRING(key))


cdef inline uint64_t tag_from(object tag) except? 0:
    try:
        return tag
    except OverflowError:
        raise ArgumentValueError("tag", "an integer from 0 to 2**64 - 1", tag) from None
    except TypeError:
        raise ArgumentTypeError("tag", "int", tag) from None


cdef class LRUCache:
    """At most `max_size` values by 16-byte key; the one used longest ago makes place.

    A record may expire (`expires_at <= clock()`), and carries a 64-bit tag by which it can be
    dropped. `generation` counts what was forgotten: a `put` with an older one is refused.
    `max_size` 0 turns the cache off. Safe to use from several threads.
    """

    cdef Lru _lru
    cdef list _values
    cdef object _clock
    cdef readonly size_t max_size
    cdef readonly uint64_t generation
    cdef readonly uint64_t hits
    cdef readonly uint64_t misses
    cdef readonly uint64_t evictions

    def __init__(self, max_size, *, clock=time):
        if not isinstance(max_size, int):
            raise ArgumentTypeError("max_size", "int", max_size)
        if not 0 <= max_size <= MAX_LRU_SIZE:
            raise ArgumentValueError("max_size", f"an integer from 0 to {MAX_LRU_SIZE}", max_size)
        self._lru.clear()
        self._values = []
        self._clock = clock
        self.max_size = max_size

    def __len__(self):
        return self._lru.size()

    def __repr__(self):
        return (
            f"LRUCache({len(self)} of {self.max_size}, generation {self.generation}, "
            f"{self.hits} hits, {self.misses} misses, {self.evictions} evictions)"
        )

    def get(self, key):
        """The value under `key` (16 bytes), or None; counts as a use."""
        return self.fetch(key_from(key))

    def lookup(self, bytes scope not None, question):
        """`get(question_key(scope, question))` in one step."""
        return self.fetch(key_of(scope, question))

    def put(self, key, value, *, double expires_at=NEVER, tag=0, generation=None):
        """Keep `value` under `key`; False when the cache is off or `generation` is not the current one.

        A key that is there gets the new value, expiry and tag, and evicts nothing. `expires_at` is in
        the clock's unit (seconds since the epoch).
        """
        cdef Key128 wanted = key_from(key)
        cdef uint64_t mark = tag_from(tag)
        if isnan(expires_at):
            raise ArgumentValueError("expires_at", "a time or infinity", expires_at)
        if generation is not None and generation != self.generation:
            return False
        if self.max_size == 0:
            return False
        self.keep(wanted, value, expires_at, mark)
        return True

    def remove(self, key):
        """Drop `key`; False when it is not there."""
        cdef Slot slot = self._lru.find(key_from(key))
        if slot == NO_SLOT:
            return False
        dropped = self.drop(slot)
        return True

    def remove_tag(self, tag):
        """Drop every record with `tag`, start a new generation, and return how many were dropped."""
        cdef uint64_t mark = tag_from(tag)
        cdef list dropped = []
        cdef Slot slot = self._lru.find_tag(mark)
        while slot != NO_SLOT:
            dropped.append(self.drop(slot))
            slot = self._lru.find_tag(mark)
        self.generation += 1
        return len(dropped)

    def clear(self):
        """Drop everything and start a new generation."""
        cdef list dropped = []
        dropped, self._values = self._values, dropped
        self._lru.clear()
        self.generation += 1

    def advance(self):
        """Start a new generation, so that what was read before can no longer be put; its number."""
        self.generation += 1
        return self.generation

    cdef fetch(self, Key128 key):
        cdef Slot slot = self.live(key)
        if slot == NO_SLOT:
            self.misses += 1
            return None
        self.hits += 1
        self._lru.touch(slot)
        return self._values[slot]

    cdef Slot live(self, Key128 key) except? 0:
        """The slot of `key`, unless it is not there or expired; an expired record is dropped."""
        cdef Slot slot = self._lru.find(key)
        cdef double now
        if slot == NO_SLOT or self._lru.expires_at(slot) == NEVER:
            return slot
        now = self._clock()
        slot = self._lru.find(key)
        if slot == NO_SLOT or self._lru.expires_at(slot) > now:
            return slot
        dropped = self.drop(slot)
        return NO_SLOT

    cdef int keep(self, Key128 key, object value, double expires_at, uint64_t tag) except -1:
        cdef Slot slot = self._lru.find(key)
        dropped = None
        if slot != NO_SLOT:
            self._lru.change(slot, expires_at, tag)
            dropped = self._values[slot]
        else:
            if self._lru.size() >= self.max_size:
                dropped = self.drop(self._lru.oldest())
                self.evictions += 1
            if <size_t>len(self._values) == self._lru.slots():
                self._values.append(None)
            slot = self._lru.add(key, expires_at, tag)
        self._values[slot] = value
        return 0

    cdef drop(self, Slot slot):
        value = self._values[slot]
        self._values[slot] = None
        self._lru.remove(slot)
        return value
