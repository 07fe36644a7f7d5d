// Makes a question from words and, for a stored one, from what its query says.
#pragma once

#include "guard_exchange.hpp"
#include "guard_forms.hpp"
#include "guard_words.hpp"

namespace medha::guard {

// The stems of the words a column is named with.
inline Keys stems_of(const Keys& words) {
    Keys stems;
    for (const Symbol* word : words) stems.push_back(word->facts().lemma_stem);
    return stems;
}

class Builder {
  public:
    Builder(Symbols& symbols, Question& question) : symbols_(symbols), q_(question) {}

    // The words of an ASCII text; false where the Python reader has to read them.
    bool tokenize(std::string_view text) {
        std::vector<Word> words;
        words.reserve(text.size() / 4 + 1);
        if (!Tokenizer(symbols_, text, words).run()) return false;
        q_.words.reserve(words.size());
        for (const Word& word : words) add_word(word);
        return true;
    }

    void add_word(const Word& word) {
        hold(word.text);
        hold(word.quoted);
        hold(word.quoted_lower);
        q_.words.push_back(word);
    }

    // Read the words: what they say, whether they are English, whether they name a moving time.
    void read() {
        const ItemReader reader(symbols_, q_.words);
        q_.items = reader.items();
        q_.asks = hold(reader.asked_for(q_.items));
        reader.bring_to_front(q_.items, q_.asks);
        for (const Item& item : q_.items) hold(item.key);
        q_.is_english = reader.is_english();
        for (const Word& word : q_.words) q_.knows_all = q_.knows_all && (word.kind != 'w' || word.text->has(KNOWN));
        q_.relative = reader.is_relative();
    }

    // Take over what another question says.
    void copy(const Question& said) {
        q_.words.reserve(said.words.size());
        for (const Word& word : said.words) add_word(word);
        q_.items = said.items;
        for (const Item& item : q_.items) hold(item.key);
        q_.asks = hold(said.asks);
        q_.is_english = said.is_english;
        q_.knows_all = said.knows_all;
        q_.relative = said.relative;
    }

    // A value that the question names. `first` and `last` must lie within the words.
    void add_value(const Symbol* text, const Symbol* whole, const Keys& parts, const Symbol* column,
                   const Keys& column_parts, uint32_t first, uint32_t last) {
        Value value;
        value.text = hold(text);
        value.whole = hold(whole);
        for (const Symbol* part : parts) hold(part);
        value.parts = parts;
        value.column = hold(column);
        value.column_stems = stems_of(column_parts);
        for (const Symbol* stem : value.column_stems) hold(stem);
        const std::string tail(KnownValues::tail(column));
        value.key = hold(symbols_.intern("v:", text->text()));
        value.opened = hold(open_value(symbols_, text, tail));
        value.opened_slot = hold(symbols_.intern("v:", tail));
        value.first = first;
        value.last = last;
        q_.values.push_back(std::move(value));
    }
    void add_literal(uint32_t literal, const Symbol* column, const Symbol* spelling) {
        q_.values.back().literals.push_back(literal);
        q_.values.back().spellings.push_back({hold(column), hold(spelling)});
    }
    void add_slot(const Slot& slot) {
        for (const Symbol* column : slot.columns) hold(column);
        hold(slot.spelling);
        q_.slots.push_back(slot);
    }

    void set_sense(const Sense& sense) {
        q_.sense = sense;
        for (const Keys* keys : {&sense.superlatives, &sense.alone, &sense.measured, &sense.adjectives, &sense.peopled,
                                 &sense.sizes, &sense.selected, &sense.places, &sense.extremes, &sense.things,
                                 &sense.venues})
            for (const Symbol* key : *keys) hold(key);
    }

    void finish(const Symbol* shape, const Keys& names) {
        q_.shape = hold(shape);
        for (const Symbol* name : names) hold(name);
        q_.names = names;
        make_set(q_.names);
        for (const Value& value : q_.values) q_.spans.push_back(span_of(value, value.first, value.last));
        for (size_t i = 0; i < q_.slots.size() && i < Symbols::SLOTS; ++i) {
            const Value& value = q_.values[q_.slots[i].value];
            q_.slot_spans.push_back(slot_span(symbols_, i, value, value.first, value.last));
        }
        view_of(symbols_, q_.words, q_.items, q_.asks, q_.spans, q_.own);
        for (const Keys* keys : {&q_.own.keys, &q_.own.opened, &q_.own.classes})
            for (const Symbol* key : *keys) hold(key);
        q_.opened = q_.own.opened;
    }

  private:
    const Symbol* hold(const Symbol* symbol) { return q_.held.hold(symbol); }

    Symbols& symbols_;
    Question& q_;
};

}  // namespace medha::guard
