// A word with what tells at a glance that another one is more than an edit or two away: most are, and a vocabulary
// has tens of thousands.
#pragma once

#include <cstdint>

#include "guard_symbols.hpp"

namespace medha::guard {

struct Spelt {
    const Symbol* word;
    uint64_t letters = 0;  // one bit for each byte in it, of 64 kinds
    uint32_t size;
    bool is_ascii = true;

    explicit Spelt(const Symbol* text) : word(text), size(static_cast<uint32_t>(text->text().size())) {
        for (const char c : text->text()) {
            letters |= uint64_t{1} << (static_cast<uint8_t>(c) & 63);
            is_ascii = is_ascii && static_cast<uint8_t>(c) < 0x80;
        }
    }

    // An edit takes at most one code point away and brings one; a code point has at most four bytes.
    bool may_be_within(uint32_t edits, const Spelt& other) const {
        const uint32_t most = edits * (is_ascii && other.is_ascii ? 1 : 4);
        const uint32_t longer = size > other.size ? size - other.size : other.size - size;
        return longer <= most && bits(letters ^ other.letters) <= 2 * most;
    }

  private:
    static uint32_t bits(uint64_t x) {
        x -= (x >> 1) & 0x5555555555555555u;
        x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
        return static_cast<uint32_t>((((x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u) >> 56);
    }
};

}  // namespace medha::guard
