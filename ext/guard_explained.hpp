// Words that the stored query explains. The rules are those of medha_core/guard/explained.py.
#pragma once

#include "guard_view.hpp"

namespace medha::guard {

inline bool is_generic(const Symbol* key) { return key->kind() == 'w' && key->body_has(GENERIC); }

// What the two questions say alike by the stored query, in other words.
struct Agreed {
    bool number, measure, group;
};

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

// Whether the superlative stands right before the noun for what the query takes the extreme of.
inline bool names_measure(const Keys& keys, const Sense& sense) {
    if (sense.measured.empty()) return false;
    for (size_t i = 0; i + 1 < keys.size(); ++i) {
        if (!contains(sense.superlatives, keys[i]) || keys[i + 1]->kind() != 'w') continue;
        for (const Symbol* own : sense.measured)
            if (own->body_facts().stem == keys[i + 1]->body_facts().stem) return true;
    }
    return false;
}

inline bool is_group(const Symbols& symbols, const Symbol* key) {
    return key == symbols.o_each || key == symbols.o_every;
}

// Whether the one says `each` before a word before which the other says `by`, and neither the other's.
inline bool groups_alike(const Symbols& symbols, const Keys& keys, const Keys& others) {
    if (contains(keys, symbols.p_by) || contains(others, symbols.o_each) || contains(others, symbols.o_every)) return false;
    for (size_t i = 0; i + 1 < keys.size(); ++i)
        for (size_t j = 0; is_group(symbols, keys[i]) && j + 1 < others.size(); ++j)
            if (others[j] == symbols.p_by && keys[i + 1] == others[j + 1]) return true;
    return false;
}

inline Agreed agreed(const Symbols& symbols, const View& a, const View& b, const Sense& sense) {
    return {asks_for_number(symbols, a, b, sense), names_measure(a.keys, sense) && names_measure(b.keys, sense),
            sense.groups && (groups_alike(symbols, a.keys, b.keys) || groups_alike(symbols, b.keys, a.keys))};
}

// Whether a word of the asked question and one of the stored question are one for the stored query.
inline bool is_same_by_query(const Symbols& symbols, const Symbol* x, const Symbol* y, const Sense& sense,
                             const Agreed& agree) {
    if (contains(sense.selected, x) && contains(sense.selected, y)) return agree.number || !sense.is_number;
    if (!sense.venues.empty() &&
        ((contains(sense.venues, y) && is_generic(x)) || (contains(sense.venues, x) && is_generic(y))))
        return true;
    if (y == symbols.a_where) return contains(sense.places, x);
    // The stored question says which place; only where it says none does `where` ask for the same.
    if (x == symbols.a_where) return contains(sense.places, y) && y->body_has(ANYWHERE);
    if (x == symbols.a_when || y == symbols.a_when) {
        const Symbol* moment = y == symbols.a_when ? x : y;
        return contains(sense.selected, moment) && moment->body_has(MOMENT);
    }
    if (x == symbols.p_by || y == symbols.p_by) return agree.group && (is_group(symbols, x) || is_group(symbols, y));
    if (x->kind() == 'o' && y->kind() == 'o')
        return agree.measure && contains(sense.superlatives, x) && contains(sense.superlatives, y);
    const Symbol *extreme = x->kind() == 'o' ? x : y, *plain = x->kind() == 'o' ? y : x;
    return contains(sense.extremes, extreme) && plain->kind() == 'w' &&
           extreme->body_facts().stem == plain->body_facts().stem;
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

// `by` and `write`, where the one says `papers by X` and the other `papers X has written`; but not where it says
// `papers X has written about`.
inline void add_made(const Symbols& symbols, const Keys& keys, const Keys& others, Keys& idle) {
    if (contains(others, symbols.p_by) || (!others.empty() && others.back()->kind() == 'p')) return;
    for (size_t i = 1; i + 1 < keys.size(); ++i)
        for (size_t j = 0; keys[i] == symbols.p_by && j + 1 < others.size(); ++j)
            if (keys[i + 1] == others[j] && is_hard(others[j]) && others[j + 1]->body_has(MAKING) &&
                contains(others, keys[i - 1])) {
                idle.push_back(keys[i]);
                idle.push_back(others[j + 1]);
            }
}

// `total` and `how much`, one of which must ask for the sum where the stored question says it.
inline void add_sum(const Symbols& symbols, const Keys& a, const Keys& b, Keys& idle) {
    const bool asks = contains(b, symbols.o_total) && contains(a, symbols.a_much);
    if (!asks && !contains(a, symbols.o_total)) return;
    idle.push_back(symbols.o_total);
    idle.push_back(symbols.a_much);
}

// Keys that say nothing in these two questions, by what the stored query is.
inline void add_explained(const Symbols& symbols, const View& a, const View& b, const Sense& sense,
                          const Agreed& agree, Keys& idle) {
    if (agree.number) idle.push_back(symbols.o_count);
    if (sense.sums) add_sum(symbols, a.keys, b.keys, idle);
    if (!sense.differs && (says_again(symbols, a.keys) || says_again(symbols, b.keys))) idle.push_back(symbols.o_other);
    for (const auto& [one, other] : {std::pair(&a, &b), std::pair(&b, &a)}) {
        const Keys& rows = one == &a ? sense.things : sense.venues;
        if (one->asks && contains(rows, one->asks) && !(other->asks && contains(other->keys, other->asks)) &&
            !contains(other->keys, symbols.a_who))
            idle.push_back(one->asks);
        add_makers(symbols, one->keys, other->keys, idle);
        if (one->asks == other->asks) add_made(symbols, one->keys, other->keys, idle);
        const size_t size = one->keys.size();
        if (size > 1 && one->keys[size - 1] == symbols.w_mean && is_hard(one->keys[size - 2]))
            idle.push_back(symbols.w_mean);
    }
}

}  // namespace medha::guard
