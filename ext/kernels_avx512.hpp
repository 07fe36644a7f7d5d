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

// Weight of the differing bits in each of eight words.
MEDHA_AVX512 inline __m512i weights(__m512i bits, __m512i query, __m512i ones, __m512i twos) {
    const int differing_and = 0x28;  // (bits ^ query) & plane
    __m512i once = _mm512_popcnt_epi64(_mm512_ternarylogic_epi64(bits, query, ones, differing_and));
    __m512i twice = _mm512_popcnt_epi64(_mm512_ternarylogic_epi64(bits, query, twos, differing_and));
    return _mm512_add_epi64(once, _mm512_add_epi64(twice, twice));
}

MEDHA_AVX512 inline uint32_t weigh(const uint64_t* bits, const Probe& probe, size_t words) {
    if (words < 8) return avx2::weigh(bits, probe, words);
    __m512i sums = weights(_mm512_loadu_si512(bits), _mm512_loadu_si512(probe.bits), _mm512_loadu_si512(probe.ones),
                           _mm512_loadu_si512(probe.twos));
    return static_cast<uint32_t>(_mm512_reduce_add_epi64(sums));
}

// A probe's first four words in every lane.
struct Lanes {
    __m512i bits[4], ones[4], twos[4];
};

MEDHA_AVX512 inline Lanes lanes_of(const Probe& probe) {
    Lanes lanes;
    for (size_t i = 0; i < 4; i++) {
        lanes.bits[i] = _mm512_set1_epi64(static_cast<long long>(probe.bits[i]));
        lanes.ones[i] = _mm512_set1_epi64(static_cast<long long>(probe.ones[i]));
        lanes.twos[i] = _mm512_set1_epi64(static_cast<long long>(probe.twos[i]));
    }
    return lanes;
}

// Of eight stretches at `group`, compared with two words of the probe.
MEDHA_AVX512 inline __m512i stretches(const uint64_t* group, const Lanes& probe, size_t word) {
    __m512i low = _mm512_loadu_si512(group), high = _mm512_loadu_si512(group + kGroupSlots);
    return _mm512_add_epi64(weights(low, probe.bits[word], probe.ones[word], probe.twos[word]),
                            weights(high, probe.bits[word + 1], probe.ones[word + 1], probe.twos[word + 1]));
}

// Bit j is set where prefix j of the group lies within the radius.
template <bool kBoth>
MEDHA_AVX512 inline uint32_t eight_within(const uint64_t* low, const uint64_t* high, size_t group,
                                          const Lanes& probe, __m512i radius) {
    __m512i distance = stretches(low + group * kGroupWords, probe, 0);
    if (kBoth) distance = _mm512_add_epi64(distance, stretches(high + group * kGroupWords, probe, 2));
    return _mm512_cmple_epu64_mask(distance, radius);
}

MEDHA_AVX512 inline size_t put_slots(uint32_t* out, size_t group, uint32_t within) {
    const __m256i rising = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i slots = _mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(group * kGroupSlots)), rising);
    __m256i chosen = _mm256_maskz_compress_epi32(static_cast<__mmask8>(within), slots);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), chosen);
    return static_cast<size_t>(_mm_popcnt_u32(within));
}

template <bool kBoth>
MEDHA_AVX512 inline size_t near_groups(const uint64_t* low, const uint64_t* high, size_t first, size_t last,
                                       const Lanes& probe, uint32_t radius, uint32_t* out) {
    const __m512i limit = _mm512_set1_epi64(static_cast<long long>(radius));
    size_t found = 0;
    size_t g = first;
    for (; g + 2 <= last; g += 2) {
        uint32_t a = eight_within<kBoth>(low, high, g, probe, limit);
        uint32_t b = eight_within<kBoth>(low, high, g + 1, probe, limit);
        if (a | b) {
            found += put_slots(out + found, g, a);
            found += put_slots(out + found, g + 1, b);
        }
    }
    if (g < last) found += put_slots(out + found, g, eight_within<kBoth>(low, high, g, probe, limit));
    return found;
}

MEDHA_AVX512 inline size_t near_prefixes(const uint64_t* low, const uint64_t* high, size_t first, size_t last,
                                         const Probe& probe, uint32_t radius, uint32_t* out) {
    return high ? near_groups<true>(low, high, first, last, lanes_of(probe), radius, out)
                : near_groups<false>(low, low, first, last, lanes_of(probe), radius, out);
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

inline constexpr Kernels kernels = {"avx512", dot, dot_codes, hamming, weigh, probe, near_prefixes, hadamard};

}  // namespace avx512
}  // namespace medha
