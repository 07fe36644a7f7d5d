// Words that the stored query explains. The rules are those of medha_core/guard/explained.py.
#pragma once

#include "guard_view.hpp"

namespace medha::guard {

inline bool is_generic(const Symbol* key) { return key->kind() == 'w' && key->body_has(GENERIC); }

// Whether a word of the asked question and one of the stored question are one for the stored query.
inline bool is_same_by_query(const Symbols& symbols, const Symbol* x, const Symbol* y, const Sense& sense,
                             bool by_number) {
    if (contains(sense.selected, x) && contains(sense.selected, y)) return by_number || !sense.is_number;
    if (!sense.venues.empty() &&
        ((contains(sense.venues, y) && is_generic(x)) || (contains(sense.venues, x) && is_generic(y))))
        return true;
    if (y == symbols.a_where) return contains(sense.places, x);
    // The stored question says which place; only where it says none does `where` ask for the same.
    if (x == symbols.a_where) return contains(sense.places, y) && y->body_has(ANYWHERE);
    const Symbol *extreme = x->kind() == 'o' ? x : y, *plain = x->kind() == 'o' ? y : x;
    return contains(sense.extremes, extreme) && plain->kind() == 'w' &&
           extreme->body_facts().stem == plain->body_facts().stem;
}

// Whether only one question asks how many, of what the column that the query selects holds the number of.
inline bool asks_for_number(const Symbols& symbols, const View& a, const View& b, const Sense& sense) {
    if (!sense.is_number) return false;
    const bool first = contains(a.keys, symbols.o_count);
    const Keys &counting = first ? a.keys : b.keys, &other = first ? b.keys : a.keys;
    if (contains(other, symbols.o_count)) return false;
    const auto selected = [&](const Symbol* key) { return contains(sense.selected, key); };
    bool found = false;
    for (size_t i = 0; i + 1 < counting.size(); ++i)
        found = found || (counting[i] == symbols.o_count && selected(counting[i + 1]));
    return found && (first || std::any_of(other.begin(), other.end(), [&](const Symbol* key) {
                         return selected(key) && key->body_has(QUANTITY);
                     }));
}

// Whether `other` stands before a noun said before: `teams that beat other teams`.
inline bool says_again(const Symbols& symbols, const Keys& keys) {
    for (size_t i = 0; i + 1 < keys.size(); ++i)
        if (keys[i] == symbols.o_other && std::find(keys.begin(), keys.begin() + i, keys[i + 1]) != keys.begin() + i)
            return true;
    return false;
}

// `written` in `papers written by X`, where the other question says `papers by X`.
inline void add_makers(const Symbols& symbols, const Keys& keys, const Keys& others, Keys& idle) {
    for (size_t i = 0; i + 2 < keys.size(); ++i) {
        if (keys[i + 2] != symbols.p_by || keys[i + 1]->kind() != 'w' || !keys[i + 1]->body_has(MAKING)) continue;
        for (size_t j = 0; j + 1 < others.size(); ++j)
            if (others[j] == keys[i] && others[j + 1] == symbols.p_by) {
                idle.push_back(keys[i + 1]);
                break;
            }
    }
}

// Keys that say nothing in these two questions, by what the stored query is.
inline void add_explained(const Symbols& symbols, const View& a, const View& b, const Sense& sense, bool by_number,
                          Keys& idle) {
    if (by_number) idle.push_back(symbols.o_count);
    if (!sense.differs && (says_again(symbols, a.keys) || says_again(symbols, b.keys))) idle.push_back(symbols.o_other);
    for (const auto& [one, other] : {std::pair(&a, &b), std::pair(&b, &a)}) {
        const Keys& rows = one == &a ? sense.things : sense.venues;
        if (one->asks && contains(rows, one->asks) && !(other->asks && contains(other->keys, other->asks)) &&
            !contains(other->keys, symbols.a_who))
            idle.push_back(one->asks);
        add_makers(symbols, one->keys, other->keys, idle);
        const size_t size = one->keys.size();
        if (size > 1 && one->keys[size - 1] == symbols.w_mean && is_hard(one->keys[size - 2]))
            idle.push_back(symbols.w_mean);
    }
}

}  // namespace medha::guard
