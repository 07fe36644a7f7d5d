// arm64: 128-bit registers; bits are counted per byte and summed pairwise.
#pragma once

namespace medha {
namespace neon {

inline float dot(const float* a, const float* b, size_t n) {
    float32x4_t s[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    for (size_t i = 0; i < n; i += 16)
        for (size_t j = 0; j < 4; j++) s[j] = vfmaq_f32(s[j], vld1q_f32(a + i + 4 * j), vld1q_f32(b + i + 4 * j));
    return vaddvq_f32(vaddq_f32(vaddq_f32(s[0], s[1]), vaddq_f32(s[2], s[3])));
}

inline int32_t dot_codes(const int8_t* a, const int8_t* b, size_t n) {
    int32x4_t sum = vdupq_n_s32(0);
    for (size_t i = 0; i < n; i += 16) {
        int8x16_t x = vld1q_s8(a + i), y = vld1q_s8(b + i);
        sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(x), vget_low_s8(y)));
        sum = vpadalq_s16(sum, vmull_s8(vget_high_s8(x), vget_high_s8(y)));
    }
    return vaddvq_s32(sum);
}

inline uint8x16_t differing_per_byte(const uint64_t* a, uint64x2_t b) {
    return vcntq_u8(vreinterpretq_u8_u64(veorq_u64(vld1q_u64(a), b)));
}

inline uint32_t hamming(const uint64_t* a, const uint64_t* b, size_t words) {
    uint32_t sum = 0;
    for (size_t i = 0; i < words; i += 2) sum += vaddlvq_u8(differing_per_byte(a + i, vld1q_u64(b + i)));
    return sum;
}

// Weight of the differing bits per byte: 24 at most.
inline uint8x16_t weights(uint64x2_t differing, uint64x2_t ones, uint64x2_t twos) {
    uint8x16_t once = vcntq_u8(vreinterpretq_u8_u64(vandq_u64(differing, ones)));
    uint8x16_t twice = vcntq_u8(vreinterpretq_u8_u64(vandq_u64(differing, twos)));
    return vaddq_u8(once, vshlq_n_u8(twice, 1));
}

inline uint32_t weigh(const uint64_t* bits, const Probe& probe, size_t words) {
    uint32_t sum = 0;
    for (size_t i = 0; i < words; i += 2) {
        uint64x2_t differing = veorq_u64(vld1q_u64(bits + i), vld1q_u64(probe.bits + i));
        sum += vaddlvq_u8(weights(differing, vld1q_u64(probe.ones + i), vld1q_u64(probe.twos + i)));
    }
    return sum;
}

// A word of a probe in both lanes.
struct Lanes {
    uint64x2_t bits, ones, twos;
};

inline Lanes lanes_of(const Probe& probe, size_t word) {
    return {vdupq_n_u64(probe.bits[word]), vdupq_n_u64(probe.ones[word]), vdupq_n_u64(probe.twos[word])};
}

inline uint8x16_t weights_of(const uint64_t* words, const Lanes& probe) {
    return weights(veorq_u64(vld1q_u64(words), probe.bits), probe.ones, probe.twos);
}

// Of two stretches, the weights of four parts each.
inline uint16x8_t two_weights(const uint64_t* group, const Lanes& a, const Lanes& b) {
    return vpaddlq_u8(vaddq_u8(weights_of(group, a), weights_of(group + kGroupSlots, b)));
}

inline void weigh_groups(const uint64_t* groups, size_t n, const Probe& probe, size_t word, bool add,
                         uint8_t* weights) {
    const Lanes a = lanes_of(probe, word), b = lanes_of(probe, word + 1);
    for (size_t g = 0; g < n; g++, groups += kGroupWords, weights += kGroupSlots) {
        fetch_ahead(groups);
        uint16x8_t first = vpaddq_u16(two_weights(groups, a, b), two_weights(groups + 2, a, b));
        uint16x8_t second = vpaddq_u16(two_weights(groups + 4, a, b), two_weights(groups + 6, a, b));
        uint8x8_t eight = vqmovn_u16(vpaddq_u16(first, second));
        if (add) eight = vqadd_u8(eight, vld1_u8(weights));
        vst1_u8(weights, eight);
    }
}

inline size_t at_most(const uint8_t* weights, size_t n, uint8_t limit, uint32_t* out) {
    const uint8x16_t limits = vdupq_n_u8(limit);
    size_t found = 0;
    for (size_t i = 0; i < n; i += 16) {
        if (vmaxvq_u8(vcleq_u8(vld1q_u8(weights + i), limits)) == 0) continue;
        for (size_t j = i; j < i + 16 && j < n; j++)
            if (weights[j] <= limit) out[found++] = static_cast<uint32_t>(j);
    }
    return found;
}

inline void hadamard(float* values, size_t n) {
    // Steps of half 1 and 2 by scalars; from 4 on partners are whole registers apart.
    for (size_t i = 0; i < n; i += 4) baseline::hadamard(values + i, 4);
    for (size_t half = 4; half < n; half *= 2) {
        for (size_t start = 0; start < n; start += 2 * half) {
            for (size_t i = start; i < start + half; i += 4) {
                float32x4_t x = vld1q_f32(values + i), y = vld1q_f32(values + i + half);
                vst1q_f32(values + i, vaddq_f32(x, y));
                vst1q_f32(values + i + half, vsubq_f32(x, y));
            }
        }
    }
}

inline constexpr Kernels kernels = {"neon", dot, dot_codes, hamming, weigh, baseline::probe, weigh_groups, at_most, hadamard};

}  // namespace neon
}  // namespace medha
