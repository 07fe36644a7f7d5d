// Which leftover word of the one question stands for which of the other.
// The rules are those of medha_core/guard/pairing.py and slips.py.
#pragma once

#include "guard_edits.hpp"
#include "guard_evidence.hpp"
#include "guard_view.hpp"

namespace medha::guard {

constexpr double SYNONYM_SCORE = 0.85;
constexpr size_t SHORTEST_STEM = 4;
constexpr size_t SHORTEST_WORD = 3;
constexpr size_t TWO_SLIPS_FROM = 8;
constexpr size_t UNKNOWN_FROM = 7;

using Mapped = std::vector<std::pair<const Symbol*, const Symbol*>>;

struct Pairing {
    Difference before, left;
    Mapped mapped;  // the asked question's words and what they stand for

    const Symbol* stands_for(const Symbol* key) const {
        for (const auto& [word, meant] : mapped)
            if (word == key) return meant;
        return key;
    }
};

// Whether `wrong` is no common word and a slip or two away from `right`, which is one or is long.
inline bool is_slip(const Symbol* wrong, const Symbol* right) {
    const size_t length = right->length();
    if (length < SHORTEST_WORD || wrong == right) return false;
    const size_t own = wrong->length();
    if (own > length + 2 || length > own + 2) return false;
    if (wrong->has(COMMON) || !wrong->has(ALPHABETIC)) return false;
    const bool known = right->has(KNOWN);
    if (!known && (length < UNKNOWN_FROM || !right->has(ALPHABETIC))) return false;
    const size_t allowed = length >= TWO_SLIPS_FROM && known ? 2 : 1;
    return edits_of(wrong->text(), right->text(), allowed) <= allowed;
}

// Words of `a` that are slips for words only `b` says.
inline void corrections(const View& a, const View& b, Difference& only, Mapped& fixed) {
    fixed.clear();
    difference(a.open_words, b.open_words, only);
    for (size_t i = 0; i < only.asked.size(); ++i) {
        const Symbol* word = only.asked[i];
        if (i && only.asked[i - 1] == word) continue;
        const Symbol* meant = nullptr;
        bool unclear = false;
        for (const Symbol* other : only.stored) {
            if (other == meant || !is_slip(word, other)) continue;
            unclear = unclear || meant;
            meant = other;
        }
        if (meant && !unclear) fixed.push_back({word, meant});
    }
}

class Pairer {
  public:
    Pairer(Symbols& symbols, const Evidence& evidence) : symbols_(symbols), evidence_(evidence) {}

    // Pair leftover words as forms of one word, synonyms or learnt equals; drop those without weight.
    void pair_up(const View& a, const View& b, double score, Pairing& pairing) const {
        difference(a.keys, b.keys, pairing.before);
        pairing.left = pairing.before;
        pairing.mapped.clear();
        Keys &left = pairing.left.asked, &right = pairing.left.stored;
        for (const Symbol* key : pairing.before.asked) {
            const auto match = std::find_if(right.begin(), right.end(), [&](const Symbol* other) {
                return equivalent(key, other, score);
            });
            if (match == right.end()) continue;
            const auto known = std::find_if(pairing.mapped.begin(), pairing.mapped.end(),
                                            [&](const auto& pair) { return pair.first == key; });
            if (known == pairing.mapped.end())
                pairing.mapped.push_back({key, *match});
            else
                known->second = *match;
            left.erase(std::find(left.begin(), left.end(), key));
            right.erase(match);
        }
        drop_light(left);
        drop_light(right);
    }

    // Two leftover words that mean the opposite of each other, or nulls.
    std::pair<const Symbol*, const Symbol*> opposites(const Difference& left) const {
        for (const Symbol* x : left.asked)
            for (const Symbol* y : left.stored)
                if (x->kind() == 'w' && y->kind() == 'w' && symbols_.related(x, y, 1)) return {x, y};
        return {nullptr, nullptr};
    }

  private:
    bool equivalent(const Symbol* x, const Symbol* y, double score) const {
        if (is_near(x, y) || is_near(y, x)) return true;
        if (x->kind() != 'w' || y->kind() != 'w') return false;
        if (evidence_.keeps(x, y)) return true;
        const Symbol* stem = x->body_facts().stem;
        if (stem == y->body_facts().stem && stem->length() >= SHORTEST_STEM) return true;
        return score >= SYNONYM_SCORE && symbols_.related(x, y, 0);
    }

    bool is_near(const Symbol* x, const Symbol* y) const {
        return (x == symbols_.o_first && y == symbols_.o_earliest) || (x == symbols_.o_last && y == symbols_.o_latest) ||
               (x == symbols_.o_out_of && y == symbols_.p_from);
    }

    static void drop_light(Keys& keys) {
        const auto light = [](const Symbol* key) { return key->kind() == 'w' && key->body_has(LIGHT); };
        keys.erase(std::remove_if(keys.begin(), keys.end(), light), keys.end());
    }

    Symbols& symbols_;
    const Evidence& evidence_;
};

}  // namespace medha::guard
