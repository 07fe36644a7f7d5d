// 256-bit registers; bits are weighed by looking up each half byte in a register.
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

// A word of a probe in every lane, its planes by halves of their bytes.
struct Lanes {
    __m256i bits, low_ones, high_ones, low_twos, high_twos;
};

MEDHA_AVX2 inline __m256i low_halves(uint64_t word) {
    return _mm256_set1_epi64x(static_cast<long long>(word & 0x0f0f0f0f0f0f0f0full));
}

MEDHA_AVX2 inline Lanes lanes_of(const Probe& probe, size_t word) {
    const uint64_t ones = probe.ones[word], twos = probe.twos[word];
    return {_mm256_set1_epi64x(static_cast<long long>(probe.bits[word])), low_halves(ones), low_halves(ones >> 4),
            low_halves(twos), low_halves(twos >> 4)};
}

// Weight of the differing bits per byte of four words: 24 at most.
MEDHA_AVX2 inline __m256i weights_of(const uint64_t* words, const Lanes& probe) {
    const __m256i once = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                          0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i twice = _mm256_add_epi8(once, once);
    __m256i low = _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(words)), probe.bits);
    __m256i high = _mm256_srli_epi16(low, 4);
    __m256i ones = _mm256_add_epi8(_mm256_shuffle_epi8(once, _mm256_and_si256(low, probe.low_ones)),
                                   _mm256_shuffle_epi8(once, _mm256_and_si256(high, probe.high_ones)));
    __m256i twos = _mm256_add_epi8(_mm256_shuffle_epi8(twice, _mm256_and_si256(low, probe.low_twos)),
                                   _mm256_shuffle_epi8(twice, _mm256_and_si256(high, probe.high_twos)));
    return _mm256_add_epi8(ones, twos);
}

// Weights of four stretches, 255 at most, each in the lowest byte of a lane.
MEDHA_AVX2 inline __m256i four_weights(const uint64_t* group, const Lanes& a, const Lanes& b) {
    __m256i bytes = _mm256_add_epi8(weights_of(group, a), weights_of(group + kGroupSlots, b));
    return _mm256_min_epu32(_mm256_sad_epu8(bytes, _mm256_setzero_si256()), _mm256_set1_epi64x(255));
}

MEDHA_AVX2 inline void weigh_groups(const uint64_t* groups, size_t n, const Probe& probe, size_t word, bool add,
                                    uint8_t* weights) {
    const Lanes a = lanes_of(probe, word), b = lanes_of(probe, word + 1);
    // Of each lane the byte of the first four and the byte of the last four, to where they belong among eight.
    const __m256i places = _mm256_setr_epi8(0, 8, -1, -1, 1, 9, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                            -1, -1, 0, 8, -1, -1, 1, 9, -1, -1, -1, -1, -1, -1, -1, -1);
    for (size_t g = 0; g < n; g++, groups += kGroupWords, weights += kGroupSlots) {
        fetch_ahead(groups);
        __m256i pairs = _mm256_or_si256(four_weights(groups, a, b), _mm256_slli_epi64(four_weights(groups + 4, a, b), 8));
        pairs = _mm256_shuffle_epi8(pairs, places);
        __m128i eight = _mm_or_si128(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
        if (add) eight = _mm_adds_epu8(eight, _mm_loadl_epi64(reinterpret_cast<const __m128i*>(weights)));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(weights), eight);
    }
}

MEDHA_AVX2 inline size_t at_most(const uint8_t* weights, size_t n, uint8_t limit, uint32_t* out) {
    const __m256i limits = _mm256_set1_epi8(static_cast<char>(limit));
    size_t found = 0;
    for (size_t i = 0; i < n; i += 32) {
        __m256i some = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + i));
        __m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(some, limits), some);
        uint64_t bits = static_cast<uint32_t>(_mm256_movemask_epi8(low));
        if (n - i < 32) bits &= (uint64_t{1} << (n - i)) - 1;
        found += put_positions(bits, i, out + found);
    }
    return found;
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

inline constexpr Kernels kernels = {"avx2", dot, dot_codes, hamming, weigh, probe, weigh_groups, at_most, hadamard};

}  // namespace avx2
}  // namespace medha
