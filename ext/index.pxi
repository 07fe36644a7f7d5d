# The vector index: checks at the door and arrays in and out; everything else is in index.hpp, without the GIL.
# NumPy's arrays come and go through the buffer protocol, so that nothing here depends on NumPy's headers.

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, Py_buffer, PyBuffer_Release, PyObject_CheckBuffer,
    PyObject_GetBuffer,
)
from libc.stdint cimport uint8_t, int8_t, int32_t, uint32_t, uint64_t, SIZE_MAX
from libcpp cimport bool as cbool
from libcpp.memory cimport unique_ptr
from libcpp.string cimport string
from libcpp.vector cimport vector

import numpy

from medha_core import index_arguments as door
from medha_core import index_file
from medha_core.arrays import as_float_rows, bad_row
from medha_core.errors import ArgumentTypeError, ArgumentValueError, LabelNotFoundError, SnapshotError, StorageError

cdef extern from "index.hpp" namespace "medha" nogil:
    cdef enum class Failure:
        kMemory
        kFile
        kOther

    Failure current_failure(string&)
    cdef cppclass Probe:
        uint64_t bits[8]
        uint64_t ones[8]
        uint64_t twos[8]

    cdef struct Kernels:
        const char* name
        float (*dot)(const float*, const float*, size_t)
        int32_t (*dot_codes)(const int8_t*, const int8_t*, size_t)
        uint32_t (*hamming)(const uint64_t*, const uint64_t*, size_t)
        uint32_t (*weigh)(const uint64_t*, const Probe&, size_t)
        void (*probe)(const float*, size_t, float, Probe&)
        void (*weigh_groups)(const uint64_t*, size_t, const Probe&, size_t, cbool, uint8_t*)
        size_t (*at_most)(const uint8_t*, size_t, uint8_t, uint32_t*)
        void (*hadamard)(float*, size_t)

    const Kernels* runnable_variant(size_t rank)
    const Kernels* active_kernels()
    cbool choose_kernels(const char* name)
    uint32_t bit_radius_of "medha::bit_radius"(double cosine, uint32_t bits, double miss)
    const double kMissProbability
    const uint64_t kRotationSeed

    cdef struct Hit:
        float score
        uint64_t label

    cdef cppclass Allowed:
        const uint8_t* flags
        const uint64_t* labels
        size_t size

    cdef struct IndexInfo:
        size_t graph
        size_t scan
        size_t tombstones
        size_t capacity

    cdef struct IndexMemory:
        size_t rows
        size_t graph
        size_t labels

    cdef enum Section:
        kSections

    cdef struct Key128:
        uint64_t low
        uint64_t high

    cdef struct Stretch:
        uint64_t offset
        uint64_t length
        Key128 checksum

    cdef struct IndexCounts:
        uint64_t entries
        uint64_t joined
        uint64_t tombstones
        uint32_t entry_point
        int32_t top_level

    cdef enum class Access:
        kRead
        kWrite

    cdef cppclass File:
        File(int)

    cdef enum class Quantization:
        kFloat32
        kInt8
        kBinary

    cdef enum class Tier:
        kAuto
        kScan
        kGraph


cdef int raise_ours() except -1:
    """The one translator of C++ failures to our errors."""
    cdef string what
    cdef Failure failure = current_failure(what)
    if failure == Failure.kMemory:
        raise MemoryError()
    if failure == Failure.kFile:
        raise SnapshotError(f"the index file {what.decode()}")
    raise StorageError(f"the index failed: {what.decode()}")


cdef extern from "index.hpp" namespace "medha" nogil:
    cdef cppclass Index:
        Index(size_t, size_t, size_t, size_t, Quantization, Tier, size_t) except +raise_ours
        const Kernels& kernels()
        uint32_t bits()
        cbool bit_distance(const float*, const float*, uint32_t&) except +raise_ours
        size_t first_unusable(const float*, size_t)
        void add(const uint64_t*, const float*, size_t, size_t) except +raise_ours
        size_t remove(const uint64_t*, size_t) except +raise_ours
        cbool search(const float*, size_t, size_t, float, const Allowed&, vector[Hit]&) except +raise_ours
        size_t search_many(
            const float*, size_t, size_t, size_t, float, const Allowed&, size_t, vector[vector[Hit]]&) except +raise_ours
        cbool get(uint64_t, float*)
        cbool contains(uint64_t)
        size_t size()
        void labels(vector[uint64_t]&) except +raise_ours
        void reserve(size_t) except +raise_ours
        IndexCounts save(const File&, uint64_t, Stretch*) except +raise_ours
        void load(const File&, const Stretch*, const IndexCounts&, Access) except +raise_ours
        size_t block_bytes()
        size_t list_bytes()
        size_t join(size_t, size_t) except +raise_ours
        size_t waiting()
        void compact() except +raise_ours
        void hold()
        void let_go(cbool)
        IndexInfo info()
        IndexMemory memory()


