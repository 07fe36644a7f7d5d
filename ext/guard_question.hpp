// One question as the guard knows it: its words, what they say, and for a stored one the values of its query.
#pragma once

#include "guard_symbols.hpp"

namespace medha::guard {

using Keys = std::vector<const Symbol*>;

inline bool is_hard(char kind) { return kind == 'v' || kind == 'n' || kind == 'q' || kind == 'i' || kind == 'd'; }
inline bool is_hard(const Symbol* key) { return is_hard(key->kind()); }

struct Word {
    const Symbol* text;
    const Symbol* quoted = nullptr;        // of a quoted string: as written
    const Symbol* quoted_lower = nullptr;  // the same in lower case
    uint32_t start = 0, end = 0;           // place in the text, in code points
    char kind = 'w';
    bool quoted_is_lower = false;
};

struct Item {
    const Symbol* key;
    uint32_t first, last;
};

// A value of the query that the question names.
struct Value {
    const Symbol* text;
    Keys parts;                      // its words
    const Symbol* whole;             // these with single spaces
    const Symbol* column;
    Keys column_stems;               // of the words its column and table are named with
    const Symbol* key;               // `v:text`
    const Symbol* opened;            // the key with the text left open
    const Symbol* opened_slot;       // the same for a value that has been exchanged
    uint32_t first, last;
    std::vector<uint32_t> literals;
    std::vector<std::pair<const Symbol*, const Symbol*>> spellings;  // column, spelling
};

// A value that a like one may take the place of.
struct Slot {
    uint32_t value;
    Keys columns;
    const Symbol* spelling;
    bool is_number, is_date, is_lower;
};

// Where a value stands in a question, and as which item it counts there.
struct Span {
    uint32_t first, last;
    const Symbol* text;
    const Symbol* key;
    const Symbol* opened;
    const Symbol* column;
    const Keys* column_stems;  // null: none
};

// The compared items of one question, in order.
struct View {
    Keys keys, opened, open_words;
    const Symbol* asks = nullptr;
    Keys classes;  // words beside a value that only say what its column says
};

// What a query selects and takes the extreme of, as keys of the words that say so (medha_core/reading/sense.py).
struct Sense {
    Keys superlatives, alone, measured, adjectives, peopled, sizes, selected;
    bool is_number = false;
    Keys places, extremes, things, venues;
    bool differs = true, sums = false, groups = false;
};

struct Question {
    std::vector<Word> words;
    std::vector<Item> items;
    const Symbol* asks = nullptr;
    bool is_english = false, relative = false, fixed_dates = false, unnamed = false, selects_name = false,
         can_exchange = false;
    bool knows_all = true;  // whether the lexicon knows every word
    int language = 0;
    std::vector<Value> values;
    std::vector<Slot> slots;
    std::vector<Span> spans, slot_spans;  // of `values`: as they are, and named by slot
    Keys names;                           // stems, sorted by address
    Sense sense;
    const Symbol* shape = nullptr;
    Keys opened;
    View own;                             // under `spans`
    Holder held;
};

}  // namespace medha::guard
