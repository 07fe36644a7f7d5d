// What the graph keeps of a vector, and the distance between two of them: hnswlib's SpaceInterface over our
// kernels. hnswlib's own spaces choose their instructions when they are compiled, ours when they run.
#pragma once

#include <memory>

#include "hnswlib/hnswlib.h"
#include "index_rows.hpp"

namespace medha {

enum class Quantization { kFloat32 = 0, kInt8 = 1, kBinary = 2 };

class Space : public hnswlib::SpaceInterface<float> {
  public:
    void* get_dist_func_param() override { return this; }
    // Writes get_data_size() bytes for a unit vector of padded width and its sign bits.
    virtual void encode(const float* vector, const uint64_t* bits, char* out) const = 0;
    // How many candidates get an exact score so that the best k are among them.
    virtual size_t candidates(size_t k, size_t ef) const = 0;
};

class FloatSpace : public Space {
  public:
    explicit FloatSpace(const Rows& rows) : kernels_(rows.kernels), width_(rows.width()) {}
    size_t get_data_size() override { return width_ * sizeof(float); }
    hnswlib::DISTFUNC<float> get_dist_func() override { return distance; }
    size_t candidates(size_t k, size_t) const override { return k; }
    void encode(const float* vector, const uint64_t*, char* out) const override {
        std::memcpy(out, vector, width_ * sizeof(float));
    }

  private:
    const Kernels& kernels_;
    size_t width_;

    static float distance(const void* a, const void* b, const void* space) {
        const auto& self = *static_cast<const FloatSpace*>(static_cast<const Space*>(space));
        return 1.0f - self.kernels_.dot(static_cast<const float*>(a), static_cast<const float*>(b), self.width_);
    }
};

// Scalar codes: each coordinate in steps of its vector's largest coordinate / 127, then the size of that step.
class CodeSpace : public Space {
  public:
    explicit CodeSpace(const Rows& rows)
        : kernels_(rows.kernels), dimension_(rows.dimension()), codes_((rows.dimension() + 63) / 64 * 64) {}
    size_t get_data_size() override { return codes_ + sizeof(float); }
    hnswlib::DISTFUNC<float> get_dist_func() override { return distance; }
    size_t candidates(size_t k, size_t) const override { return 2 * k + 8; }

    void encode(const float* vector, const uint64_t*, char* out) const override {
        float largest = 0;
        for (size_t i = 0; i < dimension_; i++) largest = std::max(largest, std::fabs(vector[i]));
        const float step = largest / 127.0f, per_step = 127.0f / largest;
        auto* codes = reinterpret_cast<int8_t*>(out);
        for (size_t i = 0; i < dimension_; i++) codes[i] = static_cast<int8_t>(std::lrintf(vector[i] * per_step));
        std::memset(codes + dimension_, 0, codes_ - dimension_);
        std::memcpy(out + codes_, &step, sizeof step);
    }

  private:
    const Kernels& kernels_;
    size_t dimension_, codes_;

    static float distance(const void* a, const void* b, const void* space) {
        const auto& self = *static_cast<const CodeSpace*>(static_cast<const Space*>(space));
        const auto* x = static_cast<const int8_t*>(a);
        const auto* y = static_cast<const int8_t*>(b);
        float step_x, step_y;
        std::memcpy(&step_x, x + self.codes_, sizeof step_x);
        std::memcpy(&step_y, y + self.codes_, sizeof step_y);
        return 1.0f - step_x * step_y * static_cast<float>(self.kernels_.dot_codes(x, y, self.codes_));
    }
};

class BitSpace : public Space {
  public:
    explicit BitSpace(const Rows& rows) : kernels_(rows.kernels), words_(rows.hash.words()) {}
    size_t get_data_size() override { return words_ * sizeof(uint64_t); }
    hnswlib::DISTFUNC<float> get_dist_func() override { return distance; }
    size_t candidates(size_t, size_t ef) const override { return ef; }
    void encode(const float*, const uint64_t* bits, char* out) const override {
        std::memcpy(out, bits, words_ * sizeof(uint64_t));
    }

  private:
    const Kernels& kernels_;
    size_t words_;

    static float distance(const void* a, const void* b, const void* space) {
        const auto& self = *static_cast<const BitSpace*>(static_cast<const Space*>(space));
        return static_cast<float>(
            self.kernels_.hamming(static_cast<const uint64_t*>(a), static_cast<const uint64_t*>(b), self.words_));
    }
};

inline std::unique_ptr<Space> make_space(const Rows& rows, Quantization quantization) {
    switch (quantization) {
        case Quantization::kFloat32: return std::make_unique<FloatSpace>(rows);
        case Quantization::kBinary: return std::make_unique<BitSpace>(rows);
        default: return std::make_unique<CodeSpace>(rows);
    }
}

}  // namespace medha
