// XXH3, 128 bits, seed 0, default secret. Written from the published specification
// (xxHash, "doc/xxhash_spec.md", section XXH3); every constant is named as it is there.
// Little-endian hosts only: what the wheels are built for.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(_MSC_VER)
#include <intrin.h>
#endif

namespace medha {

struct Key128 {
    uint64_t low = 0;
    uint64_t high = 0;
    bool operator==(const Key128& other) const { return low == other.low && high == other.high; }
};

namespace xxh3 {

constexpr uint64_t PRIME32_1 = 0x9E3779B1u, PRIME32_2 = 0x85EBCA77u, PRIME32_3 = 0xC2B2AE3Du;
constexpr uint64_t PRIME64_1 = 0x9E3779B185EBCA87u, PRIME64_2 = 0xC2B2AE3D27D4EB4Fu;
constexpr uint64_t PRIME64_3 = 0x165667B19E3779F9u, PRIME64_4 = 0x85EBCA77C2B2AE63u;
constexpr uint64_t PRIME64_5 = 0x27D4EB2F165667C5u;
constexpr uint64_t PRIME_MX1 = 0x165667919E3779F9u, PRIME_MX2 = 0x9FB21C651E98DF25u;

constexpr uint8_t SECRET[192] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

inline uint64_t read32(const uint8_t* p) {
    uint32_t value;
    std::memcpy(&value, p, 4);
    return value;
}

inline uint64_t read64(const uint8_t* p) {
    uint64_t value;
    std::memcpy(&value, p, 8);
    return value;
}

inline uint64_t swap64(uint64_t x) {
    x = ((x & 0x00FF00FF00FF00FFu) << 8) | ((x >> 8) & 0x00FF00FF00FF00FFu);
    x = ((x & 0x0000FFFF0000FFFFu) << 16) | ((x >> 16) & 0x0000FFFF0000FFFFu);
    return (x << 32) | (x >> 32);
}

inline Key128 multiply(uint64_t a, uint64_t b) {
#if defined(_MSC_VER) && defined(_M_ARM64)
    return {a * b, __umulh(a, b)};
#elif defined(_MSC_VER)
    Key128 product;
    product.low = _umul128(a, b, &product.high);
    return product;
#else
    const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
    return {static_cast<uint64_t>(product), static_cast<uint64_t>(product >> 64)};
#endif
}

inline uint64_t multiply_fold(uint64_t a, uint64_t b) {
    const Key128 product = multiply(a, b);
    return product.low ^ product.high;
}

inline uint64_t avalanche(uint64_t x) {
    x = (x ^ (x >> 37)) * PRIME_MX1;
    return x ^ (x >> 32);
}

inline uint64_t avalanche_xxh64(uint64_t x) {
    x = (x ^ (x >> 33)) * PRIME64_2;
    x = (x ^ (x >> 29)) * PRIME64_3;
    return x ^ (x >> 32);
}

inline Key128 hash_0() {
    return {avalanche_xxh64(read64(SECRET + 64) ^ read64(SECRET + 72)),
            avalanche_xxh64(read64(SECRET + 80) ^ read64(SECRET + 88))};
}

inline Key128 hash_1_to_3(const uint8_t* in, uint64_t n) {
    const uint64_t combined = in[n - 1] | (n << 8) | (uint64_t(in[0]) << 16) | (uint64_t(in[n >> 1]) << 24);
    const uint32_t swapped = static_cast<uint32_t>(swap64(combined) >> 32);
    const uint64_t rotated = static_cast<uint32_t>((swapped << 13) | (swapped >> 19));
    return {avalanche_xxh64((read32(SECRET) ^ read32(SECRET + 4)) ^ combined),
            avalanche_xxh64((read32(SECRET + 8) ^ read32(SECRET + 12)) ^ rotated)};
}

inline Key128 hash_4_to_8(const uint8_t* in, uint64_t n) {
    const uint64_t both = read32(in) | (read32(in + n - 4) << 32);
    Key128 h = multiply(both ^ read64(SECRET + 16) ^ read64(SECRET + 24), PRIME64_1 + (n << 2));
    h.high += h.low << 1;
    h.low ^= h.high >> 3;
    h.low = (h.low ^ (h.low >> 35)) * PRIME_MX2;
    return {h.low ^ (h.low >> 28), avalanche(h.high)};
}

inline Key128 hash_9_to_16(const uint8_t* in, uint64_t n) {
    const uint64_t first = read64(in);
    uint64_t last = read64(in + n - 8);
    Key128 m = multiply(first ^ last ^ read64(SECRET + 32) ^ read64(SECRET + 40), PRIME64_1);
    m.low += (n - 1) << 54;
    last ^= read64(SECRET + 48) ^ read64(SECRET + 56);
    m.high += last + (last & 0xFFFFFFFFu) * (PRIME32_2 - 1);
    m.low ^= swap64(m.high);
    Key128 h = multiply(m.low, PRIME64_2);
    h.high += m.high * PRIME64_2;
    return {avalanche(h.low), avalanche(h.high)};
}

inline uint64_t mix_16(const uint8_t* in, const uint8_t* secret) {
    return multiply_fold(read64(in) ^ read64(secret), read64(in + 8) ^ read64(secret + 8));
}

inline void mix_32(Key128& acc, const uint8_t* a, const uint8_t* b, const uint8_t* secret) {
    acc.low = (acc.low + mix_16(a, secret)) ^ (read64(b) + read64(b + 8));
    acc.high = (acc.high + mix_16(b, secret + 16)) ^ (read64(a) + read64(a + 8));
}

inline Key128 finish_middle(const Key128& acc, uint64_t n) {
    const uint64_t high = acc.low * PRIME64_1 + acc.high * PRIME64_4 + n * PRIME64_2;
    return {avalanche(acc.low + acc.high), 0 - avalanche(high)};
}

inline Key128 hash_17_to_128(const uint8_t* in, uint64_t n) {
    Key128 acc{n * PRIME64_1, 0};
    for (uint64_t i = (n - 1) / 32 + 1; i-- > 0;)
        mix_32(acc, in + 16 * i, in + n - 16 * (i + 1), SECRET + 32 * i);
    return finish_middle(acc, n);
}

inline Key128 hash_129_to_240(const uint8_t* in, uint64_t n) {
    Key128 acc{n * PRIME64_1, 0};
    for (uint64_t i = 0; i < 4; ++i) mix_32(acc, in + 32 * i, in + 32 * i + 16, SECRET + 32 * i);
    acc = {avalanche(acc.low), avalanche(acc.high)};
    for (uint64_t i = 4; i < n / 32; ++i)
        mix_32(acc, in + 32 * i, in + 32 * i + 16, SECRET + 3 + 32 * (i - 4));
    mix_32(acc, in + n - 16, in + n - 32, SECRET + 103);
    return finish_middle(acc, n);
}

inline void accumulate(uint64_t* acc, const uint8_t* in, const uint8_t* secret) {
    for (int i = 0; i < 8; ++i) {
        const uint64_t value = read64(in + 8 * i);
        const uint64_t keyed = value ^ read64(secret + 8 * i);
        acc[i ^ 1] += value;
        acc[i] += (keyed & 0xFFFFFFFFu) * (keyed >> 32);
    }
}

inline void scramble(uint64_t* acc) {
    for (int i = 0; i < 8; ++i)
        acc[i] = (acc[i] ^ (acc[i] >> 47) ^ read64(SECRET + 128 + 8 * i)) * PRIME32_1;
}

inline uint64_t merge(const uint64_t* acc, const uint8_t* secret, uint64_t result) {
    for (int i = 0; i < 4; ++i)
        result += multiply_fold(acc[2 * i] ^ read64(secret + 16 * i), acc[2 * i + 1] ^ read64(secret + 16 * i + 8));
    return avalanche(result);
}

inline Key128 hash_long(const uint8_t* in, uint64_t n) {
    uint64_t acc[8] = {PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1};
    const uint64_t stripes = (n - 1) / 64;
    for (uint64_t i = 0; i < stripes; ++i) {
        accumulate(acc, in + 64 * i, SECRET + 8 * (i % 16));
        if (i % 16 == 15) scramble(acc);
    }
    accumulate(acc, in + n - 64, SECRET + 121);
    return {merge(acc, SECRET + 11, n * PRIME64_1), merge(acc, SECRET + 117, ~(n * PRIME64_2))};
}

inline Key128 hash(const void* data, uint64_t n) {
    const uint8_t* in = static_cast<const uint8_t*>(data);
    if (n > 240) return hash_long(in, n);
    if (n > 128) return hash_129_to_240(in, n);
    if (n > 16) return hash_17_to_128(in, n);
    if (n > 8) return hash_9_to_16(in, n);
    if (n > 3) return hash_4_to_8(in, n);
    return n ? hash_1_to_3(in, n) : hash_0();
}

// The canonical form: high half first, each half big-endian.
inline void write_digest(const Key128& key, char* out) {
    const uint64_t halves[2] = {swap64(key.high), swap64(key.low)};
    std::memcpy(out, halves, 16);
}

inline Key128 read_digest(const char* in) {
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(in);
    return {swap64(read64(bytes + 8)), swap64(read64(bytes))};
}

}  // namespace xxh3
}  // namespace medha
