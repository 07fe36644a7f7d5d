// Superlatives that the stored query explains: `the largest state` is `the state with the largest area`.
// The rules are those of medha_core/guard/superlatives.py.
#pragma once

#include "guard_view.hpp"

namespace medha::guard {

// One way to read the superlative of a question.
struct SuperlativePlace {
    size_t superlative, noun;      // where it stands, and what it is the superlative of
    size_t drop = 0, dropped = 0;  // where words begin that only say what is measured, and how many
};

inline bool is_word_at(const Keys& keys, size_t place) { return place < keys.size() && keys[place]->kind() == 'w'; }

inline bool is_superlative(const Symbols& symbols, const Keys& keys, size_t at, const Sense& sense) {
    if (keys[at]->kind() != 'o') return false;
    if (keys[at] == symbols.o_most && is_word_at(keys, at + 1) && contains(sense.adjectives, keys[at + 1])) return true;
    return contains(sense.superlatives, keys[at]) || contains(sense.alone, keys[at]);
}

// Where `by area` begins behind a superlative; the number of keys where it does not stand there.
inline size_t by_measure(const Symbols& symbols, const Keys& keys, size_t at, const Sense& sense) {
    for (size_t i = at + 1; i + 1 < keys.size(); ++i)
        if (keys[i] == symbols.p_by && contains(sense.measured, keys[i + 1])) return i;
    return keys.size();
}

// The word before a superlative, values left out; the number of keys where there is none.
inline size_t noun_before(const Keys& keys, size_t at) {
    while (at > 0 && is_hard(keys[at - 1])) --at;
    return at > 0 && is_word_at(keys, at - 1) ? at - 1 : keys.size();
}

// The ways to read the one superlative of a question, at most two; none where there are two of it.
inline size_t superlative_places(const Symbols& symbols, const View& view, const Sense& sense,
                                 SuperlativePlace (&found)[2]) {
    const Keys& keys = view.keys;
    const size_t none = keys.size();
    size_t at = none, count = 0;
    for (size_t i = 0; i < keys.size(); ++i) {
        if (!is_superlative(symbols, keys, i, sense)) continue;
        if (at != none) return 0;
        at = i;
    }
    if (at == none) return 0;
    const size_t by = by_measure(symbols, keys, at, sense);
    if (!is_word_at(keys, at + 1)) {
        const size_t noun = by == at + 1 && by != none ? noun_before(keys, at) : none;
        if (noun != none) found[count++] = {at, noun, by, 2};
        return count;
    }
    if (keys[at] == symbols.o_most && contains(sense.adjectives, keys[at + 1])) {
        if (is_word_at(keys, at + 2)) found[count++] = {at, at + 2, at + 1, 1};
        return count;
    }
    const size_t measure = contains(sense.measured, keys[at + 1]) ? at + 1 : at + 2;
    if (is_word_at(keys, measure) && contains(sense.measured, keys[measure]) && keys[measure] != view.asks) {
        if (measure == at + 1 && is_word_at(keys, at + 2)) found[count++] = {at, at + 2, measure, 1};
        const size_t noun = noun_before(keys, at);
        if (noun != none) found[count++] = {at, noun, measure, 1};
        return count;
    }
    found[count++] = {at, at + 1, by, size_t{by != none} * 2};
    return count;
}

inline void put_in_place(const Symbols& symbols, const Keys& keys, const SuperlativePlace& place, Keys& moved) {
    moved.clear();
    for (size_t i = 0; i < keys.size(); ++i) {
        if (i == place.noun) moved.push_back(symbols.o_extreme);
        if (i != place.superlative && !(i >= place.drop && i < place.drop + place.dropped)) moved.push_back(keys[i]);
    }
}

inline void move_superlative(Symbols& symbols, const View& view, const SuperlativePlace& place, View& moved) {
    moved = view;
    put_in_place(symbols, view.keys, place, moved.keys);
    put_in_place(symbols, view.opened, place, moved.opened);
    // What is compared from here on, letter by letter too, is what the question says once it is put so.
    moved.open_words.clear();
    for (const Symbol* key : moved.keys)
        if (!is_hard(key)) moved.open_words.push_back(symbols.intern(std::string(key->body())));
}

// The views with their one superlative before its noun, where the query says that both mean the same; false
// where it does not.
inline bool settle(Symbols& symbols, const View& a, const View& b, const Sense& sense, View& asked,
                   View& stored) {
    if (sense.superlatives.empty()) return false;
    SuperlativePlace ones[2], others[2];
    const size_t first = superlative_places(symbols, a, sense, ones);
    const size_t second = first ? superlative_places(symbols, b, sense, others) : 0;
    for (size_t i = 0; i < first; ++i) {
        const SuperlativePlace& one = ones[i];
        const Symbol *superlative = a.keys[one.superlative], *noun = a.keys[one.noun];
        for (size_t j = 0; j < second; ++j) {
            if (noun != b.keys[others[j].noun] || !(one.dropped || others[j].dropped)) continue;
            if (!one.dropped && !contains(sense.alone, superlative) &&
                !(contains(sense.sizes, superlative) && contains(sense.peopled, noun)))
                continue;
            move_superlative(symbols, a, one, asked);
            move_superlative(symbols, b, others[j], stored);
            return true;
        }
    }
    return false;
}

inline bool follows(const Keys& keys, const Symbol* first, const Symbol* second) {
    for (size_t i = 0; i + 1 < keys.size(); ++i)
        if (keys[i] == first && keys[i + 1] == second) return true;
    return false;
}

// The measure whose extreme only the asked question wants, although the query has a column of that name and takes
// the extreme of another one; or null.
inline const Symbol* other_measure(const Keys& a, const Keys& b, const Question& stored) {
    const Sense& sense = stored.sense;
    if (sense.superlatives.empty()) return nullptr;
    for (size_t at = 0; at + 1 < a.size(); ++at) {
        if (!contains(sense.superlatives, a[at]) || follows(b, a[at], a[at + 1])) continue;
        size_t end = at + 1;
        while (is_word_at(a, end) && end < at + 3) ++end;
        const auto row = a.begin() + at + 1, stop = a.begin() + end;
        if (std::any_of(row, stop, [&](const Symbol* key) { return contains(sense.measured, key); })) continue;
        const auto named = std::find_if(row, stop, [&](const Symbol* key) {
            return key->body_has(QUANTITY) &&
                   std::binary_search(stored.names.begin(), stored.names.end(), key->body_facts().stem);
        });
        if (named != stop) return *named;
    }
    return nullptr;
}

}  // namespace medha::guard
