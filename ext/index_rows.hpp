// The slot-ordered sections: label, unit vector, sign bits, interleaved prefixes. Each is one contiguous,
// page-aligned stretch without pointers inside, so that a file can be mapped over its start.
#pragma once

#include "index_bits.hpp"
#include "index_region.hpp"

namespace medha {

// A vector ready to be written or searched: unit length, padded with zeros to whole registers, with its bits.
struct Encoded {
    std::vector<float> vector, scratch;
    Probe probe;
};

class Rows {
  public:
    Rows(size_t dimension, const Kernels& kernels)
        : kernels(kernels), hash(dimension), dimension_(dimension), width_((dimension + 15) / 16 * 16) {}

    const Kernels& kernels;
    const SignBits hash;

    size_t dimension() const { return dimension_; }
    size_t width() const { return width_; }
    size_t capacity() const { return capacity_; }
    size_t bytes() const { return labels_.size() + vectors_.size() + bits_.size() + prefixes_[0].size() + prefixes_[1].size(); }

    uint64_t& label(size_t slot) const { return reinterpret_cast<uint64_t*>(labels_.data())[slot]; }
    float* vector(size_t slot) const { return reinterpret_cast<float*>(vectors_.data()) + slot * width_; }
    uint64_t* bits(size_t slot) const { return reinterpret_cast<uint64_t*>(bits_.data()) + slot * hash.words(); }
    // Bits 0 to 127 and 128 to 255 of every slot; the second is null where vectors have 128 bits only.
    const uint64_t* low_prefixes() const { return reinterpret_cast<const uint64_t*>(prefixes_[0].data()); }
    const uint64_t* high_prefixes() const { return reinterpret_cast<const uint64_t*>(prefixes_[1].data()); }

    void reserve(size_t slots) {
        if (slots <= capacity_) return;
        const size_t ahead = std::max(slots, kSlotsAhead);
        labels_.grow(slots * sizeof(uint64_t), ahead * sizeof(uint64_t));
        vectors_.grow(slots * width_ * sizeof(float), ahead * width_ * sizeof(float));
        bits_.grow(slots * hash.words() * 8, ahead * hash.words() * 8);
        for (size_t part = 0; part < prefix_parts(); part++)
            prefixes_[part].grow((slots + kGroupSlots) * 16, (ahead + kGroupSlots) * 16);
        capacity_ = slots;
    }

    void write_to(SectionWriter& out, size_t slots) const {
        out.write(kLabels, labels_.data(), slots * sizeof(uint64_t));
        out.write(kVectors, vectors_.data(), slots * width_ * sizeof(float));
        out.write(kSignBits, bits_.data(), slots * hash.words() * 8);
        const size_t groups = (slots + kGroupSlots - 1) / kGroupSlots;
        for (size_t part = 0; part < 2; part++)
            out.write(part == 0 ? kLowPrefixes : kHighPrefixes, prefixes_[part].data(),
                      part < prefix_parts() ? groups * kGroupWords * 8 : 0);
    }

    // Fills the empty rows; later growth leaves them where they are until there are twice as many.
    void load(const File& file, const Stretch* stretches, size_t slots, Access access) {
        const size_t ahead = std::max(2 * slots, kSlotsAhead);
        labels_.load(file, stretches[kLabels], ahead * sizeof(uint64_t), access);
        vectors_.load(file, stretches[kVectors], ahead * width_ * sizeof(float), access);
        bits_.load(file, stretches[kSignBits], ahead * hash.words() * 8, access);
        for (size_t part = 0; part < prefix_parts(); part++)
            prefixes_[part].load(file, stretches[part == 0 ? kLowPrefixes : kHighPrefixes],
                                 (ahead + kGroupSlots) * 16, access);
        capacity_ = slots;
    }

    // Length of the vector, or 0 if it is zero or holds something that is not a number.
    double norm(const float* vector) const {
        if (dimension_ == width_) {
            // Squares of ordinary sizes neither overflow nor vanish in float32; others are summed again in float64.
            float squares = kernels.dot(vector, vector, width_);
            if (squares > 1e-20f && squares < 1e30f) return std::sqrt(static_cast<double>(squares));
        }
        double squares = 0;
        for (size_t i = 0; i < dimension_; i++) squares += static_cast<double>(vector[i]) * vector[i];
        return std::isfinite(squares) ? std::sqrt(squares) : 0;
    }

    // False if the vector has no direction.
    bool encode(const float* vector, Encoded& out) const {
        double length = norm(vector);
        if (length == 0) return false;
        out.vector.resize(width_);
        out.scratch.resize(hash.padded());
        for (size_t i = 0; i < dimension_; i++) out.vector[i] = static_cast<float>(vector[i] / length);
        for (size_t i = dimension_; i < width_; i++) out.vector[i] = 0;
        hash(kernels, out.vector.data(), dimension_, out.scratch.data(), out.probe);
        return true;
    }

    void write(size_t slot, uint64_t new_label, const Encoded& row) {
        label(slot) = new_label;
        std::memcpy(vector(slot), row.vector.data(), width_ * sizeof(float));
        std::memcpy(bits(slot), row.probe.bits, hash.words() * 8);
        write_prefixes(slot);
    }

    void move(size_t from, size_t to) {
        if (from == to) return;
        label(to) = label(from);
        std::memcpy(vector(to), vector(from), width_ * sizeof(float));
        std::memcpy(bits(to), bits(from), hash.words() * 8);
        write_prefixes(to);
    }

  private:
    static constexpr size_t kSlotsAhead = size_t{1} << 20;
    size_t dimension_, width_, capacity_ = 0;
    Region labels_, vectors_, bits_, prefixes_[2];

    size_t prefix_parts() const { return hash.bits() == 128 ? 1 : 2; }

    void write_prefixes(size_t slot) {
        for (size_t part = 0; part < prefix_parts(); part++) {
            auto* words = reinterpret_cast<uint64_t*>(prefixes_[part].data());
            words += slot / kGroupSlots * kGroupWords + slot % kGroupSlots;
            words[0] = bits(slot)[2 * part];
            words[kGroupSlots] = bits(slot)[2 * part + 1];
        }
    }
};

}  // namespace medha
