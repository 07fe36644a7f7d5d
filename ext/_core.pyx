# cython: boundscheck=True, wraparound=False
# distutils: language=c++
"""The compiled part of medha_core: one module, one file per topic (see ext/README.md).

`medha_core.native` chooses between this module and its Python twin.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint32_t, uint64_t

include "text.pxi"
include "lru.pxi"
include "vectors.pxi"
include "index.pxi"
include "guard.pxi"
include "guard_reader.pxi"
include "guard_evidence.pxi"
include "guard_judge.pxi"
include "query.pxi"
include "guard_stored.pxi"
