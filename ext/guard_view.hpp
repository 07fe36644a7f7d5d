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

// `largest`, `highest` and `most` are one before a noun that is a quantity.
inline void magnitudes(Keys& keys) {
    for (size_t i = 0; i + 1 < keys.size(); ++i)
        if (keys[i]->magnitude && keys[i + 1]->kind() == 'w' && keys[i + 1]->body_has(QUANTITY))
            keys[i] = keys[i]->magnitude;
}

// Whether a place lies inside one of the spans.
inline bool inside(const std::vector<Span>& spans, uint32_t first, uint32_t last) {
    for (const Span& span : spans)
        if (first < span.last && span.first < last) return true;
    return false;
}

// Fold spans (in the order of their first words) into value items; a value said twice asks for nothing new.
inline void view_of(const Symbols& symbols, const std::vector<Word>& words, const std::vector<Item>& items,
                    const Symbol* asks, const std::vector<Span>& spans, View& view) {
    view.keys.clear();
    view.opened.clear();
    view.open_words.clear();
    view.asks = asks;
    const auto add = [&](const Span& span) {
        if (contains(view.keys, span.key)) return;
        view.keys.push_back(span.key);
        view.opened.push_back(span.opened);
    };
    auto pending = spans.begin();
    for (const Item& item : items) {
        while (pending != spans.end() && pending->first <= item.first) add(*pending++);
        if (inside(spans, item.first, item.last)) continue;
        view.keys.push_back(item.key);
        view.opened.push_back(item.key);
    }
    while (pending != spans.end()) add(*pending++);
    for (uint32_t i = 0; i < words.size(); ++i)
        if (!inside(spans, i, i + 1)) view.open_words.push_back(words[i].text);
    for (Keys* keys : {&view.keys, &view.opened}) {
        ranges(symbols, *keys);
        magnitudes(*keys);
    }
}

// A value with its text left open: only the column's own name counts, and all numbers are alike.
inline const Symbol* open_value(Symbols& symbols, const Symbol* text, std::string_view column_tail) {
    return text->is_digits() ? symbols.open_number : symbols.intern("v:", column_tail);
}

inline void sort_spans(std::vector<Span>& spans) {
    std::stable_sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.first < b.first; });
}

// Where a value stands among words; a quoted string holds a whole value.
template <class Found>
void places(const std::vector<Word>& words, const Value& value, Found found) {
    if (value.parts.empty()) return;
    const size_t length = value.parts.size();
    for (size_t i = 0; i < words.size(); ++i) {
        const Word& word = words[i];
        if (word.text == value.whole ||
            (word.kind == 'q' && !value.whole->letters().empty() && word.text->letters() == value.whole->letters())) {
            found(static_cast<uint32_t>(i), static_cast<uint32_t>(i + 1));
        } else if (length > 1 && word.text == value.parts[0] && i + length <= words.size()) {
            size_t same = 1;
            while (same < length && words[i + same].text == value.parts[same]) ++same;
            if (same == length) found(static_cast<uint32_t>(i), static_cast<uint32_t>(i + length));
        }
    }
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
        places(asked.words, *value, [&](uint32_t first, uint32_t last) {
            if (!inside(spans, first, last)) spans.push_back({first, last, value->text, value->key, value->opened});
        });
        const auto said = [&](const Span& span) { return span.text == value->text; };
        if (std::none_of(spans.begin(), spans.end(), said)) return false;
    }
    sort_spans(spans);
    return true;
}

}  // namespace medha::guard
