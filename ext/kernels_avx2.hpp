// 256-bit registers; bits are counted by looking up each half byte in a register.
#pragma once

namespace medha {
namespace avx2 {

#define MEDHA_AVX2 MEDHA_TARGET("avx2,fma,popcnt")

MEDHA_AVX2 inline float dot(const float* a, const float* b, size_t n) {
    __m256 s0 = _mm256_setzero_ps(), s1 = _mm256_setzero_ps();
    for (size_t i = 0; i < n; i += 16) {
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
        s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
    }
    s0 = _mm256_add_ps(s0, s1);
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(s0), _mm256_extractf128_ps(s0, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

// |a| * (b with the sign of a): a pair of products is at most 2 * 127 * 127 and fits 16 bits.
MEDHA_AVX2 inline int32_t dot_codes(const int8_t* a, const int8_t* b, size_t n) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum = _mm256_setzero_si256();
    for (size_t i = 0; i < n; i += 32) {
        __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + i));
        __m256i y = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + i));
        __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(y, x));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

MEDHA_AVX2 inline uint32_t hamming(const uint64_t* a, const uint64_t* b, size_t words) {
    uint64_t sum = 0;
    for (size_t i = 0; i < words; i += 2) {
        sum += static_cast<uint64_t>(_mm_popcnt_u64(a[i] ^ b[i]));
        sum += static_cast<uint64_t>(_mm_popcnt_u64(a[i + 1] ^ b[i + 1]));
    }
    return static_cast<uint32_t>(sum);
}

MEDHA_AVX2 inline uint64_t at_least(__m256 away, float limit) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(away, _mm256_set1_ps(limit), _CMP_GE_OQ)));
}

MEDHA_AVX2 inline void probe(const float* values, size_t words, float step, Probe& out) {
    for (size_t w = 0; w < words; w++) {
        uint64_t bits = 0, ones = 0, twos = 0;
        for (size_t i = 0; i < 64; i += 8) {
            __m256 value = _mm256_loadu_ps(values + 64 * w + i);
            __m256 away = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), value);
            uint64_t one = at_least(away, 0.5f * step), two = at_least(away, 1.5f * step),
                     three = at_least(away, 2.5f * step);
            bits |= static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_ps(value))) << i;
            ones |= ((one & ~two) | three) << i;
            twos |= two << i;
        }
        out.bits[w] = bits;
        out.ones[w] = ones;
        out.twos[w] = twos;
    }
}

MEDHA_AVX2 inline uint32_t weigh(const uint64_t* bits, const Probe& probe, size_t words) {
    uint64_t sum = 0;
    for (size_t i = 0; i < words; i++) {
        const uint64_t differing = bits[i] ^ probe.bits[i];
        sum += static_cast<uint64_t>(_mm_popcnt_u64(differing & probe.ones[i]));
        sum += 2 * static_cast<uint64_t>(_mm_popcnt_u64(differing & probe.twos[i]));
    }
    return static_cast<uint32_t>(sum);
}

MEDHA_AVX2 inline __m256i bits_per_byte(__m256i x) {
    const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                            0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi8(0x0f);
    __m256i low_halves = _mm256_shuffle_epi8(counts, _mm256_and_si256(x, low));
    __m256i high_halves = _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(x, 4), low));
    return _mm256_add_epi8(low_halves, high_halves);
}

// A probe's first four words in every lane.
struct Lanes {
    __m256i bits[4], ones[4], twos[4];
};

MEDHA_AVX2 inline Lanes lanes_of(const Probe& probe) {
    Lanes lanes;
    for (size_t i = 0; i < 4; i++) {
        lanes.bits[i] = _mm256_set1_epi64x(static_cast<long long>(probe.bits[i]));
        lanes.ones[i] = _mm256_set1_epi64x(static_cast<long long>(probe.ones[i]));
        lanes.twos[i] = _mm256_set1_epi64x(static_cast<long long>(probe.twos[i]));
    }
    return lanes;
}

