// A word with what tells at a glance that another one is more than two edits away: most are, and a vocabulary
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
    bool may_be_slip_for(const Spelt& other) const {
        const uint32_t width = is_ascii && other.is_ascii ? 1 : 4;
        const uint32_t longer = size > other.size ? size - other.size : other.size - size;
        return longer <= 2 * width && bits(letters ^ other.letters) <= 4 * width;
    }

  private:
    static uint32_t bits(uint64_t x) {
        uint32_t found = 0;
        for (; x && found <= 16; x &= x - 1) ++found;
        return found;
    }
};

}  // namespace medha::guard
