// Portable C++: what every machine runs, and what the other variants are read against.
#pragma once

namespace medha {
namespace baseline {

inline uint32_t popcount(uint64_t x) {
    x = x - ((x >> 1) & 0x5555555555555555ull);
    x = (x & 0x3333333333333333ull) + ((x >> 2) & 0x3333333333333333ull);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full;
    return static_cast<uint32_t>((x * 0x0101010101010101ull) >> 56);
}

inline float dot(const float* a, const float* b, size_t n) {
    // Sixteen independent sums: a compiler may turn them into vectors without changing the result.
    float sums[16] = {};
    for (size_t i = 0; i < n; i += 16)
        for (size_t j = 0; j < 16; j++) sums[j] += a[i + j] * b[i + j];
    for (size_t width = 8; width > 0; width /= 2)
        for (size_t j = 0; j < width; j++) sums[j] += sums[j + width];
    return sums[0];
}

inline int32_t dot_codes(const int8_t* a, const int8_t* b, size_t n) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += static_cast<int32_t>(a[i]) * b[i];
    return sum;
}

inline uint32_t hamming(const uint64_t* a, const uint64_t* b, size_t words) {
    uint32_t sum = 0;
    for (size_t i = 0; i < words; i++) sum += popcount(a[i] ^ b[i]);
    return sum;
}

inline void probe(const float* values, size_t words, float step, Probe& out) {
    for (size_t w = 0; w < words; w++) {
        uint64_t bits = 0, ones = 0, twos = 0;
        for (size_t i = 0; i < 64; i++) {
            const float value = values[64 * w + i];
            const float away = std::fabs(value);
            const bool some = away >= 0.5f * step, more = away >= 1.5f * step, most = away >= 2.5f * step;
            bits |= static_cast<uint64_t>(std::signbit(value)) << i;
            ones |= static_cast<uint64_t>((some && !more) || most) << i;
            twos |= static_cast<uint64_t>(more) << i;
        }
        out.bits[w] = bits;
        out.ones[w] = ones;
        out.twos[w] = twos;
    }
}

inline uint32_t weigh_word(uint64_t bits, const Probe& probe, size_t word) {
    const uint64_t differing = bits ^ probe.bits[word];
    return popcount(differing & probe.ones[word]) + 2 * popcount(differing & probe.twos[word]);
}

inline uint32_t weigh(const uint64_t* bits, const Probe& probe, size_t words) {
    uint32_t sum = 0;
    for (size_t i = 0; i < words; i++) sum += weigh_word(bits[i], probe, i);
    return sum;
}

inline void weigh_groups(const uint64_t* groups, size_t n, const Probe& probe, size_t word, bool add,
                         uint8_t* weights) {
    for (size_t g = 0; g < n; g++, groups += kGroupWords) {
        for (size_t j = 0; j < kGroupSlots; j++, weights++) {
            uint32_t weight = weigh_word(groups[j], probe, word) + weigh_word(groups[j + kGroupSlots], probe, word + 1);
            if (add) weight += *weights;
            *weights = static_cast<uint8_t>(weight < 255 ? weight : 255);
        }
    }
}

inline size_t at_most(const uint8_t* weights, size_t n, uint8_t limit, uint32_t* out) {
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        if (weights[i] <= limit) out[found++] = static_cast<uint32_t>(i);
    return found;
}

inline void hadamard(float* values, size_t n) {
    for (size_t half = 1; half < n; half *= 2) {
        for (size_t start = 0; start < n; start += 2 * half) {
            for (size_t i = start; i < start + half; i++) {
                float a = values[i], b = values[i + half];
                values[i] = a + b;
                values[i + half] = a - b;
            }
        }
    }
}

inline constexpr Kernels kernels = {"baseline", dot, dot_codes, hamming, weigh, probe, weigh_groups, at_most, hadamard};

}  // namespace baseline
}  // namespace medha
