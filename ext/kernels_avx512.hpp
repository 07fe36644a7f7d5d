// 512-bit registers with byte products (VNNI) and a bit count per word (VPOPCNTDQ): Ice Lake, Zen 4 and later.
#pragma once

namespace medha {
namespace avx512 {

#define MEDHA_AVX512 MEDHA_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vpopcntdq,avx2,fma,popcnt")

MEDHA_AVX512 inline float dot(const float* a, const float* b, size_t n) {
    __m512 s0 = _mm512_setzero_ps(), s1 = _mm512_setzero_ps();
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
        s1 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16), s1);
    }
    if (i < n) s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
    return _mm512_reduce_add_ps(_mm512_add_ps(s0, s1));
}

// The instruction multiplies unsigned by signed bytes, so a is shifted by 128 and 128 * sum(b) taken off again.
MEDHA_AVX512 inline int32_t dot_codes(const int8_t* a, const int8_t* b, size_t n) {
    const __m512i shift = _mm512_set1_epi8(static_cast<char>(0x80));
    __m512i shifted = _mm512_setzero_si512(), excess = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += 64) {
        __m512i x = _mm512_xor_si512(_mm512_loadu_si512(a + i), shift);
        __m512i y = _mm512_loadu_si512(b + i);
        shifted = _mm512_dpbusd_epi32(shifted, x, y);
        excess = _mm512_dpbusd_epi32(excess, shift, y);
    }
    return _mm512_reduce_add_epi32(_mm512_sub_epi32(shifted, excess));
}

MEDHA_AVX512 inline uint32_t hamming(const uint64_t* a, const uint64_t* b, size_t words) {
    if (words == 8) {
        __m512i differing = _mm512_xor_si512(_mm512_loadu_si512(a), _mm512_loadu_si512(b));
        return static_cast<uint32_t>(_mm512_reduce_add_epi64(_mm512_popcnt_epi64(differing)));
    }
    return avx2::hamming(a, b, words);
}

MEDHA_AVX512 inline void probe(const float* values, size_t words, float step, Probe& out) {
    const __m512 some = _mm512_set1_ps(0.5f * step), more = _mm512_set1_ps(1.5f * step),
                 most = _mm512_set1_ps(2.5f * step);
    for (size_t w = 0; w < words; w++) {
        uint64_t bits = 0, ones = 0, twos = 0;
        for (size_t i = 0; i < 64; i += 16) {
            __m512 value = _mm512_loadu_ps(values + 64 * w + i), away = _mm512_abs_ps(value);
            uint64_t one = _mm512_cmp_ps_mask(away, some, _CMP_GE_OQ), two = _mm512_cmp_ps_mask(away, more, _CMP_GE_OQ),
                     three = _mm512_cmp_ps_mask(away, most, _CMP_GE_OQ);
            bits |= static_cast<uint64_t>(_mm512_movepi32_mask(_mm512_castps_si512(value))) << i;
            ones |= ((one & ~two) | three) << i;
            twos |= two << i;
        }
        out.bits[w] = bits;
        out.ones[w] = ones;
        out.twos[w] = twos;
    }
}

// A word of a probe in every lane, or eight words.
struct Lanes {
    __m512i bits, ones, twos;
};

MEDHA_AVX512 inline Lanes lanes_of(const Probe& probe, size_t word) {
    return {_mm512_set1_epi64(static_cast<long long>(probe.bits[word])),
            _mm512_set1_epi64(static_cast<long long>(probe.ones[word])),
            _mm512_set1_epi64(static_cast<long long>(probe.twos[word]))};
}

// Weight of the differing bits in each of eight words.
MEDHA_AVX512 inline __m512i weights_of(__m512i bits, const Lanes& probe) {
    const int differing_and = 0x28;  // (bits ^ query) & plane
    __m512i once = _mm512_popcnt_epi64(_mm512_ternarylogic_epi64(bits, probe.bits, probe.ones, differing_and));
    __m512i twice = _mm512_popcnt_epi64(_mm512_ternarylogic_epi64(bits, probe.bits, probe.twos, differing_and));
    return _mm512_add_epi64(once, _mm512_add_epi64(twice, twice));
}

