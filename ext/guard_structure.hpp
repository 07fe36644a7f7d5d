// How the words of a question hang together: what an operator or a preposition belongs to.
// The rules are those of medha_core/guard/structure.py.
#pragma once

#include "guard_pairing.hpp"

namespace medha::guard {

inline bool is_open(const Symbol* key) { return key->kind() != 'o' && key->kind() != 'p' && key->kind() != 'a'; }

// The word the key at `i` stands before, at the end of a question the one that precedes it; or null.
inline const Symbol* head_of(const Keys& keys, size_t i) {
    for (size_t j = i + 1; j < keys.size(); ++j)
        if (is_open(keys[j])) return keys[j];
    for (size_t j = i; j-- > 0;)
        if (is_open(keys[j])) return keys[j];
    return nullptr;
}

using Binding = std::pair<const Symbol*, const Symbol*>;

inline bool binds(const Symbol* key) { return key->kind() == 'p' || (key->kind() == 'o' && !key->loose); }

template <class T>
void make_set(std::vector<T>& values) {
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
}

// Each operator, number and preposition with the word it stands before.
inline std::vector<Binding> bindings(const Keys& keys) {
    std::vector<Binding> found;
    for (size_t i = 0; i < keys.size(); ++i)
        if (binds(keys[i]) || keys[i]->kind() == 'n') found.push_back({keys[i], head_of(keys, i)});
    make_set(found);
    return found;
}

// What is asked for: a person, the head of the first noun phrase, else the first word that is no value; or null.
// Where that head is idle, it is the next word: the ward in `the name of the ward`.
inline const Symbol* projection(const Symbols& symbols, const View& view, const Keys& idle) {
    if (contains(view.keys, symbols.a_who)) return symbols.a_who;
    auto key = view.keys.begin();
    if (view.asks) {
        const auto asks = std::find(view.keys.begin(), view.keys.end(), view.asks);
        if (asks != view.keys.end()) {
            if (!contains(idle, view.asks)) return view.asks;
            key = asks + 1;
        }
    }
    for (; key != view.keys.end(); ++key)
        if ((*key)->kind() == 'w' && !contains(idle, *key)) return *key;
    return nullptr;
}

// Whether a key names data: a value of the query, a number and the like, or a name.
inline bool is_value(const Symbol* key) { return is_hard(key) || (key->kind() == 'w' && key->body_has(NAME)); }

struct Role {
    const Symbol* key;
    const Symbol* role;  // the preposition right before it, or null
};

inline void roles_of(const Keys& keys, std::vector<Role>& found) {
    found.clear();
    for (size_t i = 0; i < keys.size(); ++i) {
        if (!is_value(keys[i])) continue;
        const Symbol* role = i && keys[i - 1]->kind() == 'p' ? keys[i - 1] : nullptr;
        const auto known = std::find_if(found.begin(), found.end(), [&](const Role& r) { return r.key == keys[i]; });
        if (known == found.end())
            found.push_back({keys[i], role});
        else
            known->role = role;
    }
}

inline const Role* role_in(const std::vector<Role>& roles, const Symbol* key) {
    for (const Role& role : roles)
        if (role.key == key) return &role;
    return nullptr;
}

// The values that could be taken for one another: of one column, or of one written form.
inline std::vector<Keys> of_one_kind(const View& view) {
    std::vector<std::pair<const void*, Keys>> kinds;
    static const char forms[256] = {};
    for (size_t i = 0; i < view.keys.size(); ++i) {
        const Symbol* key = view.keys[i];
        if (!is_value(key)) continue;
        const void* kind = key->kind() == 'v' ? static_cast<const void*>(view.opened[i])
                                              : forms + static_cast<unsigned char>(key->kind());
        auto place = std::find_if(kinds.begin(), kinds.end(), [&](const auto& pair) { return pair.first == kind; });
        if (place == kinds.end()) place = kinds.insert(kinds.end(), {kind, {}});
        place->second.push_back(key);
    }
    std::vector<Keys> found;
    for (auto& pair : kinds) found.push_back(std::move(pair.second));
    return found;
}

// A superlative right behind `from` or `to`, where the other question has another one there, or null:
// `from the youngest to the oldest`.
inline const Symbol* other_end(const Symbols& symbols, const Keys& a, const Keys& b) {
    const Symbol* found = nullptr;
    bool differs = false;
    for (const Symbol* side : {symbols.p_from, symbols.p_to}) {
        const auto end_of = [&](const Keys& keys) {
            const Symbol* end = nullptr;
            for (size_t i = 0; i + 1 < keys.size(); ++i)
                if (keys[i] == side && keys[i + 1]->ranking) end = keys[i + 1];
            return end;
        };
        const Symbol *first = end_of(a), *second = end_of(b);
        differs = differs || (first && second && first != second);
        if (first && (!found || first->text() < found->text())) found = first;
    }
    return differs ? found : nullptr;
}

// Whether the names of two columns differ in a direction only: `from_city`, `to_city`.
inline bool told_by_direction(Symbols& symbols, std::string_view column, std::string_view other) {
    const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
    if (!std::all_of(column.begin(), column.end(), is_ascii) || !std::all_of(other.begin(), other.end(), is_ascii))
        return false;
    const auto words_of = [](std::string_view name) {
        std::vector<std::string> words(1);
        for (const char c : name)
            if (c == '_')
                words.emplace_back();
            else
                words.back().push_back(text::lower(c));
        return words;
    };
    const auto only = [](const std::vector<std::string>& words, const std::vector<std::string>& others) {
        std::vector<std::string> found;
        for (const std::string& word : words)
            if (std::find(others.begin(), others.end(), word) == others.end()) found.push_back(word);
        return found;
    };
    const auto words = words_of(column), others = words_of(other);
    const auto first = only(words, others), second = only(others, words);
    if (first.size() != 1 || second.size() != 1) return false;
    if ((first[0] == "from" && second[0] == "to") || (first[0] == "to" && second[0] == "from")) return true;
    return symbols.related(symbols.intern("w:", first[0]), symbols.intern("w:", second[0]), ANTONYMS);
}

// A value that stands where another one of its kind stands in the stored question, between the same words, or null.
// They are of one kind where only a direction tells their columns apart, or where one column was seen with both.
inline const Symbol* exchanged_value(Symbols& symbols, const Evidence& evidence, const View& b, const Keys& now) {
    if (now.size() != b.keys.size()) return nullptr;
    const auto first = std::mismatch(now.begin(), now.end(), b.keys.begin()).first - now.begin();
    const auto last = now.rend() - std::mismatch(now.rbegin(), now.rend(), b.keys.rbegin()).first - 1;
    if (last <= first || !std::equal(now.begin() + first + 1, now.begin() + last, b.keys.begin() + first + 1)) return nullptr;
    const Symbol *x = now[first], *y = now[last];
    if (x->kind() != 'v' || y->kind() != 'v' || b.keys[last] != x || b.keys[first] != y) return nullptr;
    const Symbol *text = symbols.find(x->body()), *other = symbols.find(y->body());
    bool known = false;
    if (text && other)
        evidence.values.each_column(text, [&](const Symbol* column) {
            evidence.values.each_column(other, [&](const Symbol* seen) { known = known || seen == column; });
        });
    return known || told_by_direction(symbols, b.opened[first]->body(), b.opened[last]->body()) ? x : nullptr;
}

// Whether a key is a number, a date or a word of the calendar.
inline bool is_count(const Symbol* key) {
    const char kind = key->kind();
    return kind == 'n' || kind == 'd' || (kind == 'v' && is_all_digits(key->body())) || key->body_has(CALENDAR);
}

// What ends a range in the one question and a list of two in the other, or null: `from 2019 to 2021`,
// `in 2019 and 2021`.
inline const Symbol* ranged(const Symbols& symbols, const Keys& a, const Keys& b) {
    for (const auto& [one, other] : {std::pair(&a, &b), std::pair(&b, &a)}) {
        for (size_t i = 0; i + 3 < one->size(); ++i) {
            const Symbol *first = (*one)[i + 1], *between = (*one)[i + 2], *last = (*one)[i + 3];
            if ((*one)[i] != symbols.p_from || (between != symbols.p_to && between != symbols.p_through)) continue;
            if (!is_count(last)) continue;
            for (size_t j = 0; j + 1 < other->size(); ++j)
                if ((*other)[j] == first && (*other)[j + 1] == last) return last;
        }
    }
    return nullptr;
}

// Which value plays another part in the two questions, or null.
inline const Symbol* contradiction(const Symbols& symbols, const View& a, const View& b) {
    if (const Symbol* end = other_end(symbols, a.keys, b.keys)) return end;
    std::vector<Role> first, second;
    roles_of(a.keys, first);
    if (first.empty()) return nullptr;
    roles_of(b.keys, second);
    for (const Role& role : first) {
        const Role* other = role_in(second, role.key);
        if (other && role.role && other->role && role.role != other->role &&
            !Symbols::holds(symbols.one_part, role.role, other->role))
            return role.key;
    }
    if (first.size() < 2) return nullptr;
    for (const Keys& alike : of_one_kind(a)) {
        Keys order, other_order;
        for (const Role& role : first)
            if (role_in(second, role.key) && contains(alike, role.key)) order.push_back(role.key);
        for (const Role& role : second)
            if (contains(order, role.key)) other_order.push_back(role.key);
        for (size_t i = 0; i < order.size(); ++i) {
            if (order[i] == other_order[i]) continue;
            const Symbol* role = role_in(first, order[i])->role;
            if (!role || role == symbols.p_between || role != role_in(second, order[i])->role) return order[i];
        }
    }
    return nullptr;
}

inline bool is_ordinal(const Symbol* key) { return key->text().compare(0, 3, "n:#") == 0; }

// What follows, a loose operator too: `not ordered`. An ordinal belongs to a noun: `second largest city`.
inline const Symbol* next_of(const Symbols& symbols, const Keys& keys, size_t i) {
    for (size_t j = i + 1; j < keys.size(); ++j) {
        const char kind = keys[j]->kind();
        if (kind != 'p' && kind != 'a' && (kind != 'o' || keys[i] == symbols.o_not)) return keys[j];
    }
    return head_of(keys, i);
}

// The first value behind `not`, or null.
inline const Symbol* negated(const Symbols& symbols, const Keys& keys) {
    const auto value = std::find_if(std::find(keys.begin(), keys.end(), symbols.o_not), keys.end(),
                                    [](const Symbol* key) { return is_hard(key); });
    return value == keys.end() ? nullptr : *value;
}

using Heads = std::vector<std::pair<const Symbol*, Keys>>;

inline Heads heads_of(const Symbols& symbols, const Keys& keys) {
    Heads found;
    for (size_t i = 0; i < keys.size(); ++i) {
        const bool close = keys[i] == symbols.o_not || is_ordinal(keys[i]);
        const bool grouping = keys[i] == symbols.o_each || keys[i] == symbols.o_every;
        if (!close && !grouping && !binds(keys[i])) continue;
        const Symbol* operator_ = grouping ? symbols.o_each : keys[i];
        auto place = std::find_if(found.begin(), found.end(), [&](const auto& pair) { return pair.first == operator_; });
        if (place == found.end()) place = found.insert(found.end(), {operator_, {}});
        const Symbol* head = close ? next_of(symbols, keys, i) : head_of(keys, i);
        if (!contains(place->second, head)) place->second.push_back(head);
    }
    return found;
}

// The keys only `a` has, by text; no key stands before every other.
inline Keys without(const Keys& a, const Keys& b) {
    Keys found;
    for (const Symbol* key : a)
        if (!contains(b, key)) found.push_back(key);
    std::sort(found.begin(), found.end(), [](const Symbol* x, const Symbol* y) {
        return x != y && (!x || (y && x->text() < y->text()));
    });
    return found;
}

struct Rebound {
    const Symbol *key = nullptr, *first = nullptr, *second = nullptr;
};

// Whether two keys are neighbours, in any order, where `skipped` is left out.
inline bool are_neighbours(const Keys& keys, const Symbol* skipped, const Symbol* x, const Symbol* y) {
    const Symbol* last = nullptr;
    for (const Symbol* key : keys) {
        if (key == skipped) continue;
        if (last && ((last == x && key == y) || (last == y && key == x))) return true;
        last = key;
    }
    return false;
}

// Whether a value stands right before a noun: `the best French restaurant`.
inline bool is_attribute(const Symbol* value, const Symbol* noun, const Keys& keys) {
    if (value->kind() != 'v') return false;
    for (size_t i = 0; i + 1 < keys.size(); ++i)
        if (keys[i] == value && keys[i + 1] == noun) return true;
    return false;
}

// An operator that stands before another word although both questions say both words, or nulls.
inline Rebound rebound(const Symbols& symbols, const Keys& a, const Keys& b) {
    const Heads first = heads_of(symbols, a);
    if (first.empty()) return {};
    const Heads second = heads_of(symbols, b);
    for (const auto& [key, heads] : first) {
        for (const auto& [other_key, others] : second) {
            if (other_key != key) continue;
            const Keys x = without(heads, others), y = without(others, heads);
            for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
                if (!x[i] || !y[i] || !contains(b, x[i]) || !contains(a, y[i])) continue;
                // `not` may have moved over one word: `do not offer classes`, `offer no classes`.
                const bool moved = key == symbols.o_not && negated(symbols, a) == negated(symbols, b) &&
                                   are_neighbours(a, key, x[i], y[i]) && are_neighbours(b, key, x[i], y[i]);
                const bool narrowed = key->ranking && (is_attribute(x[i], y[i], a) || is_attribute(y[i], x[i], b));
                if (!moved && !narrowed) return {key, x[i], y[i]};
            }
        }
    }
    return {};
}

