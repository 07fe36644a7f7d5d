// The same words in other parts, and small words that tell two questions apart.
// The rules are those of medha_core/guard/roles.py and small_words.py.
#pragma once


#include "guard_structure.hpp"

namespace medha::guard {

using Owner = const Symbol* (*)(const Keys&, size_t);

// The word before a value, over operators and prepositions; null where another value comes first.
inline const Symbol* owner_before(const Keys& keys, size_t i) {
    while (i-- > 0)
        if (is_open(keys[i])) return keys[i]->kind() == 'w' ? keys[i] : nullptr;
    return nullptr;
}

// The word right behind a value: `5 beds`.
inline const Symbol* owner_behind(const Keys& keys, size_t i) {
    return i + 1 < keys.size() && keys[i + 1]->kind() == 'w' ? keys[i + 1] : nullptr;
}

struct Owned {
    const Symbol *key, *here, *there;
};

// Each value of both questions with the word it belongs to here and there, where it has one in both.
inline void owners_of(const Keys& a, const Keys& b, Owner owner, std::vector<Owned>& found) {
    found.clear();
    for (size_t i = 0; i < a.size(); ++i) {
        if (!is_hard(a[i]) && !(a[i]->kind() == 'w' && a[i]->body_has(CALENDAR))) continue;
        const auto other = std::find(b.begin(), b.end(), a[i]);
        if (other == b.end()) continue;
        const Owned owned{a[i], owner(a, i), owner(b, static_cast<size_t>(other - b.begin()))};
        if (!owned.here || !owned.there) continue;
        const auto known = std::find_if(found.begin(), found.end(), [&](const Owned& o) { return o.key == a[i]; });
        if (known == found.end())
            found.push_back(owned);
        else
            *known = owned;
    }
}

// Two values, or words of the calendar, that have exchanged the words they belong to, or nulls.
inline std::pair<const Symbol*, const Symbol*> regrouped(const Keys& a, const Keys& b) {
    std::vector<Owned> found;
    for (const Owner owner : {&owner_before, &owner_behind}) {
        owners_of(a, b, owner, found);
        for (size_t x = 0; x < found.size(); ++x)
            for (size_t y = x + 1; y < found.size(); ++y)
                if (found[x].here == found[y].there && found[x].there == found[y].here &&
                    found[x].here != found[x].there)
                    return {found[x].key, found[y].key};
    }
    return {nullptr, nullptr};
}

inline const Symbol* behind_than(const Symbols& symbols, const Keys& keys) {
    auto key = std::find(keys.begin(), keys.end(), symbols.o_than);
    if (key == keys.end()) return nullptr;
    for (++key; key != keys.end(); ++key)
        if ((*key)->kind() != 'p' && (*key)->kind() != 'a') return *key;
    return nullptr;
}

// What only the one question names behind `than`, although both say it, or null.
inline const Symbol* compared_otherwise(const Symbols& symbols, const Keys& a, const Keys& b) {
    const Symbol* first = behind_than(symbols, a);
    if (!first) return nullptr;
    const Symbol* second = behind_than(symbols, b);
    return second && first != second && contains(b, first) && contains(a, second) ? first : nullptr;
}

// How a question spells a word; the empty text where it is a slip or a synonym there.
inline const Symbol* surface(const Symbols& symbols, const Symbol* key, const Question& question) {
    for (const Item& item : question.items)
        if (item.key == key) return question.words[item.first].text;
    return symbols.empty;
}

// Whether a word is a verb here: by its past form, by a `do` or `have`, or by another form beside a name.
inline bool acts(const Symbols& symbols, const Symbol* verb, Keys::const_iterator block, Keys::const_iterator end,
                 const Question& asked, const Question& stored) {
    const auto is_other = [&](const Symbol* key) { return key == symbols.o_other; };
    const auto fits = [&](const Symbol* key) { return is_open(key) || is_other(key); };
    if (verb->kind() != 'w' || !verb->body_has(VERB) || !std::all_of(block, end, fits)) return false;
    if (std::any_of(block, end, is_other)) return true;  // `birds that eat other birds`, `birds that other birds eat`
    const Symbol *first = surface(symbols, verb, asked), *second = surface(symbols, verb, stored);
    if (first->has(PAST_FORM) || second->has(PAST_FORM)) return true;
    for (const Question* question : {&asked, &stored})
        for (const Word& word : question->words)
            if (word.text->has(INVERTING)) return true;
    return first != second && std::any_of(block, end, [](const Symbol* key) { return is_hard(key); });
}

// The keys with `who` for what is asked for, where the other question says `who`.
inline Keys with_who(const Symbols& symbols, const Question& question, const Keys& keys, const Keys& others) {
    Keys found = keys;
    if (contains(others, symbols.a_who) && !contains(keys, symbols.a_who))
        std::replace(found.begin(), found.end(), question.asks, symbols.a_who);
    return found;
}

// The verb that a value does here (`followed by X`) and that is done to it there (`follow X`), or null.
inline const Symbol* done_to(const Symbols& symbols, const Question& question, const Keys& keys, const Keys& others) {
    if (contains(others, symbols.p_by)) return nullptr;
    for (size_t i = 0; i + 2 < keys.size(); ++i) {
        const Symbol *verb = keys[i], *doer = keys[i + 2];
        if (keys[i + 1] != symbols.p_by || !is_hard(doer) || !surface(symbols, verb, question)->has(PAST_FORM)) continue;
        for (size_t j = 0; j + 1 < others.size(); ++j)
            if (others[j] == verb && others[j + 1] == doer) return verb;
    }
    return nullptr;
}

// The auxiliary nearest before a word, or null; none where another thing is: `what is the sum X paid`.
inline const Symbol* auxiliary_of(const Symbols& symbols, const Symbol* key, const Question& question) {
    const auto item = std::find_if(question.items.begin(), question.items.end(), [&](const Item& i) { return i.key == key; });
    const size_t place = item == question.items.end() ? 0 : item->first;
    for (size_t i = place; i-- > 0;) {
        const Symbol* text = question.words[i].text;
        if (!text->has(AUXILIARY)) continue;
        const bool is_about_another = i + 1 < place && question.words[i + 1].text == symbols.the;
        return text->has(COPULA) && is_about_another ? nullptr : text;
    }
    return nullptr;
}

// The verb that is done to a value here (`was X paid`) and that it does there (`did X pay`), or null.
inline const Symbol* suffered(const Symbols& symbols, const Question& question, const Question& other, const Keys& keys,
                              const Keys& others) {
    for (size_t i = 0; i + 1 < keys.size(); ++i) {
        const Symbol* verb = keys[i + 1];
        if (!is_hard(keys[i]) || verb->kind() != 'w') continue;
        bool stands = false;
        for (size_t j = 0; j + 1 < others.size() && !stands; ++j) stands = others[j] == keys[i] && others[j + 1] == verb;
        if (!stands || !surface(symbols, verb, question)->has(PAST_FORM)) continue;
        const Symbol *first = auxiliary_of(symbols, verb, question), *second = auxiliary_of(symbols, verb, other);
        if (first && second && !first->has(INVERTING) && second->has(INVERTING)) return verb;
    }
    return nullptr;
}

inline bool inverts(const Question& question) {
    return std::any_of(question.words.begin(), question.words.end(),
                       [](const Word& word) { return word.text->has(INVERTING); });
}

// The verb that a value does there (`X follows`), while here those are asked for who do it, or null.
inline const Symbol* does(const Question& question, const Question& other, const Keys& keys, const Keys& others) {
    const Symbol* doer = question.asks;
    if (!doer || !contains(keys, doer) || contains(others, doer) || !doer->body_has(PERSON) || !inverts(other))
        return nullptr;
    for (size_t i = 0; i + 1 < others.size(); ++i) {
        const Symbol* verb = others[i + 1];
        if (!is_hard(others[i]) || verb->kind() != 'w' || verb->body_facts().stem != doer->body_facts().stem) continue;
        if (!contains(keys, verb)) return verb->body_has(VERB) && !verb->body_has(PERSON) ? verb : nullptr;
    }
    return nullptr;
}

// The verb that a value does in one question, while the other asks for those who do it to the value, or null:
// `users that X follows`, `followers of X`.
inline const Symbol* doers_turned(const Question& asked, const Question& stored, const Keys& a, const Keys& b) {
    const Symbol* verb = does(asked, stored, a, b);
    return verb ? verb : does(stored, asked, b, a);
}

// The verb before whose object the other question puts it as subject, or null: the same words but for one verb,
// with its preposition, that moved; or a passive and its active.
inline const Symbol* turned(const Symbols& symbols, const Question& asked, const Question& stored, const Keys& now,
                            const Keys& then) {
    constexpr ptrdiff_t LONGEST_BLOCK = 3;  // words over which a verb may have moved
    if (const Symbol* verb = done_to(symbols, asked, now, then)) return verb;
    if (const Symbol* verb = done_to(symbols, stored, then, now)) return verb;
    if (const Symbol* verb = suffered(symbols, asked, stored, now, then)) return verb;
    if (const Symbol* verb = suffered(symbols, stored, asked, then, now)) return verb;
    if (now.size() != then.size() || now == then || contains(now, symbols.p_by)) return nullptr;
    const Keys a = with_who(symbols, asked, now, then), b = with_who(symbols, stored, then, now);
    if (a == b) return nullptr;
    const auto first = std::mismatch(a.begin(), a.end(), b.begin()).first - a.begin();
    const auto last = a.rend() - std::mismatch(a.rbegin(), a.rend(), b.rbegin()).first - 1;
    if (last == first || last - first > LONGEST_BLOCK) return nullptr;
    const auto is_subject = [&](const Symbol* key) {
        return key->kind() == 'w' || key->kind() == 'v' || key == symbols.a_who;
    };
    if (std::none_of(a.begin(), a.begin() + first, is_subject)) return nullptr;
    for (const auto& [x, y] : {std::pair(&a, &b), std::pair(&b, &a)}) {
        const auto verb = x->begin() + first, end = x->begin() + last + 1;
        const auto block = verb + ((verb[1]->kind() == 'p') ? 2 : 1);
        if (std::equal(block, end, y->begin() + first) && std::equal(verb, block, y->begin() + first + (end - block)) &&
            acts(symbols, *verb, block, end, asked, stored))
            return *verb;
    }
    return nullptr;
}

// What the auxiliaries say of a time, but for those that go with who asks: `can I`, `we will`.
inline uint64_t times_of(const Question& question) {
    uint64_t found = 0;
    const std::vector<Word>& words = question.words;
    for (size_t i = 0; i < words.size(); ++i) {
        uint64_t time = words[i].text->facts().flags & (FUTURE | PAST_TIME | POSSIBLE);
        if (words[i].text->has(INVERTING) && i + 1 < words.size() && words[i + 1].text->has(PAST_FORM))
            time = PAST_TIME;  // `has carried`
        if (!time || (i && words[i - 1].text->has(ASKER)) || (i + 1 < words.size() && words[i + 1].text->has(ASKER)))
            continue;
        found |= time;
    }
    return found;
}

inline std::string said_times(uint64_t times) {
    std::string said;
    for (const auto& [flag, name] : {std::pair(FUTURE, "future"), std::pair(PAST_TIME, "past"),
                                     std::pair(POSSIBLE, "possible")})
        if (times & flag) said += (said.empty() ? "" : ", ") + std::string(name);
    return said;
}

// What kind of moment is asked for by its name, or null: `what time`, `which year`.
inline const Symbol* moment_of(const Question& question) {
    const std::vector<Word>& words = question.words;
    for (size_t i = 0; i + 1 < words.size(); ++i)
        if (words[i].text->has(INTERROGATIVE) && words[i + 1].text->has(MOMENT)) return words[i + 1].text;
    return nullptr;
}

inline bool asks_when(const Symbols& symbols, const Question& question) {
    return std::any_of(question.items.begin(), question.items.end(),
                       [&](const Item& item) { return item.key == symbols.a_when; });
}

// The moments of two kinds that are asked for, or "": `what time`, `what date`. `when` asks for any, but not of
// what was for what is: `when was it opened`, `what time does it open`.
inline std::string dated_otherwise(const Symbols& symbols, const Question& asked, const Question& stored,
                                   uint64_t first, uint64_t second) {
    const Symbol *kind = moment_of(asked), *other = moment_of(stored);
    if (kind && other) return kind == other ? "" : kind->text() + " / " + other->text();
    if ((!kind && !other) || (first & PAST_TIME) == (second & PAST_TIME)) return "";
    if (!asks_when(symbols, asked) || !asks_when(symbols, stored)) return "";
    return "when / " + (kind ? kind : other)->text();
}

using Between = std::vector<std::pair<const Symbol*, const Symbol*>>;

// The words before and behind each preposition of one side; not where it stands between two names.
inline Between between(const Question& question, Flag side) {
    Between found;
    const std::vector<Word>& words = question.words;
    for (size_t i = 0; i < words.size(); ++i) {
        if (words[i].kind != 'w' || !words[i].text->has(side)) continue;
        const Symbol *before = nullptr, *behind = nullptr;
        for (size_t j = i; j-- > 0 && !before;)
            if (!words[j].text->has(STOP)) before = words[j].text;
        for (size_t j = i + 1; j < words.size() && !behind; ++j)
            if (!words[j].text->has(STOP)) behind = words[j].text;
        if (before && behind && !before->has(NAME)) found.push_back({before, behind});
    }
    return found;
}

// The words that are in no item and in no value, in order.
inline void dropped(const Question& question, const std::vector<Span>& spans, Keys& found) {
    found.clear();
    std::vector<bool> said(question.words.size());
    const auto say = [&](const auto& part) {
        for (uint32_t i = part.first; i < part.last; ++i) said[i] = true;
    };
    for (const Item& item : question.items) say(item);
    for (const Span& span : spans) say(span);
    for (size_t i = 0; i < said.size(); ++i)
        if (!said[i] && !question.words[i].text->has(FILLER)) found.push_back(question.words[i].text);
}

// The small words by which two questions differ, or "".
inline std::string told_apart(const Symbols& symbols, const Question& asked, const Question& stored) {
    const uint64_t first = times_of(asked), second = times_of(stored);
    if (first && second && !(first & second)) return said_times(first) + " / " + said_times(second);
    if (std::string dated = dated_otherwise(symbols, asked, stored, first, second); !dated.empty()) return dated;
    for (const auto& [one, other] : {std::pair(&asked, &stored), std::pair(&stored, &asked)}) {
        for (const auto& [side, otherwise] : {std::pair(UNLIKE_ONE, UNLIKE_OTHER), std::pair(UNLIKE_OTHER, UNLIKE_ONE)}) {
            const Between here = between(*one, side);
            if (here.empty()) continue;
            const Between there = between(*other, otherwise);
            std::string said;
            for (const auto& pair : here) {
                if (std::find(there.begin(), there.end(), pair) == there.end()) continue;
                const std::string words = pair.first->text() + " " + pair.second->text();
                if (said.empty() || words < said) said = words;
            }
            if (!said.empty()) return said;
        }
    }
    return "";
}

}  // namespace medha::guard
