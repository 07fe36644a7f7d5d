// How far apart two texts are: restricted edit distance up to two, and the ratio of their longest common part.
// Equal to rapidfuzz's OSA.distance and fuzz.ratio, which the Python twin uses.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text.hpp"

namespace medha::guard {

using Points = std::vector<Py_UCS4>;

inline void decode_into(std::string_view text, Points& out) {
    out.clear();
    for (size_t i = 0; i < text.size();) {
        const text::Code code = text::decode(text.data(), i);
        out.push_back(code.value);
        i += code.width;
    }
}

// Edits (a letter more, less, other, or two neighbours exchanged) between two texts; `limit + 1` where there
// are more than `limit`, which is at most 2. Time is linear in the length: only a band can matter.
template <class Text>
size_t edits(const Text& a, const Text& b, size_t limit) {
    const size_t n = a.size(), m = b.size();
    if ((n > m ? n - m : m - n) > limit) return limit + 1;
    constexpr int BAND = 2, WIDTH = 2 * BAND + 1;
    constexpr size_t FAR = 1u << 20;
    // rows[k][d]: edits between a[:i - k] and b[:i - k + d - BAND]
    size_t rows[3][WIDTH];
    for (auto& row : rows) std::fill(row, row + WIDTH, FAR);
    for (int d = BAND; d < WIDTH; ++d) rows[0][d] = static_cast<size_t>(d - BAND);
    for (size_t i = 1; i <= n; ++i) {
        std::copy(rows[1], rows[1] + WIDTH, rows[2]);
        std::copy(rows[0], rows[0] + WIDTH, rows[1]);
        size_t best = FAR;
        for (int d = 0; d < WIDTH; ++d) {
            rows[0][d] = FAR;
            if (i + d < static_cast<size_t>(BAND) || i + d - BAND > m) continue;
            const size_t j = i + d - BAND;
            size_t least = d + 1 < WIDTH ? rows[1][d + 1] + 1 : FAR;         // a letter less
            if (d > 0) least = std::min(least, rows[0][d - 1] + 1);          // a letter more
            if (j > 0) least = std::min(least, rows[1][d] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                least = std::min(least, rows[2][d] + 1);
            rows[0][d] = least;
            best = std::min(best, least);
        }
        if (best > limit) return limit + 1;
    }
    return std::min(rows[0][BAND + static_cast<int>(m) - static_cast<int>(n)], limit + 1);
}

inline bool is_ascii(std::string_view text) {
    unsigned char seen = 0;
    for (const char c : text) seen |= static_cast<unsigned char>(c);
    return seen < 0x80;
}

inline size_t edits_of(std::string_view a, std::string_view b, size_t limit) {
    if (is_ascii(a) && is_ascii(b)) return edits(a, b, limit);
    Points first, second;
    decode_into(a, first);
    decode_into(b, second);
    return edits(first, second, limit);
}

// Length of the longest common subsequence (Hyyroe's bit-parallel algorithm).
inline size_t common_length(const Points& a, const Points& b) {
    if (a.empty() || b.empty()) return 0;
    const size_t words = (a.size() + 63) / 64;
    std::vector<uint64_t> ascii(128 * words, 0);
    std::unordered_map<Py_UCS4, std::vector<uint64_t>> others;
    for (size_t i = 0; i < a.size(); ++i) {
        const uint64_t bit = uint64_t{1} << (i % 64);
        if (a[i] < 128) {
            ascii[a[i] * words + i / 64] |= bit;
        } else {
            auto& row = others[a[i]];
            row.resize(words);
            row[i / 64] |= bit;
        }
    }
    std::vector<uint64_t> state(words, ~uint64_t{0});
    for (const Py_UCS4 c : b) {
        const uint64_t* matches = nullptr;
        if (c < 128) {
            matches = &ascii[c * words];
        } else {
            const auto found = others.find(c);
            if (found == others.end()) continue;
            matches = found->second.data();
        }
        uint64_t carry = 0;
        for (size_t w = 0; w < words; ++w) {
            const uint64_t s = state[w], hit = s & matches[w];
            const uint64_t sum = s + hit, total = sum + carry;
            carry = (sum < s) | (total < sum);
            state[w] = total | (s - hit);
        }
    }
    size_t common = 0;
    for (size_t i = 0; i < a.size(); ++i) common += !((state[i / 64] >> (i % 64)) & 1);
    return common;
}

// 0..1: twice the longest common part, by the length of both.
inline double ratio(const Points& a, const Points& b) {
    const double total = static_cast<double>(a.size() + b.size());
    if (total == 0) return 1.0;
    const double distance = total - 2.0 * static_cast<double>(common_length(a, b));
    return (1.0 - distance / total) * 100.0 / 100.0;
}

}  // namespace medha::guard
