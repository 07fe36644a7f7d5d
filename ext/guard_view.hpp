// A question as it is compared: its items, with the values of one query folded into single items.
// The rules are those of medha_core/guard/view.py.
#pragma once

#include "guard_items.hpp"

namespace medha::guard {

inline bool contains(const Keys& keys, const Symbol* key) {
    return std::find(keys.begin(), keys.end(), key) != keys.end();
}

// `between A and B` asks for what `from A to B` asks for.
inline void ranges(const Symbols& symbols, Keys& keys) {
    if (!contains(keys, symbols.p_between)) return;
    Keys found;
    for (size_t i = 0; i < keys.size(); ++i) {
        if (keys[i] == symbols.p_between && i + 2 < keys.size() && is_hard(keys[i + 1]) && is_hard(keys[i + 2])) {
            found.push_back(symbols.p_from);
        } else {
            if (i > 1 && keys[i - 2] == symbols.p_between && is_hard(keys[i]) && is_hard(keys[i - 1]))
                found.push_back(symbols.p_to);
            found.push_back(keys[i]);
        }
    }
    keys.swap(found);
}

// Where a key stands in its question.
struct Stretch {
    uint32_t first, last;
};

// `largest`, `highest` and `most` are one before a noun that is a quantity: `lowest round trip fare`. The noun must
// stand in one unbroken row with them, unlike that of `the highest house in the area`; and `cheapest` is `lowest`
// only of what is paid.
inline void magnitudes(const std::vector<Stretch>& stretches, View& view) {
    constexpr size_t ROW = 4;  // words behind a superlative among which its noun is looked for
    Keys& keys = view.keys;
    for (size_t i = 0; i + 1 < keys.size(); ++i) {
        const Symbol* magnitude = keys[i]->kind() == 'o' ? keys[i]->magnitude() : nullptr;
        if (!magnitude) continue;
        const Flag noun = keys[i]->is_priced() ? PRICE : QUANTITY;
        for (size_t j = i + 1; j < std::min(keys.size(), i + 1 + ROW); ++j) {
            if (keys[j]->kind() != 'w' || stretches[j].first != stretches[j - 1].last) break;
            if (!keys[j]->body_has(noun)) continue;
            keys[i] = view.opened[i] = magnitude;
            break;
        }
    }
}

// Whether a place lies inside one of the spans.
inline bool inside(const std::vector<Span>& spans, uint32_t first, uint32_t last) {
    if (first == last) return false;
    for (const Span& span : spans)
        if (first < span.last && span.first < last) return true;
    return false;
}

inline void sort_spans(std::vector<Span>& spans) {
    std::stable_sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.first < b.first; });
}

// `rock and jazz` is `jazz and rock`: values joined by `and` or `or` are put in the order of the alphabet.
// Values that are to be exchanged stay where they are: their order says which is which.
inline void sort_coordinated(const Symbols& symbols, const std::vector<Word>& words, const std::vector<Span>& spans,
                             View& view) {
    for (size_t s = 0; s + 1 < spans.size(); ++s) {
        const Span &one = spans[s], &other = spans[s + 1];
        if (other.first != one.last + 1 || one.last >= words.size()) continue;
        const Symbol* between = words[one.last].text;
        if (between != symbols.and_ && between != symbols.or_) continue;
        if (one.text->kind() == '?' || one.column != other.column || !(other.text->text() < one.text->text())) continue;
        const auto first = std::find(view.keys.begin(), view.keys.end(), one.key);
        const auto second = std::find(view.keys.begin(), view.keys.end(), other.key);
        if (first >= second || second == view.keys.end()) continue;
        if (first != view.keys.begin() && first[-1] == symbols.p_between) continue;
        std::iter_swap(first, second);
        std::iter_swap(view.opened.begin() + (first - view.keys.begin()), view.opened.begin() + (second - view.keys.begin()));
    }
}

// `the state Texas`, `the state of Texas`, `Texas state` or `states called Texas`; but no `states that border Texas`.
inline bool is_beside(const Symbols& symbols, const std::vector<Word>& words, const Item& item, const Span& span) {
    if (item.first == span.last) return !item.key->body_has(VERB);
    if (item.last > span.first || !item.first) return false;
    const uint32_t between = span.first - item.last;
    if (between == 1 && words[item.last].text->has(NAMING)) return true;
    if (between > 1 || (between == 1 && words[item.last].text != symbols.of)) return false;
    return words[item.first - 1].text->has(BEFORE_CLASS);
}

// Whether a word only leads from a class to its value: `the city called Boston`.
inline bool names(const std::vector<Word>& words, const std::vector<Item>& items, const Item& item, const Span& span) {
    if (item.last != span.first || item.first >= words.size() || !words[item.first].text->has(NAMING)) return false;
    return 1 == std::count_if(items.begin(), items.end(), [&](const Item& other) { return other.key == item.key; });
}

// Whether a word only says that a number follows: `order number 7`, `the year 2010`.
inline bool labels(const std::vector<Word>& words, const Item& item, const Span& span) {
    if (item.last != span.first || words[span.first].kind != 'n' || !item.key->body_has(LABEL)) return false;
    return !item.key->body_has(CALENDAR) || words[span.first].text->length() == 4;
}

