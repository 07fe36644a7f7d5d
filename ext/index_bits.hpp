// Sign bits of vectors, and how far apart the bits of two close vectors may lie.
//
// Bits: the vector is padded with zeros to a power of two and rotated by three rounds of (random signs, Hadamard
// transform) with fixed seeds; the bits are the signs of the first 128, 256 or 512 coordinates. Such a rotation
// acts like a random one at n log n cost (Ailon and Chazelle 2009; three rounds: Andoni et al. 2015), so that
// each bit is the side of a random hyperplane on which the vector lies, whatever the data: no centring, no
// training, and nothing to revise when the data drifts.
//
// Weights: a hyperplane far from the query seldom separates it from a close vector, one through the query does as
// often as not. So a differing bit weighs by how far the query lies from its hyperplane: 0 to 3, the distance in
// steps of kWeightStep and rounded, where 1 is the usual distance. 128 weighed bits tell as much as 256 counted ones.
//
// Radius: the distances of two unit vectors at angle theta from a random hyperplane, scaled so that 1 is usual, are
// two standard normal variables with correlation cos(theta). So a bit adds the weight w to the sum with the probability
//     integral over the distances g that weigh w of 2 phi(g) Phi(-g / tan(theta)),
// and the sum over n bits is distributed as n independent such weights for independent hyperplanes, and no wider
// for the orthogonal ones used here (shown for counted bits by Ji et al. 2012; for weighed ones the tests measure it).
// The radius for a cosine t is the smallest r such that the sum is above r with probability delta at most: an entry whose
// score is exactly t is lost with probability delta at most, and one above it with far less, because its bits differ
// less often. A scan looks at a prefix and at all bits; each gets half of kMissProbability.
#pragma once

#include <atomic>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels.hpp"

namespace medha {

constexpr double kMissProbability = 1e-6;
// Bits in a file are those of this rotation; what they weigh is the query's matter, and no file says it.
constexpr uint64_t kRotationSeed = 0x6d65646861ull;

constexpr double kWeightStep = 0.6;
constexpr uint32_t kMostWeight = 3;

// How often a bit of two vectors of this cosine differs and weighs 0 (or does not differ), 1, 2, 3.
inline std::vector<double> weights_of_a_bit(double cosine) {
    const double slope = cosine / std::sqrt(std::fmax(0.0, 1 - cosine * cosine));
    auto density = [&](double g) {
        const double phi = 0.3989422804014327 * std::exp(-g * g / 2);
        return phi * std::erfc(slope * g * 0.7071067811865476);  // 2 phi(g) Phi(-slope g)
    };
    std::vector<double> often(kMostWeight + 1);
    for (uint32_t w = 1; w <= kMostWeight; w++) {
        // Simpson's rule; the last weight goes on to where nothing is left.
        const double from = (w - 0.5) * kWeightStep, to = w < kMostWeight ? from + kWeightStep : from + 7;
        const int steps = w < kMostWeight ? 64 : 512;
        const double h = (to - from) / steps;
        for (int i = 0; i <= steps; i++)
            often[w] += density(from + i * h) * (i == 0 || i == steps ? 1 : i % 2 ? 4 : 2) * h / 3;
    }
    often[0] = 1 - often[1] - often[2] - often[3];
    return often;
}

// The smallest r with P(weights of `bits` differing bits add up to more than r) <= miss; `bits` is a power of two.
inline uint32_t bit_radius(double cosine, uint32_t bits, double miss) {
    if (cosine >= 1) return 0;
    if (cosine <= -1) return kMostWeight * bits;
    std::vector<double> often = weights_of_a_bit(cosine), twice;
    for (uint32_t n = 1; n < bits; n *= 2) {
        twice.assign(2 * often.size() - 1, 0);
        for (size_t i = 0; i < often.size(); i++)
            for (size_t j = 0; j < often.size(); j++) twice[i + j] += often[i] * often[j];
        // Sums that never happen would only make the next round longer.
        while (twice.back() < 1e-20) twice.pop_back();
        often.swap(twice);
    }
    double tail = 0;
    for (size_t r = often.size() - 1; r > 0; r--) {
        tail += often[r];
        if (tail > miss) return static_cast<uint32_t>(r);
    }
    return 0;
}

// bit_radius() for one number of bits, kept once asked for: cosines are rounded down, so the radius is never too
// small. Threads may ask at the same time; they find the same.
class RadiusTable {
  public:
    uint32_t operator()(float score) const {
        // A score is a rounded sum of products: what rounding may take off is given back.
        double steps = (static_cast<double>(score) - 1e-5 + 1.0) * kSteps / 2;
        const int step = steps <= 0 ? 0 : steps >= kSteps ? kSteps : static_cast<int>(steps);
        const uint16_t known = radius_and_one_[step].load(std::memory_order_relaxed);
        if (known) return known - 1u;
        const uint32_t radius = bit_radius(2.0 * step / kSteps - 1.0, bits_, kMissProbability / 2);
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

    // `scratch` holds padded() floats; `vector` is of unit length and holds `n`, the rest being zero.
    void operator()(const Kernels& kernels, const float* vector, size_t n, float* scratch, Probe& out) const {
        for (size_t i = 0; i < n; i++) scratch[i] = vector[i] * signs_[i];
        for (size_t i = n; i < padded_; i++) scratch[i] = 0;
        kernels.hadamard(scratch, padded_);
        for (size_t round = 1; round < kRounds; round++) {
            const float* signs = signs_.data() + round * padded_;
            for (size_t i = 0; i < padded_; i++) scratch[i] *= signs[i];
            kernels.hadamard(scratch, padded_);
        }
        // Three rounds that do not scale: where 1 was the usual distance, padded() is.
        kernels.probe(scratch, words(), static_cast<float>(kWeightStep * static_cast<double>(padded_)), out);
    }

  private:
    static constexpr size_t kRounds = 3;
    size_t bits_, padded_;
    std::vector<float> signs_;

    // splitmix64 (Steele, Lea, Flood, 2014).
    static uint64_t next(uint64_t& state) {
        uint64_t x = state += 0x9e3779b97f4a7c15ull;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
        return x ^ (x >> 31);
    }
};

}  // namespace medha
