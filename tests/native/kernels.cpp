// Compares every instruction set this machine can run with the portable one, to the bit: what they say of the same
// index file must agree. Only `dot` may round differently. Prints the name of each, and what differs.
#include <cstdio>
#include <random>
#include <vector>

#include "kernels.hpp"

using namespace medha;

std::mt19937_64 random_bits(7);
bool all_agree = true;

void expect(bool agree, const Kernels& kernels, const char* function) {
    if (!agree) std::printf("%s of %s\n", function, kernels.name);
    all_agree &= agree;
}

size_t any(size_t below) { return random_bits() % below; }

uint64_t word() {
    const uint64_t some = random_bits();
    return any(4) == 0 ? 0 : any(4) == 0 ? ~uint64_t{0} : some;
}

// Usual values, and those on and next to the edges of weights.
float value(float step) {
    static std::normal_distribution<float> normal;
    const float edge = (static_cast<float>(any(3)) + 0.5f) * step;
    const float values[] = {2 * step * normal(random_bits), edge, std::nextafter(edge, 0.0f), 0, 1e30f, 1e-40f};
    return any(2) ? values[any(6)] : -values[any(6)];
}

Probe probe_of(size_t words, bool heaviest) {
    Probe probe;
    for (size_t i = 0; i < words; i++) {
        probe.bits[i] = word();
        probe.ones[i] = heaviest ? ~uint64_t{0} : word();
        probe.twos[i] = heaviest ? ~uint64_t{0} : word();
    }
    return probe;
}

void compare_words(const Kernels& a, const Kernels& b, size_t words) {
    const Probe probe = probe_of(8, any(8) == 0);
    uint64_t bits[8];
    for (size_t i = 0; i < 8; i++) bits[i] = any(8) ? word() : ~probe.bits[i];
    expect(a.hamming(bits, probe.bits, words) == b.hamming(bits, probe.bits, words), a, "hamming");
    expect(a.weigh(bits, probe, words) == b.weigh(bits, probe, words), a, "weigh");
    const float step = any(2) ? 0.6f * 512 : 1.0f;
    std::vector<float> values(64 * words);
    for (float& v : values) v = value(step);
    Probe p, q;
    a.probe(values.data(), words, step, p);
    b.probe(values.data(), words, step, q);
    expect(std::memcmp(&p, &q, sizeof p) == 0, a, "probe");
}

void compare_groups(const Kernels& a, const Kernels& b) {
    const size_t n = any(70), first = 2 * any(4);
    const Probe probe = probe_of(8, any(8) == 0);
    std::vector<uint64_t> groups(n * kGroupWords);
    for (uint64_t& w : groups) w = any(8) ? word() : ~probe.bits[first];
    std::vector<uint8_t> x(8 * n + 64), y = x;
    for (const bool add : {false, true, true}) {
        a.weigh_groups(groups.data(), n, probe, first, add, x.data());
        b.weigh_groups(groups.data(), n, probe, first, add, y.data());
        expect(x == y, a, "weigh_groups");
    }
    std::vector<uint32_t> found(8 * n), expected(8 * n);
    for (const uint8_t limit : {0, 40, 127, 128, 254, 255}) {
        found.resize(8 * n), expected.resize(8 * n);
        found.resize(a.at_most(x.data(), 8 * n, limit, found.data()));
        expected.resize(b.at_most(x.data(), 8 * n, limit, expected.data()));
        expect(found == expected, a, "at_most");
    }
}

void compare_numbers(const Kernels& a, const Kernels& b, size_t n) {
    std::vector<int8_t> x(n), y(n);
    const bool extreme = any(4) == 0;
    for (size_t i = 0; i < n; i++) {
        x[i] = static_cast<int8_t>(extreme ? 127 : static_cast<int>(any(255)) - 127);
        y[i] = static_cast<int8_t>(extreme ? -127 : static_cast<int>(any(255)) - 127);
    }
    expect(a.dot_codes(x.data(), y.data(), n) == b.dot_codes(x.data(), y.data(), n), a, "dot_codes");
    std::vector<float> v(n), w(n);
    double sum = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        v[i] = static_cast<float>(x[i]) / 127, w[i] = extreme ? v[i] : static_cast<float>(y[i]) / 127;
        sum += static_cast<double>(v[i]) * w[i], size += std::fabs(static_cast<double>(v[i]) * w[i]);
    }
    expect(std::fabs(a.dot(v.data(), w.data(), n) - sum) <= 1e-5 * size, a, "dot");
    w = v;
    a.hadamard(v.data(), n);
    b.hadamard(w.data(), n);
    expect(std::memcmp(v.data(), w.data(), n * sizeof(float)) == 0, a, "hadamard");
}

int main() {
    for (const Kernels* const* variant = runnable_kernels(); *variant; variant++) {
        for (int round = 0; round < 2000; round++) {
            for (const size_t words : {2, 4, 8}) compare_words(**variant, baseline::kernels, words);
            compare_groups(**variant, baseline::kernels);
        }
        for (int round = 0; round < 20; round++)
            for (size_t n = 64; n <= 4096; n *= 2) compare_numbers(**variant, baseline::kernels, n);
        std::puts((*variant)->name);
    }
    return all_agree ? 0 : 1;
}