// Words right before or behind a value that its column or table is named with, and words between the two.
inline void classes_of(const Symbols& symbols, const std::vector<Word>& words, const std::vector<Item>& items,
                       const std::vector<Span>& spans, Keys& found) {
    for (const Span& span : spans) {
        for (const Item& item : items)
            if ((names(words, items, item, span) || labels(words, item, span)) && !contains(found, item.key)) found.push_back(item.key);
        if (!span.column_stems) continue;
        for (const Item& item : items) {
            if (item.key->kind() != 'w' || !is_beside(symbols, words, item, span)) continue;
            if (contains(*span.column_stems, item.key->body_facts().stem) && !contains(found, item.key))
                found.push_back(item.key);
        }
    }
}

// Fold spans into value items; a value said twice asks for nothing new.
inline void view_of(const Symbols& symbols, const std::vector<Word>& words, const std::vector<Item>& items,
                    const Symbol* asks, const std::vector<Span>& spans, View& view) {
    view.keys.clear();
    view.opened.clear();
    view.open_words.clear();
    view.classes.clear();
    view.asks = asks;
    std::vector<Stretch> stretches;
    stretches.reserve(items.size());
    const auto add = [&](const Span& span) {
        if (contains(view.keys, span.key)) return;
        view.keys.push_back(span.key);
        view.opened.push_back(span.opened);
        stretches.push_back({span.first, span.last});
    };
    const auto earlier = [](const Span& a, const Span& b) { return a.first < b.first; };
    const bool sorted = std::is_sorted(spans.begin(), spans.end(), earlier);
    std::vector<Span> copy;
    if (!sorted) {
        copy = spans;
        sort_spans(copy);
    }
    const std::vector<Span>& ordered = sorted ? spans : copy;
    auto pending = ordered.begin();
    for (const Item& item : items) {
        while (pending != ordered.end() && pending->first <= item.first) add(*pending++);
        if (inside(spans, item.first, item.last)) continue;
        view.keys.push_back(item.key);
        view.opened.push_back(item.key);
        stretches.push_back({item.first, item.last});
    }
    while (pending != ordered.end()) add(*pending++);
    if (spans.size() > 1) sort_coordinated(symbols, words, spans, view);
    for (uint32_t i = 0; i < words.size(); ++i)
        if (!inside(spans, i, i + 1)) view.open_words.push_back(words[i].text);
    classes_of(symbols, words, items, spans, view.classes);
    magnitudes(stretches, view);
    for (Keys* keys : {&view.keys, &view.opened}) ranges(symbols, *keys);
}

// A value with its text left open: only the column's own name counts, and all numbers are alike.
inline const Symbol* open_value(Symbols& symbols, const Symbol* text, std::string_view column_tail) {
    return is_all_digits(text->text()) ? symbols.open_number : symbols.intern("v:", column_tail);
}

// Where a value stands among words; a quoted string holds a whole value.
template <class Found>
void places(const std::vector<Word>& words, const Keys& parts, const Symbol* whole, Found found) {
    if (parts.empty()) return;
    const size_t length = parts.size();
    for (size_t i = 0; i < words.size(); ++i) {
        const Word& word = words[i];
        if (word.text == whole ||
            (word.kind == 'q' && !whole->letters().empty() && word.text->letters() == whole->letters())) {
            found(static_cast<uint32_t>(i), static_cast<uint32_t>(i + 1));
        } else if (length > 1 && word.text == parts[0] && i + length <= words.size()) {
            size_t same = 1;
            while (same < length && words[i + same].text == parts[same]) ++same;
            if (same == length) found(static_cast<uint32_t>(i), static_cast<uint32_t>(i + length));
        }
    }
}

// A value as it stands in a question.
inline Span span_of(const Value& value, uint32_t first, uint32_t last) {
    const Keys* stems = value.column_stems.empty() ? nullptr : &value.column_stems;
    return {first, last, value.text, value.key, value.opened, value.column, stems};
}

// The same, to be exchanged: named by its slot.
inline Span slot_span(const Symbols& symbols, size_t slot, const Value& value, uint32_t first, uint32_t last) {
    const Keys* stems = value.column_stems.empty() ? nullptr : &value.column_stems;
    return {first, last, symbols.slot_texts[slot], symbols.slot_keys[slot], value.opened_slot, value.column, stems};
}

// Where the values of a stored question stand in another one, however often; false where one is missing.
inline bool mentioned_in(const Question& asked, const Question& stored, std::vector<Span>& spans) {
    spans.clear();
    std::vector<const Value*> longest;
    longest.reserve(stored.values.size());
    for (const Value& value : stored.values) longest.push_back(&value);
    std::stable_sort(longest.begin(), longest.end(), [](const Value* a, const Value* b) {
        return a->last - a->first > b->last - b->first;
    });
    for (const Value* value : longest) {
        places(asked.words, value->parts, value->whole, [&](uint32_t first, uint32_t last) {
            if (!inside(spans, first, last)) spans.push_back(span_of(*value, first, last));
        });
        const auto said = [&](const Span& span) { return span.text == value->text; };
        if (std::none_of(spans.begin(), spans.end(), said)) return false;
    }
    sort_spans(spans);
    return true;
}

}  // namespace medha::guard
