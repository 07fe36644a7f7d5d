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

inline uint32_t stretch(const uint64_t* group, size_t j, const uint64_t* query) {
    return popcount(group[j] ^ query[0]) + popcount(group[j + kGroupSlots] ^ query[1]);
}

inline size_t near_prefixes(const uint64_t* low, const uint64_t* high, size_t first, size_t last,
                            const uint64_t* query, uint32_t radius, uint32_t* out) {
    size_t found = 0;
    for (size_t g = first; g < last; g++) {
        for (size_t j = 0; j < kGroupSlots; j++) {
            uint32_t distance = stretch(low + g * kGroupWords, j, query);
            if (high) distance += stretch(high + g * kGroupWords, j, query + 2);
            out[found] = static_cast<uint32_t>(g * kGroupSlots + j);
            found += distance <= radius;
        }
    }
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

inline constexpr Kernels kernels = {"baseline", dot, dot_codes, hamming, near_prefixes, hadamard};

}  // namespace baseline
}  // namespace medha
