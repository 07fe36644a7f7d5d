// Which leftover word of the one question stands for which of the other.
// The rules are those of medha_core/guard/pairing.py and slips.py.
#pragma once

#include "guard_edits.hpp"
#include "guard_evidence.hpp"
#include "guard_explained.hpp"
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
    Mapped mapped;     // the asked question's words and what they stand for
    Difference apart;  // what is not paired, words without weight included
    Keys idle;         // words that say nothing in these two questions

    const Symbol* stands_for(const Symbol* key) const {
        for (const auto& [word, meant] : mapped)
            if (word == key) return meant;
        return key;
    }
};

inline bool may_be_slip(const Symbol* word) { return !word->has(COMMON) && word->has(ALPHABETIC); }

inline bool is_person(const Symbol* word) {
    const Symbol* key = word->facts().key;
    return key && !word->has(CLOSED) && key->kind() == 'w' && key->body_has(PERSON);
}

// The first letters of a word, by which two may be of one root.
inline std::string_view beginning(std::string_view text) {
    size_t end = 0;
    for (size_t points = 0; points < SHORTEST_STEM && end < text.size(); ++points)
        do ++end;
        while (end < text.size() && text::is_continuation(text[end]));
    return text.substr(0, end);
}

// Whether both are words that begin alike, and only one of them is for persons: `bakers`, `bakeries`.
inline bool are_two_words(const Symbol* one, const Symbol* other) {
    return beginning(one->text()) == beginning(other->text()) && one->has(KNOWN) && is_person(one) != is_person(other);
}

// Whether `wrong` is no common word and a slip or two away from `right`, which is one or is long.
inline bool is_slip(const Symbol* wrong, const Symbol* right) {
    const size_t length = right->length();
    if (length < SHORTEST_WORD || wrong == right) return false;
    const size_t own = wrong->length();
    if (own > length + 2 || length > own + 2) return false;
    if (!may_be_slip(wrong)) return false;
    const bool known = right->has(KNOWN);
    if (!known && (length < UNKNOWN_FROM || !right->has(ALPHABETIC))) return false;
    const size_t allowed = length >= TWO_SLIPS_FROM && known ? 2 : 1;
    if (edits_of(wrong->text(), right->text(), allowed) > allowed) return false;
    return !wrong->negates(*right) && !(known && are_two_words(wrong, right));
}

// Words only one question says that are slips for words only the other says, sorted by text.
inline void corrections(const Keys& mine, const Keys& theirs, Mapped& fixed) {
    fixed.clear();
    for (auto word = mine.begin(); word != mine.end(); ++word) {
        if (!may_be_slip(*word)) continue;
        const Symbol* meant = nullptr;
        bool unclear = false;
        for (const Symbol* other : theirs) {
            if (other == meant || !is_slip(*word, other)) continue;
            unclear = unclear || meant;
            meant = other;
        }
        if (meant && !unclear && std::find(mine.begin(), word, *word) == word) fixed.push_back({*word, meant});
    }
    std::sort(fixed.begin(), fixed.end(), [](const auto& a, const auto& b) { return TextLess()(a.first, b.first); });
}

class Pairer {
  public:
    Pairer(Symbols& symbols, const Evidence& evidence) : symbols_(symbols), evidence_(evidence) {}

    // Pair leftover words as forms of one word, synonyms or learnt equals; drop those without weight.
    void pair_up(const View& a, const View& b, const Question& stored, double score, Pairing& pairing) const {
        difference(a.keys, b.keys, pairing.before);
        pairing.apart = pairing.before;
        pairing.mapped.clear();
        pairing.idle.clear();
        Keys &left = pairing.apart.asked, &right = pairing.apart.stored;
        const Agreed agree = agreed(symbols_, a, b, stored.sense);
        if (!left.empty() && !right.empty()) {
            // A deed pairs before `who` does it: the director is who directed.
            Keys order = pairing.before.asked;
            who_last(order);
            for (const Symbol* key : order) {
                const auto is_pair = [&](const Symbol* other) {
                    return is_same_by_query(symbols_, key, other, stored.sense, agree) ||
                           (!asks_for_others(key, other, a, b) && equivalent(key, other, stored, score));
                };
                const auto named = [&](const Symbol* other) { return other != symbols_.a_who && is_pair(other); };
                auto match = std::find_if(right.begin(), right.end(), named);
                if (match == right.end()) {
                    match = std::find(right.begin(), right.end(), symbols_.a_who);
                    if (match == right.end() || !is_pair(*match)) continue;
                }
                const auto known = std::find_if(pairing.mapped.begin(), pairing.mapped.end(),
                                                [&](const auto& pair) { return pair.first == key; });
                if (known == pairing.mapped.end())
                    pairing.mapped.push_back({key, *match});
                else
                    known->second = *match;
                left.erase(std::find(left.begin(), left.end(), key));
                right.erase(match);
            }
        }
        if (pairing.apart.any()) {
            find_idle(a, b, stored, pairing);
            add_explained(symbols_, a, b, stored.sense, agree, pairing.idle);
        }
        pairing.left = pairing.apart;
        drop_light(pairing.left.asked, pairing.idle);
        drop_light(pairing.left.stored, pairing.idle);
    }

