// The arithmetic of the index, once per instruction set, chosen at run time.
//
// Every variant is compiled into the same binary: a function-level target attribute lets GCC and Clang emit
// instructions that the rest of the file may not use; MSVC needs no permission. Which variant runs is decided
// by what the processor (and the operating system, which must save the registers) says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(_MSC_VER)
#include <intrin.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#define MEDHA_X86 1
#include <immintrin.h>
#if !defined(_MSC_VER)
#include <cpuid.h>
#endif
#elif defined(__aarch64__) || defined(_M_ARM64)
#define MEDHA_NEON 1
#include <arm_neon.h>
#endif

#if defined(__GNUC__) || defined(__clang__)
#define MEDHA_TARGET(features) __attribute__((target(features)))
#define MEDHA_PREFETCH(address) __builtin_prefetch(address)
#else
#define MEDHA_TARGET(features)
#if defined(MEDHA_X86)
#define MEDHA_PREFETCH(address) _mm_prefetch(reinterpret_cast<const char*>(address), _MM_HINT_T0)
#else
#define MEDHA_PREFETCH(address) ((void)(address))
#endif
#endif

namespace medha {

// Eight stretches of 128 bits side by side: eight low words, then eight high words.
constexpr size_t kGroupSlots = 8;
constexpr size_t kGroupWords = 16;

// What bits are compared with: the bits of a query, and what each weighs if it differs, 0 to 3: 1 where `ones` has
// a bit, and 2 more where `twos` has one.
struct Probe {
    uint64_t bits[8] = {}, ones[8] = {}, twos[8] = {};
};

struct Kernels {
    const char* name;
    // Sum of a[i] * b[i]; `n` is a multiple of 16.
    float (*dot)(const float* a, const float* b, size_t n);
    // Exact integer sum of a[i] * b[i]; codes lie in -127..127, `n` is a multiple of 64.
    int32_t (*dot_codes)(const int8_t* a, const int8_t* b, size_t n);
    // Number of differing bits; `words` is a multiple of 2.
    uint32_t (*hamming)(const uint64_t* a, const uint64_t* b, size_t words);
    // Weight of the bits that differ from the probe's; `words` is a multiple of 2.
    uint32_t (*weigh)(const uint64_t* bits, const Probe& probe, size_t words);
    // The probe of a rotated query: its signs, and how many times `step` it lies from each hyperplane, rounded, at
    // most 3. `values` has 64 for each word.
    void (*probe)(const float* values, size_t words, float step, Probe& out);
    // For each stretch of the groups, what its bits that differ from the probe's two words from `word` on weigh, 255
    // at most: written to `weights`, or added to them.
    void (*weigh_groups)(const uint64_t* groups, size_t n, const Probe& probe, size_t word, bool add, uint8_t* weights);
    // Writes where `weights` are at most `limit`, in rising order, and returns how many. Whole blocks of 64 weights
    // may be read; `out` has room for n.
    size_t (*at_most)(const uint8_t* weights, size_t n, uint8_t limit, uint32_t* out);
    // The Walsh-Hadamard transform in place, not scaled; `n` is a power of two, at least 32.
    void (*hadamard)(float* values, size_t n);
};

// Groups are read in order, faster than processors by themselves fetch ahead. Beyond the end this does no harm.
inline void fetch_ahead(const uint64_t* group) {
    constexpr size_t ahead = 64 * kGroupWords;
    MEDHA_PREFETCH(group + ahead);
    MEDHA_PREFETCH(group + ahead + kGroupWords / 2);
}

// Writes `first` plus the position of each bit that is set, in rising order, and returns how many.
inline size_t put_positions(uint64_t bits, size_t first, uint32_t* out) {
    size_t n = 0;
    for (; bits; bits &= bits - 1) {
#if defined(_MSC_VER) && !defined(__clang__)
        unsigned long position;
        _BitScanForward64(&position, bits);
#else
        const int position = __builtin_ctzll(bits);
#endif
        out[n++] = static_cast<uint32_t>(first + static_cast<size_t>(position));
    }
    return n;
}

}  // namespace medha

#include "kernels_baseline.hpp"
#if defined(MEDHA_X86)
#include "kernels_avx2.hpp"
#include "kernels_avx512.hpp"
#elif defined(MEDHA_NEON)
#include "kernels_neon.hpp"
#endif

namespace medha {

#if defined(MEDHA_X86)
struct Processor {
    bool avx2 = false;
    bool avx512 = false;

    Processor() {
        uint32_t r[4];
        cpuid(0, 0, r);
        if (r[0] < 7) return;
        cpuid(1, 0, r);
        bool saves_registers = r[2] & (1u << 27);
        bool popcnt = r[2] & (1u << 23), fma = r[2] & (1u << 12);
        if (!saves_registers) return;
        uint64_t saved = saved_registers();
        cpuid(7, 0, r);
        bool has_avx2 = r[1] & (1u << 5);
        bool foundation = r[1] & (1u << 16), dq = r[1] & (1u << 17), bw = r[1] & (1u << 30), vl = r[1] & (1u << 31);
        bool vnni = r[2] & (1u << 11), popcntdq = r[2] & (1u << 14);
        avx2 = has_avx2 && fma && popcnt && (saved & 0x06) == 0x06;
        avx512 = avx2 && foundation && dq && bw && vl && vnni && popcntdq && (saved & 0xe6) == 0xe6;
    }

  private:
    static void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4]) {
#if defined(_MSC_VER)
        int values[4];
        __cpuidex(values, static_cast<int>(leaf), static_cast<int>(subleaf));
        for (int i = 0; i < 4; i++) r[i] = static_cast<uint32_t>(values[i]);
#else
        __cpuid_count(leaf, subleaf, r[0], r[1], r[2], r[3]);
#endif
    }

    static uint64_t saved_registers() {
#if defined(_MSC_VER)
        return _xgetbv(0);
#else
        uint32_t low, high;
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        return (static_cast<uint64_t>(high) << 32) | low;
#endif
    }
};
#endif

// The variants this machine can run, best first, ended by a null pointer.
inline const Kernels* const* runnable_kernels() {
    struct List {
        const Kernels* items[4] = {};
        List() {
            size_t n = 0;
#if defined(MEDHA_X86)
            Processor processor;
            if (processor.avx512) items[n++] = &avx512::kernels;
            if (processor.avx2) items[n++] = &avx2::kernels;
#elif defined(MEDHA_NEON)
            items[n++] = &neon::kernels;
#endif
            items[n] = &baseline::kernels;
        }
    };
    static const List list;
    return list.items;
}

inline const Kernels* runnable_variant(size_t rank) { return runnable_kernels()[rank]; }

// The variant new indexes take. An index keeps the one it was made with. Set only under the GIL.
inline const Kernels*& active_kernels() {
    static const Kernels* active = runnable_kernels()[0];
    return active;
}

// False if this machine cannot run the variant, or there is none of that name.
inline bool choose_kernels(const char* name) {
    for (const Kernels* const* k = runnable_kernels(); *k; k++) {
        if (std::strcmp((*k)->name, name) == 0) {
            active_kernels() = *k;
            return true;
        }
    }
    return false;
}

}  // namespace medha
