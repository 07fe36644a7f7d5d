// Sign bits of vectors, and how far apart the bits of two close vectors may lie.
//
// Bits: the vector is padded with zeros to a power of two and rotated by three rounds of (random signs, Hadamard
// transform) with fixed seeds; the bits are the signs of the first 128, 256 or 512 coordinates. Such a rotation
// acts like a random one at n log n cost (Ailon and Chazelle 2009; three rounds: Andoni et al. 2015), so that
// each bit is the side of a random hyperplane on which the vector lies, whatever the data: no centring, no
// training, and nothing to revise when the data drifts.
//
// Radius: a random hyperplane separates two vectors at angle theta with probability p = theta / pi (Goemans and
// Williamson 1995). Over n bits the Hamming distance is then distributed as Binomial(n, p) for independent
// hyperplanes, and no wider for the orthogonal ones used here (Ji et al. 2012). The radius for a cosine t is the
// smallest r with P(Binomial(n, arccos(t) / pi) > r) <= delta: an entry whose score is exactly t is lost with
// probability delta at most, and one above it with far less, because its mean is smaller and the tail falls
// exponentially (Chernoff). A scan looks at a prefix and at all bits; each gets half of kMissProbability.
#pragma once

#include <atomic>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels.hpp"

namespace medha {

constexpr double kMissProbability = 1e-6;
// Bits in a file are those of this rotation.
constexpr uint64_t kRotationSeed = 0x6d65646861ull;

// ln(n!) for n from 0 to the most bits a vector has.
inline double log_factorial(uint32_t n) {
    struct Table {
        double values[513] = {};
        Table() {
            for (int i = 2; i <= 512; i++) values[i] = values[i - 1] + std::log(static_cast<double>(i));
        }
    };
    static const Table table;
    return n <= 512 ? table.values[n] : std::lgamma(n + 1.0);
}

// The smallest r with P(Binomial(bits, arccos(cosine) / pi) > r) <= miss.
inline uint32_t hamming_radius(double cosine, uint32_t bits, double miss) {
    const double pi = 3.14159265358979323846;
    const double p = std::acos(std::fmin(1.0, std::fmax(-1.0, cosine))) / pi;
    if (p <= 0) return 0;
    if (p >= 1) return bits;
    const double log_p = std::log(p), log_q = std::log1p(-p);
    double tail = 0;
    for (uint32_t r = bits; r > 0; r--) {
        double log_ways = log_factorial(bits) - log_factorial(r) - log_factorial(bits - r);
        tail += std::exp(log_ways + r * log_p + (bits - r) * log_q);
        if (tail > miss) return r;
    }
    return 0;
}

// hamming_radius() for one number of bits, kept once asked for: cosines are rounded down, so the radius is never
// too small. Threads may ask at the same time; they find the same.
class RadiusTable {
  public:
    uint32_t operator()(float score) const {
        // A score is a rounded sum of products: what rounding may take off is given back.
        double steps = (static_cast<double>(score) - 1e-5 + 1.0) * kSteps / 2;
        const int step = steps <= 0 ? 0 : steps >= kSteps ? kSteps : static_cast<int>(steps);
        const uint16_t known = radius_and_one_[step].load(std::memory_order_relaxed);
        if (known) return known - 1u;
        const uint32_t radius = hamming_radius(2.0 * step / kSteps - 1.0, bits_, kMissProbability / 2);
        radius_and_one_[step].store(static_cast<uint16_t>(radius + 1), std::memory_order_relaxed);
        return radius;
    }

    static const RadiusTable& of(uint32_t bits) {
        static const RadiusTable small(128), middle(256), large(512);
        return bits == 128 ? small : bits == 256 ? middle : large;
    }

  private:
    static constexpr int kSteps = 1024;
    const uint32_t bits_;
    mutable std::atomic<uint16_t> radius_and_one_[kSteps + 1] = {};

    explicit RadiusTable(uint32_t bits) : bits_(bits) {}
};

class SignBits {
  public:
    explicit SignBits(size_t dimension) : bits_(dimension <= 128 ? 128 : dimension <= 256 ? 256 : 512) {
        padded_ = bits_;
        while (padded_ < dimension) padded_ *= 2;
        signs_.resize(kRounds * padded_);
        uint64_t state = kRotationSeed;
        for (float& sign : signs_) sign = next(state) >> 63 ? -1.0f : 1.0f;
    }

    uint32_t bits() const { return static_cast<uint32_t>(bits_); }
    size_t words() const { return bits_ / 64; }
    size_t padded() const { return padded_; }

    // `scratch` holds padded() floats; `vector` holds `n` of them, the rest being zero.
    void operator()(const Kernels& kernels, const float* vector, size_t n, float* scratch, uint64_t* out) const {
        for (size_t i = 0; i < n; i++) scratch[i] = vector[i] * signs_[i];
        for (size_t i = n; i < padded_; i++) scratch[i] = 0;
        kernels.hadamard(scratch, padded_);
        for (size_t round = 1; round < kRounds; round++) {
            const float* signs = signs_.data() + round * padded_;
            for (size_t i = 0; i < padded_; i++) scratch[i] *= signs[i];
            kernels.hadamard(scratch, padded_);
        }
        for (size_t w = 0; w < words(); w++) out[w] = signs_of(scratch + 64 * w);
    }

  private:
    static constexpr size_t kRounds = 3;
    size_t bits_, padded_;
    std::vector<float> signs_;

    static uint64_t signs_of(const float* values) {
        uint64_t word = 0;
        for (size_t i = 0; i < 64; i++) {
            uint32_t raw;
            std::memcpy(&raw, values + i, sizeof raw);
            word |= static_cast<uint64_t>(raw >> 31) << i;
        }
        return word;
    }

    // splitmix64 (Steele, Lea, Flood, 2014).
    static uint64_t next(uint64_t& state) {
        uint64_t x = state += 0x9e3779b97f4a7c15ull;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
        return x ^ (x >> 31);
    }
};

}  // namespace medha