// Whether `verb by X` in one question is `X verb` in the other: `taught by Li`, `Li teaches`.
inline bool is_active_passive(const Symbols& symbols, const View& a, const View& b) {
    if (projection(symbols, a, {}) != projection(symbols, b, {})) return false;
    const bool first = contains(a.keys, symbols.p_by);
    const Keys &passive = first ? a.keys : b.keys, &active = first ? b.keys : a.keys;
    const auto by = std::find(passive.begin(), passive.end(), symbols.p_by);
    if (by == passive.begin() || by == passive.end()) return false;
    const Symbol *verb = by[-1], *agent = nullptr;
    const auto stop = passive.end() - by > 3 ? by + 3 : passive.end();
    const auto hard = std::find_if(by + 1, stop, [](const Symbol* key) { return is_hard(key); });
    if (hard != stop)
        agent = *hard;
    else if (by + 1 != stop)
        agent = by[1];
    if (verb->kind() != 'w' || !agent) return false;
    const auto acts = std::find(active.begin(), active.end(), agent);
    const auto last = std::find(active.rbegin(), active.rend(), verb);
    if (acts == active.end() || last == active.rend()) return false;
    return acts - active.begin() < last.base() - 1 - active.begin();
}

// Two words that one question says more often than the other: a clause nested once more, or none.
inline Keys nested(const Keys& a, const Keys& b, const Difference& left) {
    for (const auto& [side, other] : {std::pair(&left.asked, &b), std::pair(&left.stored, &a)}) {
        Keys repeated;
        for (const Symbol* key : *side)
            if (key->kind() == 'w' && contains(*other, key) && !contains(repeated, key)) repeated.push_back(key);
        if (repeated.size() > 1) {
            std::sort(repeated.begin(), repeated.end(), TextLess());
            return repeated;
        }
    }
    return {};
}

// A number that names one thing in the one question and counts things in the other, or null: `table number 4`,
// `tables with 4 legs`; but `order number 7`, `the details of order 7`.
inline const Symbol* numbered(const Keys& a, const Keys& b) {
    for (const auto& [one, other] : {std::pair(&a, &b), std::pair(&b, &a)})
        for (size_t i = 1; i < one->size(); ++i) {
            const Symbol *number = (*one)[i], *label = (*one)[i - 1];
            if (!label->body_has(LABEL) || label->body_has(CALENDAR)) continue;
            if ((number->kind() != 'n' && number->kind() != 'v') || !is_all_digits(number->body())) continue;
            const auto place = std::find(other->begin(), other->end(), number);
            if (place == other->end() || place + 1 == other->end()) continue;
            const Symbol *thing = place == other->begin() ? nullptr : place[-1], *counted = place[1];
            if (counted->kind() != 'w' || thing == label || (i + 1 < one->size() && (*one)[i + 1] == counted)) continue;
            if (i < 2 || thing != (*one)[i - 2] || !contains(*one, counted)) return number;
        }
    return nullptr;
}

}  // namespace medha::guard
