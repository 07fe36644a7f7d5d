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
include "query.pxi"
include "stored.pxi"