// Weight of the differing bits per byte of four words at `group`, each compared with the probe's word: 24 at most.
MEDHA_AVX2 inline __m256i stretch(const uint64_t* group, const Lanes& probe, size_t word) {
    __m256i differing = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(group));
    differing = _mm256_xor_si256(differing, probe.bits[word]);
    __m256i once = bits_per_byte(_mm256_and_si256(differing, probe.ones[word]));
    __m256i twice = bits_per_byte(_mm256_and_si256(differing, probe.twos[word]));
    return _mm256_add_epi8(once, _mm256_add_epi8(twice, twice));
}

MEDHA_AVX2 inline __m256i stretches(const uint64_t* group, const Lanes& probe, size_t word) {
    return _mm256_add_epi8(stretch(group, probe, word), stretch(group + kGroupSlots, probe, word + 1));
}

// Bit j is set where the prefix j of the four lies within the radius.
template <bool kBoth>
MEDHA_AVX2 inline uint32_t four_within(const uint64_t* low, const uint64_t* high, const Lanes& probe,
                                       __m256i radius) {
    __m256i bytes = stretches(low, probe, 0);
    if (kBoth) bytes = _mm256_add_epi8(bytes, stretches(high, probe, 2));
    __m256i beyond = _mm256_cmpgt_epi64(_mm256_sad_epu8(bytes, _mm256_setzero_si256()), radius);
    return ~static_cast<uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(beyond))) & 0x0f;
}

template <bool kBoth>
MEDHA_AVX2 inline size_t near_groups(const uint64_t* low, const uint64_t* high, size_t first, size_t last,
                                     const Lanes& probe, uint32_t radius, uint32_t* out) {
    const __m256i limit = _mm256_set1_epi64x(static_cast<long long>(radius));
    size_t found = 0;
    for (size_t g = first; g < last; g++) {
        const uint64_t* a = low + g * kGroupWords;
        const uint64_t* b = kBoth ? high + g * kGroupWords : a;
        uint32_t within =
            four_within<kBoth>(a, b, probe, limit) | four_within<kBoth>(a + 4, b + 4, probe, limit) << 4;
        for (uint32_t j = 0; within; j++, within >>= 1) {
            out[found] = static_cast<uint32_t>(g * kGroupSlots) + j;
            found += within & 1;
        }
    }
    return found;
}

MEDHA_AVX2 inline size_t near_prefixes(const uint64_t* low, const uint64_t* high, size_t first, size_t last,
                                       const Probe& probe, uint32_t radius, uint32_t* out) {
    return high ? near_groups<true>(low, high, first, last, lanes_of(probe), radius, out)
                : near_groups<false>(low, low, first, last, lanes_of(probe), radius, out);
}

MEDHA_AVX2 inline void butterflies(float* a, float* b, size_t n) {
    for (size_t i = 0; i < n; i += 8) {
        __m256 x = _mm256_loadu_ps(a + i), y = _mm256_loadu_ps(b + i);
        _mm256_storeu_ps(a + i, _mm256_add_ps(x, y));
        _mm256_storeu_ps(b + i, _mm256_sub_ps(x, y));
    }
}

// The three steps whose partners lie in the same register.
MEDHA_AVX2 inline __m256 eight_point(__m256 v) {
    __m256 partner = _mm256_permute_ps(v, 0xb1);
    v = _mm256_blend_ps(_mm256_add_ps(v, partner), _mm256_sub_ps(partner, v), 0xaa);
    partner = _mm256_permute_ps(v, 0x4e);
    v = _mm256_blend_ps(_mm256_add_ps(v, partner), _mm256_sub_ps(partner, v), 0xcc);
    partner = _mm256_permute2f128_ps(v, v, 0x01);
    return _mm256_blend_ps(_mm256_add_ps(v, partner), _mm256_sub_ps(partner, v), 0xf0);
}

MEDHA_AVX2 inline void hadamard(float* values, size_t n) {
    for (size_t i = 0; i < n; i += 8) _mm256_storeu_ps(values + i, eight_point(_mm256_loadu_ps(values + i)));
    for (size_t half = 8; half < n; half *= 2)
        for (size_t start = 0; start < n; start += 2 * half) butterflies(values + start, values + start + half, half);
}

inline constexpr Kernels kernels = {"avx2", dot, dot_codes, hamming, weigh, probe, near_prefixes, hadamard};

}  // namespace avx2
}  // namespace medha
