// Rows of float32: their lengths, unit rows, int8 codes. No Python here; callers hold no lock.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace medha {
namespace vectors {

// Sum of squares in double, in eight interleaved parts: the parts let compilers use vector
// instructions, and their fixed order gives the same bits for a row alone and in a batch.
inline double squared_length(const float* row, size_t dimension) {
    double parts[8] = {};
    size_t i = 0;
    for (; i + 8 <= dimension; i += 8)
        for (size_t k = 0; k < 8; ++k) parts[k] += double(row[i + k]) * double(row[i + k]);
    for (size_t k = 0; i + k < dimension; ++k) parts[k] += double(row[i + k]) * double(row[i + k]);
    return ((parts[0] + parts[4]) + (parts[2] + parts[6])) + ((parts[1] + parts[5]) + (parts[3] + parts[7]));
}

// The first row without a direction (zero, NaN or infinite), or `rows`. Squares of float32 cannot
// overflow a double, so the sum is finite exactly when every number is.
inline size_t first_bad_row(const float* data, size_t rows, size_t dimension) {
    for (size_t r = 0; r < rows; ++r) {
        const double squared = squared_length(data + r * dimension, dimension);
        if (!(squared > 0) || !std::isfinite(squared)) return r;
    }
    return rows;
}

// `out` may be `in`. Every row has a direction.
inline void to_unit_rows(const float* in, float* out, size_t rows, size_t dimension) {
    for (size_t r = 0; r < rows; ++r) {
        const float* row = in + r * dimension;
        const double factor = 1.0 / std::sqrt(squared_length(row, dimension));
        for (size_t i = 0; i < dimension; ++i) out[r * dimension + i] = float(row[i] * factor);
    }
}

inline float largest_magnitude(const float* row, size_t dimension) {
    float largest = 0;
    for (size_t i = 0; i < dimension; ++i) {
        const float magnitude = std::fabs(row[i]);
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest;
}

// Adding and subtracting 1.5 * 2^23 rounds a float below 2^22 to the nearest integer, ties to
// even, as `numpy.rint` does, in instructions that every compiler turns into vector ones.
inline int8_t rounded(float x) {
    constexpr float magic = 12582912.0f;
    const float whole = (x + magic) - magic;
    return static_cast<int8_t>(static_cast<int32_t>(whole > 127 ? 127 : whole < -127 ? -127 : whole));
}

// code * scale is the number again, to within scale / 2.
inline void quantize_int8(const float* data, size_t rows, size_t dimension, int8_t* codes, float* scales) {
    for (size_t r = 0; r < rows; ++r) {
        const float* row = data + r * dimension;
        const float scale = largest_magnitude(row, dimension) / 127.0f;
        scales[r] = scale;
        for (size_t i = 0; i < dimension; ++i)
            codes[r * dimension + i] = scale > 0 ? rounded(row[i] / scale) : int8_t(0);
    }
}

}  // namespace vectors
}  // namespace medha
