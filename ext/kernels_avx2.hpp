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

MEDHA_AVX2 inline __m256i bits_per_byte(__m256i x) {
    const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                            0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi8(0x0f);
    __m256i low_halves = _mm256_shuffle_epi8(counts, _mm256_and_si256(x, low));
    __m256i high_halves = _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(x, 4), low));
    return _mm256_add_epi8(low_halves, high_halves);
}

// Differing bits per byte of four stretches: words at `group` and eight words on.
MEDHA_AVX2 inline __m256i stretches(const uint64_t* group, const uint64_t* query) {
    __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(group));
    __m256i y = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(group + kGroupSlots));
    x = _mm256_xor_si256(x, _mm256_set1_epi64x(static_cast<long long>(query[0])));
    y = _mm256_xor_si256(y, _mm256_set1_epi64x(static_cast<long long>(query[1])));
    return _mm256_add_epi8(bits_per_byte(x), bits_per_byte(y));
}

// Bit j is set where the prefix j of the four lies within the radius.
template <bool kBoth>
MEDHA_AVX2 inline uint32_t four_within(const uint64_t* low, const uint64_t* high, const uint64_t* query,
                                       __m256i radius) {
    __m256i bytes = stretches(low, query);
    if (kBoth) bytes = _mm256_add_epi8(bytes, stretches(high, query + 2));
    __m256i beyond = _mm256_cmpgt_epi64(_mm256_sad_epu8(bytes, _mm256_setzero_si256()), radius);
    return ~static_cast<uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(beyond))) & 0x0f;
}

template <bool kBoth>
MEDHA_AVX2 inline size_t near_groups(const uint64_t* low, const uint64_t* high, size_t first, size_t last,
                                     const uint64_t* query, uint32_t radius, uint32_t* out) {
    const __m256i limit = _mm256_set1_epi64x(static_cast<long long>(radius));
    size_t found = 0;
    for (size_t g = first; g < last; g++) {
        const uint64_t* a = low + g * kGroupWords;
        const uint64_t* b = kBoth ? high + g * kGroupWords : a;
        uint32_t within =
            four_within<kBoth>(a, b, query, limit) | four_within<kBoth>(a + 4, b + 4, query, limit) << 4;
        for (uint32_t j = 0; within; j++, within >>= 1) {
            out[found] = static_cast<uint32_t>(g * kGroupSlots) + j;
            found += within & 1;
        }
    }
    return found;
}

MEDHA_AVX2 inline size_t near_prefixes(const uint64_t* low, const uint64_t* high, size_t first, size_t last,
                                       const uint64_t* query, uint32_t radius, uint32_t* out) {
    return high ? near_groups<true>(low, high, first, last, query, radius, out)
                : near_groups<false>(low, low, first, last, query, radius, out);
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

inline constexpr Kernels kernels = {"avx2", dot, dot_codes, hamming, near_prefixes, hadamard};

}  // namespace avx2
}  // namespace medha
