// Which pairs of words a lexicon may relate at all. Most pairs that are compared are in no relation, and asking
// the lexicon, which is Python code, takes a microsecond for each.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace medha::guard {

// One bit for each pair that was added, so "no" is certain and "yes" must be asked: of the hundred thousand
// pairs of the English lexicon, one in forty others shares a bit.
class Relatable {
  public:
    // Pairs of words, a line each.
    void add_lines(std::string_view text) {
        while (!text.empty()) {
            const std::string_view line = text.substr(0, text.find('\n'));
            const size_t space = line.find(' ');
            if (space != std::string_view::npos) add(line.substr(0, space), line.substr(space + 1));
            text.remove_prefix(std::min(text.size(), line.size() + 1));
        }
    }

    // A prefix that makes the opposite of a word, so that such a word may be the opposite of any.
    void add_negating(std::string_view prefix) { negating_.emplace_back(prefix); }

    bool pair(std::string_view a, std::string_view b) const {
        const uint64_t place = place_of(a, b);
        return bits_[place / 64] >> place % 64 & 1;
    }

    bool negates(std::string_view word) const {
        for (const std::string& prefix : negating_)
            if (word.substr(0, prefix.size()) == prefix) return true;
        return false;
    }

    // Whether one is the other behind a prefix that makes its opposite: `unfollowed`, `followed`.
    bool are_negated(std::string_view one, std::string_view other) const {
        const std::string_view shorter = one.size() < other.size() ? one : other;
        const std::string_view longer = one.size() < other.size() ? other : one;
        for (const std::string& prefix : negating_)
            if (longer.size() == prefix.size() + shorter.size() && longer.substr(0, prefix.size()) == prefix &&
                longer.substr(prefix.size()) == shorter)
                return true;
        return false;
    }

  private:
    static constexpr uint64_t BITS = uint64_t{1} << 22;

    void add(std::string_view a, std::string_view b) {
        const uint64_t place = place_of(a, b);
        bits_[place / 64] |= uint64_t{1} << place % 64;
    }

    // The same for both orders.
    static uint64_t place_of(std::string_view a, std::string_view b) {
        const std::hash<std::string_view> hash;
        const uint64_t both = (uint64_t{hash(a)} + uint64_t{hash(b)}) * 0x9E3779B97F4A7C15u;
        return both >> 32 & (BITS - 1);
    }

    std::vector<uint64_t> bits_ = std::vector<uint64_t>(BITS / 64);
    std::vector<std::string> negating_;
};

}  // namespace medha::guard