    // Two leftover words that mean the opposite of each other, or nulls.
    std::pair<const Symbol*, const Symbol*> opposites(const Difference& left) const {
        for (const Symbol* x : left.asked)
            for (const Symbol* y : left.stored)
                if (x->kind() == 'w' && y->kind() == 'w' && symbols_.related(x, y, ANTONYMS)) return {x, y};
        return {nullptr, nullptr};
    }

  private:
    void who_last(Keys& keys) const {
        const Symbol* who = symbols_.a_who;
        std::stable_partition(keys.begin(), keys.end(), [&](const Symbol* key) { return key != who; });
    }

    // Whether the one question asks for persons and the other for what they do: `voters`, `votes`.
    bool asks_for_others(const Symbol* x, const Symbol* y, const View& a, const View& b) const {
        if (x != a.asks || y != b.asks || contains(a.keys, symbols_.a_who) || contains(b.keys, symbols_.a_who))
            return false;
        if (!x->body_has(NOUN) || !y->body_has(NOUN) || symbols_.related(x, y, SYNONYMS)) return false;
        return x->body_has(PERSON) != y->body_has(PERSON);
    }

    // Whether two nouns of one stem have nothing to do with each other: `state`, `station`.
    bool only_sound_alike(const Symbol* x, const Symbol* y) const {
        return x->body_has(NOUN) && y->body_has(NOUN) && !symbols_.related(x, y, RELATED);
    }

    bool equivalent(const Symbol* x, const Symbol* y, const Question& stored, double score) const {
        if (Symbols::holds(symbols_.near_operators, x, y)) return true;
        if (x == symbols_.a_who || y == symbols_.a_who) {
            const Facts& person = (x == symbols_.a_who ? y : x)->body_facts();
            if (person.flags & ANYBODY) return true;
            return (person.flags & PERSON) && std::binary_search(stored.names.begin(), stored.names.end(), person.stem);
        }
        if (x->kind() != 'w' || y->kind() != 'w') return false;
        if (evidence_.keeps(x, y)) return true;
        const Symbol* stem = x->body_facts().stem;
        if (stem == y->body_facts().stem && stem->length() >= SHORTEST_STEM && !only_sound_alike(x, y)) return true;
        if (score < SYNONYM_SCORE) return false;
        return symbols_.related(x, y, SYNONYMS) || is_derived(x, y);
    }

    // Whether two related words are of one root (`weigh`, `weight`), or one is a person who does the other.
    bool is_derived(const Symbol* x, const Symbol* y) const {
        if (!symbols_.related(x, y, RELATED)) return false;
        return beginning(x->body()) == beginning(y->body()) || does(x, y) || does(y, x);
    }
    static bool does(const Symbol* person, const Symbol* deed) {
        return person->body_has(PERSON) && deed->body_has(VERB) && !deed->body_has(PERSON);
    }

    // Words that say nothing in these two questions although they may in others.
    void find_idle(const View& a, const View& b, const Question& stored, Pairing& pairing) const {
        const auto said = [&](const Symbol* key) { return contains(a.keys, key) || contains(b.keys, key); };
        const auto any = [&](auto test) {
            return std::any_of(a.keys.begin(), a.keys.end(), test) || std::any_of(b.keys.begin(), b.keys.end(), test);
        };
        const auto is_person = [](const Symbol* key) { return key->body_has(PERSON); };
        // The one may name the value by one class, the other by another: `the state Texas`, `the city Texas`.
        if (!(has_own_class(a, b, stored) && has_own_class(b, a, stored))) {
            pairing.idle = a.classes;
            pairing.idle.insert(pairing.idle.end(), b.classes.begin(), b.classes.end());
        }
        for (const Symbol* key : b.keys) {
            // A proper noun that the stored query does without: `cities in the USA`.
            if (stored.unnamed || key->kind() != 'w' || contains(a.keys, key) || !key->body_has(PROPER)) continue;
            if (!std::binary_search(stored.names.begin(), stored.names.end(), key->body_facts().stem))
                pairing.idle.push_back(key);
        }
        if (said(symbols_.o_every) && !any([](const Symbol* key) { return key->kind() == 'o' && key->is_summing(); }))
            pairing.idle.push_back(symbols_.o_every);
        if (said(symbols_.a_much) && any([](const Symbol* key) { return key->kind() == 'w' && key->body_has(QUANTITY); }))
            pairing.idle.push_back(symbols_.a_much);
        if (stored.selects_name && said(symbols_.w_name)) pairing.idle.push_back(symbols_.w_name);
        if (said(symbols_.a_who) &&
            std::any_of(pairing.mapped.begin(), pairing.mapped.end(),
                        [&](const auto& pair) { return is_person(pair.first) || is_person(pair.second); }))
            pairing.idle.push_back(symbols_.a_who);
    }

    // Whether a class beside a value, which is not what is asked for, is said by this question only.
    static bool has_own_class(const View& one, const View& other, const Question& stored) {
        return std::any_of(one.classes.begin(), one.classes.end(), [&](const Symbol* key) {
            return key != one.asks && !contains(other.keys, key) &&
                   std::binary_search(stored.names.begin(), stored.names.end(), key->body_facts().stem);
        });
    }

    static void drop_light(Keys& keys, const Keys& idle) {
        const auto light = [&](const Symbol* key) {
            return contains(idle, key) || (key->kind() == 'w' && key->body_has(LIGHT));
        };
        keys.erase(std::remove_if(keys.begin(), keys.end(), light), keys.end());
    }

    Symbols& symbols_;
    const Evidence& evidence_;
};

}  // namespace medha::guard