ctypedef vector[Hit] vector_of_hits
ctypedef vector[vector[Hit]] vector_of_vectors
ctypedef vector[uint64_t] vector_of_labels

cdef object new_array = numpy.empty
cdef object float32 = numpy.dtype(numpy.float32)
cdef object uint64 = numpy.dtype(numpy.uint64)


cdef class Bytes:
    """The memory of an array that was checked before, held for as long as this object lives."""
    cdef Py_buffer buffer

    def __cinit__(self, array, bint writable=False):
        PyObject_GetBuffer(array, &self.buffer, PyBUF_C_CONTIGUOUS | (PyBUF_WRITABLE if writable else 0))

    def __dealloc__(self):
        PyBuffer_Release(&self.buffer)


cdef inline int read_vector(object value, size_t dimension, Py_buffer* buffer) except -1:
    """Hold `value` as float32[dimension]: in place where its memory has that form, otherwise as a copy."""
    if PyObject_CheckBuffer(value):
        try:
            PyObject_GetBuffer(value, buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
        except (BufferError, ValueError):
            pass
        else:
            if (buffer.ndim == 1 and buffer.format != NULL and buffer.format[0] == c"f" and buffer.format[1] == 0
                    and <size_t>buffer.shape[0] == dimension and <size_t>buffer.buf % 4 == 0):
                return 0
            PyBuffer_Release(buffer)
    rows = as_float_rows(value, dimension, "vector")
    door.check_one(rows)
    PyObject_GetBuffer(rows, buffer, PyBUF_C_CONTIGUOUS)
    return 0


cdef object floats_of(const vector[Hit]& hits):
    scores = new_array(hits.size(), float32)
    cdef Py_buffer out
    PyObject_GetBuffer(scores, &out, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
    for i in range(hits.size()):
        (<float*>out.buf)[i] = hits[i].score
    PyBuffer_Release(&out)
    return scores


cdef object labels_of(const vector[Hit]& hits):
    labels = new_array(hits.size(), uint64)
    cdef Py_buffer out
    PyObject_GetBuffer(labels, &out, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
    for i in range(hits.size()):
        (<uint64_t*>out.buf)[i] = hits[i].label
    PyBuffer_Release(&out)
    return labels


cdef object checksum_of(const Key128& key):
    return (<object>key.high) << 64 | key.low


cdef class VectorIndex:
    """Cosine search over vectors of one dimension, by 64-bit label; safe to use from several threads.

    New vectors are found by scan; `join()` puts them into an hnswlib graph too once there are `graph_from`
    (`tier="auto"`): a search then walks the graph where so many vectors are near that a scan would take
    longer. `tier="graph"` joins inside `add` and never scans what is joined, `tier="scan"` never joins.
    Scores are exact float32 cosines. A scan for entries of at least `min_score` looks only at vectors whose
    sign bits are close: it finds everything a brute-force search finds, but for a chance of at
    most 1e-6 for an entry exactly at the threshold, far less above it (index_bits.hpp derives it). A walk
    finds nearly all: 99 of 100 best entries at the usual `ef`, and more of those that stand out.

    `quantization` is what the graph keeps of a vector: "int8" codes, "float32" or "binary" signs.
    `M` (links per point) and `ef_construction` are hnswlib's. Raises `ArgumentValueError`.
    """

    cdef unique_ptr[Index] index
    cdef readonly size_t dimension
    cdef readonly str quantization
    cdef readonly str tier
    cdef readonly bint read_only
    cdef readonly bytes note
    cdef size_t links, effort, graph_from

    # Not __init__: no method may ever meet an object without an index.
    def __cinit__(self, dimension, *, capacity=1024, M=16, ef_construction=100, quantization="int8", tier="auto",
                  graph_from=20_000):
        cdef size_t d = door.as_whole("dimension", dimension, 1, 65535)
        cdef size_t slots = door.as_whole("capacity", capacity, 1)
        cdef size_t links = door.as_whole("M", M, 2, 1024)
        cdef size_t effort = door.as_whole("ef_construction", ef_construction, 1)
        cdef size_t many = door.as_whole("graph_from", graph_from, 0)
        cdef int kind = door.check_choice("quantization", quantization, door.QUANTIZATIONS)
        cdef int where = door.check_choice("tier", tier, door.TIERS)
        self.index.reset(new Index(d, slots, links, effort, <Quantization>kind, <Tier>where, many))
        self.dimension = d
        self.quantization, self.tier = door.QUANTIZATIONS[kind], door.TIERS[where]  # not a str's subclass
        self.links, self.effort, self.graph_from = links, effort, many
        self.note = b""

    @classmethod
    def open(cls, path, *, mode="r", verify=False):
        """The index that was saved to `path`, mapped: nothing is copied, and no work is done per entry.

        Processes share the memory of what they have not changed. `mode="r"` refuses changes; with "c" they
        stay in this process's memory, and `save` may write them. `verify` reads every byte and compares
        checksums; without it, damage beyond the header can give wrong answers. Raises `SnapshotError`
        (cannot be read, not an index file, of a newer version, damaged), `ArgumentValueError` for the mode.
        """
        door.check_choice("mode", mode, door.MODES)
        with index_file.open_file(path) as file:
            header = index_file.read_header(file, path)
            if verify:
                index_file.verify(file, header, path)
            return opened(cls, file, header, mode == "r", path)

    @staticmethod
    def verify(path):
        """Compare every checksum of the file at `path`. Raises `SnapshotError` naming the section that differs."""
        with index_file.open_file(path) as file:
            index_file.verify(file, index_file.read_header(file, path), path)

    def save(self, path, *, note=b""):
        """Write the index to a file of its own beside `path`, make it durable, and rename it to `path`.

        `note`, up to 3,676 bytes that mean something to the caller, is `.note` of the index that is opened.
        Searches go on meanwhile, changes wait. An index that is open on `path`, here or in another process,
        keeps what it has. Raises `SnapshotError` when the system refuses; then nothing changed.
        """
        index_file.check_note(note)
        index_file.write_whole(path, lambda descriptor: self._write_to(descriptor, note))

    def _write_to(self, int descriptor, bytes note):
        cdef Stretch[<int>kSections] stretches
        cdef unique_ptr[File] file
        cdef IndexCounts counts
        cdef uint64_t start = index_file.FIRST_SECTION
        file.reset(new File(descriptor))
        with nogil:
            counts = self.index.get().save(file.get()[0], start, stretches)
        sections = tuple(
            index_file.Stretch(stretches[i].offset, stretches[i].length, checksum_of(stretches[i].checksum))
            for i in range(<int>kSections)
        )
        return index_file.Header(
            self.dimension, self.quantization, self.tier, self.links, self.effort,
            self.index.get().block_bytes(), self.graph_from, counts.entries, counts.joined,
            counts.tombstones, counts.entry_point, counts.top_level, kRotationSeed, sections, note,
        )

    @property
    def capacity(self):
        """Slots that exist; adding beyond them makes more."""
        return self.info()["capacity"]

    def add(self, labels, vectors, *, threads=1):
        """Write vectors (float32[d] or [n, d], any length but zero) under `labels` (an int or uint64[n]).

        A label that exists is updated; of equal labels in one call the last wins. Raises
        `ArgumentValueError` naming the row for a zero, NaN or infinite vector, `DimensionMismatchError`
        for a wrong length; then nothing was written.
        """
        door.check_writable(self.read_only)
        keys = door.as_labels("labels", labels)
        rows = as_float_rows(vectors, self.dimension, "vectors")
        door.check_pairs(keys, rows)
        cdef size_t n = len(rows), helpers = door.as_whole("threads", threads, 1, 1024), bad
        cdef Bytes key_bytes = Bytes(keys), row_bytes = Bytes(rows)
        cdef const uint64_t* key = <const uint64_t*>key_bytes.buffer.buf
        cdef const float* row = <const float*>row_bytes.buffer.buf
        with nogil:
            bad = self.index.get().first_unusable(row, n)
            if bad == n:
                self.index.get().add(key, row, n, helpers)
        if bad < n:
            raise bad_row(rows[bad], bad, "vectors")

    def remove(self, labels):
        """Forget `labels` (an int or a sequence); unknown ones are ignored. Returns how many were removed."""
        door.check_writable(self.read_only)
        keys = door.as_labels("labels", labels)
        cdef Bytes key_bytes = Bytes(keys)
        cdef const uint64_t* key = <const uint64_t*>key_bytes.buffer.buf
        cdef size_t n = len(keys), removed
        with nogil:
            removed = self.index.get().remove(key, n)
        return removed

    def search(self, vector, k, *, ef=None, min_score=-1.0, allowed=None):
        """The `k` entries closest to `vector`: (labels uint64[m], scores float32[m]), m <= k, best first.

        Equal scores stand in the order of their labels. Only entries of at least `min_score` are
        given. `allowed`: None, a boolean array by label (labels past its end are not allowed), or an
        array of labels. `ef` is the breadth of the graph's search; unless given, 128 up to
        100,000 entries and growing with their number. Raises
        `ArgumentValueError` and `DimensionMismatchError`.
        """
        cdef size_t wanted = k if type(k) is int and 0 < k < 1 << 31 else door.as_whole("k", k, 1)
        cdef size_t breadth = 0 if ef is None else door.as_whole("ef", ef, 1)
        cdef float least = door.as_score("min_score", min_score) if type(min_score) is not float else min_score
        if not -3e38 < least < 3e38:
            least = door.as_score("min_score", min_score)
        cdef Allowed filter
        cdef Bytes held
        if allowed is not None:
            allowed = door.as_allowed(allowed)
            held = Bytes(allowed)
            point_filter(&filter, allowed, held)
        cdef Py_buffer query
        read_vector(vector, self.dimension, &query)
        cdef vector_of_hits hits
        cdef cbool usable
        try:
            with nogil:
                usable = self.index.get().search(<const float*>query.buf, wanted, breadth, least, filter, hits)
        finally:
            PyBuffer_Release(&query)
        if not usable:
            raise bad_row(as_float_rows(vector, self.dimension, "vector")[0], 0, "vector")
        return labels_of(hits), floats_of(hits)

    def search_many(self, vectors, k, *, ef=None, min_score=-1.0, allowed=None, threads=1):
        """`search` for each row of `vectors` (float32[n, d]) on up to `threads` threads: a list of its results."""
        rows = as_float_rows(vectors, self.dimension, "vectors")
        cdef size_t n = len(rows), wanted = door.as_whole("k", k, 1), bad
        cdef size_t breadth = 0 if ef is None else door.as_whole("ef", ef, 1)
        cdef float least = door.as_score("min_score", min_score)
        cdef size_t helpers = door.as_whole("threads", threads, 1, 1024)
        cdef Allowed filter
        cdef Bytes held, row_bytes = Bytes(rows)
        if allowed is not None:
            allowed = door.as_allowed(allowed)
            held = Bytes(allowed)
            point_filter(&filter, allowed, held)
        cdef const float* row = <const float*>row_bytes.buffer.buf
        cdef vector_of_vectors hits
        with nogil:
            bad = self.index.get().search_many(row, n, wanted, breadth, least, filter, helpers, hits)
        if bad < n:
            raise bad_row(rows[bad], bad, "vectors")
        return [(labels_of(hits[i]), floats_of(hits[i])) for i in range(n)]

    def get(self, label):
        """The unit vector of `label`, float32[d]; `LabelNotFoundError` (a `KeyError`) if there is none."""
        cdef uint64_t key = door.as_whole("label", label, 0, 2**64 - 1)
        vector = new_array(self.dimension, float32)
        cdef Bytes out = Bytes(vector, True)
        cdef float* target = <float*>out.buffer.buf
        cdef cbool found
        with nogil:
            found = self.index.get().get(key, target)
        if not found:
            raise LabelNotFoundError(label)
        return vector

    def __contains__(self, label):
        if not isinstance(label, (int, numpy.integer)) or not 0 <= label < 1 << 64:
            return False
        cdef uint64_t key = label
        cdef cbool found
        with nogil:
            found = self.index.get().contains(key)
        return found

    def __len__(self):
        cdef size_t n
        with nogil:
            n = self.index.get().size()
        return n

    def labels(self):
        """Every label, uint64[n], rising."""
        cdef vector_of_labels found
        with nogil:
            self.index.get().labels(found)
        labels = new_array(found.size(), uint64)
        cdef Bytes out = Bytes(labels, True)
        for i in range(found.size()):
            (<uint64_t*>out.buffer.buf)[i] = found[i]
        return labels

    def reserve(self, capacity):
        """Make room for `capacity` vectors ahead of time."""
        door.check_writable(self.read_only)
        cdef size_t slots = door.as_whole("capacity", capacity, 1)
        with nogil:
            self.index.get().reserve(slots)

    def join(self, limit=None, *, threads=1):
        """Put up to `limit` vectors (all unless given) that the graph lacks into it; returns how many.

        Searches and writes go on meanwhile; neighbours are looked for beside them.
        """
        door.check_writable(self.read_only)
        cdef size_t most = SIZE_MAX if limit is None else door.as_whole("limit", limit, 0)
        cdef size_t helpers = door.as_whole("threads", threads, 1, 1024), joined
        with nogil:
            joined = self.index.get().join(most, helpers)
        return joined

    def waiting(self):
        """How many vectors `join()` would move now."""
        cdef size_t n
        with nogil:
            n = self.index.get().waiting()
        return n

    def compact(self):
        """Drop the graph's tombstones and build it anew; searches go on by scan meanwhile."""
        door.check_writable(self.read_only)
        with nogil:
            self.index.get().compact()

    def hold(self):
        """For the moment of a fork: wait until nobody is inside, and let nobody in until `let_go`."""
        with nogil:
            self.index.get().hold()

    def let_go(self, in_child):
        """The end of `hold`; in a forked child, where nobody waits any more, the locks are made anew."""
        self.index.get().let_go(in_child)

    def memory_usage(self):
        """Bytes by part: "rows" (vectors, bits, labels), "graph", "labels" (the label table), "total"."""
        cdef IndexMemory memory
        with nogil:
            memory = self.index.get().memory()
        total = memory.rows + memory.graph + memory.labels
        return {"rows": memory.rows, "graph": memory.graph, "labels": memory.labels, "total": total}

    def info(self):
        """Entries by tier, tombstones, capacity, the instruction set, and the sign bits a scan compares."""
        cdef IndexInfo info
        with nogil:
            info = self.index.get().info()
        bits = self.index.get().bits()
        return {
            "graph": info.graph,
            "scan": info.scan,
            "tombstones": info.tombstones,
            "capacity": info.capacity,
            "simd": self.index.get().kernels().name.decode(),
            "bits": bits,
            "miss_probability": kMissProbability,
            "radius": {score: bit_radius_of(score, bits, kMissProbability / 2) for score in (0.7, 0.85, 0.95)},
        }

    def bit_distance(self, a, b):
        """For tests: what the sign bits of `b` that differ from those of the query `a` weigh."""
        rows = as_float_rows([a, b], self.dimension, "vectors")
        cdef Bytes held = Bytes(rows)
        cdef const float* row = <const float*>held.buffer.buf
        cdef uint32_t distance = 0
        if not self.index.get().bit_distance(row, row + self.dimension, distance):
            raise ArgumentValueError("vectors", "two vectors with a direction", rows)
        return distance

    def __repr__(self):
        info = self.info()
        return (
            f"<VectorIndex dimension={self.dimension} quantization={self.quantization} tier={self.tier} "
            f"entries={info['graph'] + info['scan']} graph={info['graph']} scan={info['scan']}>"
        )


cdef VectorIndex opened(type cls, int descriptor, object header, bint read_only, object path):
    """A new index over the file's sections. The header was checked; what of it only the index knows is checked here."""
    cdef VectorIndex made = cls.__new__(
        cls, header.dimension, M=header.M, ef_construction=header.ef_construction, capacity=1,
        quantization=header.quantization, tier=header.tier, graph_from=header.graph_from,
    )
    cdef size_t d = header.dimension, links = header.M, effort = header.ef_construction, many = header.graph_from
    cdef int kind = door.QUANTIZATIONS.index(header.quantization), where = door.TIERS.index(header.tier)
    made.index.reset(new Index(d, 0, links, effort, <Quantization>kind, <Tier>where, many))
    made.read_only, made.note = read_only, header.note
    if header.block_bytes != made.index.get().block_bytes():
        raise SnapshotError(
            f"{path}: bytes of a joined slot must be {made.index.get().block_bytes()}, is {header.block_bytes}"
        )
    cdef Stretch[<int>kSections] stretches
    for i in range(<int>kSections):
        stretches[i].offset, stretches[i].length = header.sections[i].offset, header.sections[i].length
    cdef IndexCounts counts
    counts.entries, counts.joined, counts.tombstones = header.entries, header.joined, header.tombstones
    counts.entry_point, counts.top_level = header.entry_point, header.top_level
    cdef unique_ptr[File] file
    file.reset(new File(descriptor))
    cdef Access access = Access.kRead if read_only else Access.kWrite
    with nogil:
        made.index.get().load(file.get()[0], stretches, counts, access)
    return made


cdef int point_filter(Allowed* filter, object allowed, Bytes held):
    filter.size = len(allowed)
    if allowed.dtype == uint64:
        filter.labels = <const uint64_t*>held.buffer.buf
    else:
        filter.flags = <const uint8_t*>held.buffer.buf
    return 0


def simd_variants():
    """The instruction sets this machine can run, best first."""
    names = []
    while runnable_variant(len(names)) != NULL:
        names.append(runnable_variant(len(names)).name.decode())
    return tuple(names)


def simd_variant():
    """The instruction set that indexes made from now on use."""
    return active_kernels().name.decode()


def set_simd_variant(name):
    """Choose the instruction set of indexes made from now on; those that exist keep theirs."""
    if not isinstance(name, str):
        raise ArgumentTypeError("name", "str", name)
    if not choose_kernels(name.encode()):
        raise ArgumentValueError("name", "one of " + ", ".join(simd_variants()), name)


def bit_radius(cosine, bits, miss_probability):
    """The smallest r that the weights of differing bits exceed with at most this probability.

    `bits` (128, 256 or 512) of two vectors of this cosine; `ext/index_bits.hpp` says what they weigh.
    """
    return bit_radius_of(cosine, bits, miss_probability)


def kernel_dot(const float[::1] a, const float[::1] b):
    """For tests: the active variant's sum of products; the length is a multiple of 16."""
    return active_kernels().dot(&a[0], &b[0], a.shape[0])


def kernel_dot_codes(const int8_t[::1] a, const int8_t[::1] b):
    """For tests: the active variant's sum of products of codes; the length is a multiple of 64."""
    return active_kernels().dot_codes(&a[0], &b[0], a.shape[0])


def kernel_hamming(const uint64_t[::1] a, const uint64_t[::1] b):
    """For tests: the active variant's number of differing bits; the length is 2, 4 or 8."""
    return active_kernels().hamming(&a[0], &b[0], a.shape[0])


cdef int point_probe(Probe* probe, const uint64_t[:, ::1] planes):
    for i in range(planes.shape[1]):
        probe.bits[i], probe.ones[i], probe.twos[i] = planes[0, i], planes[1, i], planes[2, i]
    return 0


def kernel_weigh(const uint64_t[::1] bits, const uint64_t[:, ::1] planes):
    """For tests: the active variant's weight of differing bits; planes[3, 2, 4 or 8]: bits, ones, twos of a probe."""
    cdef Probe probe
    point_probe(&probe, planes)
    return active_kernels().weigh(&bits[0], probe, bits.shape[0])


def kernel_probe(const float[::1] values, step):
    """For tests: the active variant's bits, ones and twos, uint64[3, n / 64] of `values` [n]."""
    cdef Probe probe
    cdef size_t words = values.shape[0] // 64
    active_kernels().probe(&values[0], words, step, probe)
    planes = numpy.empty((3, words), numpy.uint64)
    cdef uint64_t[:, ::1] out = planes
    for i in range(words):
        out[0, i], out[1, i], out[2, i] = probe.bits[i], probe.ones[i], probe.twos[i]
    return planes


def kernel_weigh_groups(const uint64_t[:, :, ::1] groups, const uint64_t[:, ::1] planes, word, weights=None):
    """For tests: uint8[8 n], the active variant's weights of groups [n, 2, 8], added to `weights` if given."""
    cdef Probe probe
    point_probe(&probe, planes)
    out = numpy.empty(8 * groups.shape[0], numpy.uint8) if weights is None else numpy.array(weights, numpy.uint8)
    cdef uint8_t[::1] sums = out
    active_kernels().weigh_groups(&groups[0, 0, 0], groups.shape[0], probe, word, weights is not None, &sums[0])
    return out


def kernel_at_most(weights, limit):
    """For tests: where the active variant finds weights (uint8[n]) of at most `limit`."""
    cdef size_t n = len(weights)
    padded = numpy.zeros(n + 64, numpy.uint8)
    padded[:n] = weights
    out = numpy.empty(n + 1, numpy.uint32)
    cdef const uint8_t[::1] start = padded
    cdef uint32_t[::1] slots = out
    return out[: active_kernels().at_most(&start[0], n, limit, &slots[0])]


def kernel_hadamard(values):
    """For tests: the active variant's Walsh-Hadamard transform; the length is a power of two from 32 on."""
    out = numpy.array(values, numpy.float32)
    cdef float[::1] view = out
    active_kernels().hadamard(&view[0], view.shape[0])
    return out