MEDHA_AVX512 inline uint32_t weigh(const uint64_t* bits, const Probe& probe, size_t words) {
    if (words < 8) return avx2::weigh(bits, probe, words);
    const Lanes eight = {_mm512_loadu_si512(probe.bits), _mm512_loadu_si512(probe.ones), _mm512_loadu_si512(probe.twos)};
    return static_cast<uint32_t>(_mm512_reduce_add_epi64(weights_of(_mm512_loadu_si512(bits), eight)));
}

MEDHA_AVX512 inline void weigh_groups(const uint64_t* groups, size_t n, const Probe& probe, size_t word, bool add,
                                      uint8_t* weights) {
    const Lanes a = lanes_of(probe, word), b = lanes_of(probe, word + 1);
    for (size_t g = 0; g < n; g++, groups += kGroupWords, weights += kGroupSlots) {
        fetch_ahead(groups);
        __m512i sums = _mm512_add_epi64(weights_of(_mm512_loadu_si512(groups), a),
                                        weights_of(_mm512_loadu_si512(groups + kGroupSlots), b));
        __m128i eight = _mm512_cvtusepi64_epi8(sums);
        if (add) eight = _mm_adds_epu8(eight, _mm_loadl_epi64(reinterpret_cast<const __m128i*>(weights)));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(weights), eight);
    }
}

MEDHA_AVX512 inline size_t at_most(const uint8_t* weights, size_t n, uint8_t limit, uint32_t* out) {
    const __m512i limits = _mm512_set1_epi8(static_cast<char>(limit));
    size_t found = 0;
    for (size_t i = 0; i < n; i += 64) {
        uint64_t low = _mm512_cmple_epu8_mask(_mm512_loadu_si512(weights + i), limits);
        if (n - i < 64) low &= (uint64_t{1} << (n - i)) - 1;
        found += put_positions(low, i, out + found);
    }
    return found;
}

MEDHA_AVX512 inline void butterflies(float* a, float* b, size_t n) {
    for (size_t i = 0; i < n; i += 16) {
        __m512 x = _mm512_loadu_ps(a + i), y = _mm512_loadu_ps(b + i);
        _mm512_storeu_ps(a + i, _mm512_add_ps(x, y));
        _mm512_storeu_ps(b + i, _mm512_sub_ps(x, y));
    }
}

// The four steps whose partners lie in the same register.
MEDHA_AVX512 inline __m512 sixteen_point(__m512 v) {
    __m512 partner = _mm512_permute_ps(v, 0xb1);
    v = _mm512_mask_sub_ps(_mm512_add_ps(v, partner), 0xaaaa, partner, v);
    partner = _mm512_permute_ps(v, 0x4e);
    v = _mm512_mask_sub_ps(_mm512_add_ps(v, partner), 0xcccc, partner, v);
    partner = _mm512_shuffle_f32x4(v, v, 0xb1);
    v = _mm512_mask_sub_ps(_mm512_add_ps(v, partner), 0xf0f0, partner, v);
    partner = _mm512_shuffle_f32x4(v, v, 0x4e);
    return _mm512_mask_sub_ps(_mm512_add_ps(v, partner), 0xff00, partner, v);
}

MEDHA_AVX512 inline void hadamard(float* values, size_t n) {
    for (size_t i = 0; i < n; i += 16) _mm512_storeu_ps(values + i, sixteen_point(_mm512_loadu_ps(values + i)));
    for (size_t half = 16; half < n; half *= 2)
        for (size_t start = 0; start < n; start += 2 * half) butterflies(values + start, values + start + half, half);
}

inline constexpr Kernels kernels = {"avx512", dot, dot_codes, hamming, weigh, probe, weigh_groups, at_most, hadamard};

}  // namespace avx512
}  // namespace medha
