// What the word list of a language says of a word. The rules are those of medha_core/reading/lexicon.py and facts.py,
// for words that none of the lexicon's small tables names; of these the lexicon itself is asked, which is Python
// code and takes fifty microseconds for each.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace medha::guard {

// What the lexicon says of one word; medha_core/reading/facts.py fills it in this order.
enum Flag : uint64_t {
    ALPHABETIC = 1 << 0,
    COMMON = 1 << 1,
    KNOWN = 1 << 2,
    CLOSED = 1 << 3,
    NAME = 1 << 4,
    NOUN = 1 << 5,
    LIGHT = 1 << 6,
    CALENDAR = 1 << 7,
    QUANTITY = 1 << 8,
    STOP = 1 << 9,
    REQUEST = 1 << 10,
    WISH = 1 << 11,
    RELATIVE = 1 << 12,
    RELATIVE_HEAD = 1 << 13,
    RELATIVE_UNIT = 1 << 14,
    MULTIPLIER = 1 << 15,
    PERSON_ASKED = 1 << 16,
    COPULA = 1 << 17,
    DETERMINER = 1 << 18,
    OPENER = 1 << 19,
    STARTER = 1 << 20,
    INTERROGATIVE = 1 << 21,
    AUXILIARY = 1 << 22,
    UNIT = 1 << 23,
    UNIT_FORM = 1 << 24,  // a form of a unit
    VERB = 1 << 25,
    VERB_FORM = 1 << 26,  // a form of a verb
    IRREGULAR = 1 << 27,
    PERSON = 1 << 28,
    BEFORE_CLASS = 1 << 29,
    LIGHT_VERB = 1 << 30,
    UNITY = uint64_t{1} << 31,
    BEFORE_UNITY = uint64_t{1} << 32,
    PROPER = uint64_t{1} << 33,
    INDEFINITE = uint64_t{1} << 34,
    PAST_FORM = uint64_t{1} << 35,
    INVERTING = uint64_t{1} << 36,  // a verb that stands before the subject of a question
    ASKER = uint64_t{1} << 37,
    FUTURE = uint64_t{1} << 38,
    PAST_TIME = uint64_t{1} << 39,
    POSSIBLE = uint64_t{1} << 40,
    UNLIKE_ONE = uint64_t{1} << 41,
    UNLIKE_OTHER = uint64_t{1} << 42,
    GENERIC = uint64_t{1} << 43,
    ANYWHERE = uint64_t{1} << 44,
    NAMING = uint64_t{1} << 45,
    MAKING = uint64_t{1} << 46,
    PRICE = uint64_t{1} << 47,
    MOMENT = uint64_t{1} << 48,
    LABEL = uint64_t{1} << 49,  // says nothing right before a number
    ANYBODY = uint64_t{1} << 50,
    FILLER = uint64_t{1} << 51,
};

// Words, each with a note, found by their text.
class Notes {
  public:
    // `word note`, a line each.
    void add_lines(std::string_view lines) {
        text_.append(lines).append("\n");
        const size_t count = static_cast<size_t>(std::count(text_.begin(), text_.end(), '\n'));
        size_t size = 1;
        while (size < 2 * count) size *= 2;
        slots_.assign(size, 0);
        for (size_t start = 0; start < text_.size(); start = text_.find('\n', start) + 1) {
            const std::string_view word = word_at(start);
            if (!word.empty()) slots_[slot_of(word)] = static_cast<uint32_t>(start + 1);
        }
    }

    bool empty() const { return slots_.empty(); }

    // The note of a word, empty where there is none.
    std::string_view find(std::string_view word) const {
        if (empty()) return {};
        const uint32_t place = slots_[slot_of(word)];
        if (!place) return {};
        const size_t start = place + word.size();
        return std::string_view(text_).substr(start, text_.find('\n', start) - start);
    }

    bool says(std::string_view word, std::string_view part) const {
        return find(word).find(part) != std::string_view::npos;
    }

  private:
    std::string_view word_at(size_t start) const {
        return std::string_view(text_).substr(start, text_.find_first_of(" \n", start) - start);
    }

    // Where a word is, or the free slot where it would be. Half of the slots are free.
    size_t slot_of(std::string_view word) const {
        size_t slot = std::hash<std::string_view>()(word) & (slots_.size() - 1);
        while (slots_[slot] && word_at(slots_[slot] - 1) != word) slot = (slot + 1) & (slots_.size() - 1);
        return slot;
    }

    std::string text_;
    std::vector<uint32_t> slots_;  // where the line of a word begins, counted from one
};

struct OpenWord {
    uint64_t flags = 0;
    std::string lemma, superlative_of, comparative_of;
};

class OpenWords {
  public:
    // Words with their parts of speech, and irregular forms with their base; a line each.
    void add_words(std::string_view lines) { words_.add_lines(lines); }
    void add_irregular(std::string_view lines) { irregular_.add_lines(lines); }
    // A word of a small table.
    void add_particular(std::string_view word) {
        if (!word.empty()) particular_.emplace(word);
    }

    // Whether all there is to say of a word follows from the word list; then it is said in `told`.
    bool tell(std::string_view word, OpenWord& told) const {
        if (words_.empty() || word.empty() || !is_plain(word) || is_particular(word)) return false;
        told.lemma = lemma(word);
        if (word.size() > 5 && !words_.says(word, "+")) told.superlative_of = adjective(word, "est");
        if (word.size() > 4) told.comparative_of = adjective(word, "er");
        if (is_particular(told.lemma) || is_particular(told.superlative_of) || is_particular(told.comparative_of))
            return false;
        told.flags = flags(word, told);
        return true;
    }

    // A rough stem for telling forms of one word.
    static std::string_view stem(std::string_view word) {
        static constexpr std::string_view ENDINGS[] = {"ation", "ment", "ness", "ing", "ion", "ity", "est",
                                                       "ers",   "ors",  "ies",  "ed",  "er",  "or",  "es",
                                                       "ly",    "al",   "s",    "e",   "y"};
        for (const std::string_view ending : ENDINGS) {
            if (!ends(word, ending) || word.size() < ending.size() + 3) continue;
            word.remove_suffix(ending.size());
            break;
        }
        if (word.size() > 4 && is_doubled(word)) word.remove_suffix(1);
        return word;
    }

  private:
    static bool is_letter(char c) { return static_cast<uint8_t>((c | 0x20) - 'a') < 26; }
    static bool is_plain(std::string_view word) {
        return std::all_of(word.begin(), word.end(), [](char c) { return c > 0 && c != '\''; });
    }
    static bool ends(std::string_view word, std::string_view ending) {
        return word.size() >= ending.size() && word.substr(word.size() - ending.size()) == ending;
    }
    static bool is_doubled(std::string_view word) { return word[word.size() - 1] == word[word.size() - 2]; }
    static std::string_view cut(std::string_view word, size_t letters) { return word.substr(0, word.size() - letters); }

    bool is_particular(std::string_view word) const { return particular_.count(std::string(word)) != 0; }

    uint64_t flags(std::string_view word, const OpenWord& told) const {
        const auto any = [](bool holds, Flag flag) { return holds ? uint64_t{flag} : 0; };
        const std::string_view parts = words_.find(word), base = words_.find(told.lemma);
        const auto says = [](std::string_view of, std::string_view part) { return of.find(part) != std::string_view::npos; };
        const bool irregular = !irregular_.find(word).empty(), past = is_past(word);
        const bool known = !parts.empty() || irregular || !base.empty();
        const bool name = says(parts, "p") || !(known || !told.superlative_of.empty());
        const bool noun = !name && !past && says(base, "n") && !ends(word, "ed") && !ends(word, "ing");
        return any(std::all_of(word.begin(), word.end(), is_letter), ALPHABETIC) |
               any(irregular || says(base, "+"), COMMON) | any(known, KNOWN) | any(name, NAME) | any(noun, NOUN) |
               any(says(parts, "v"), VERB) | any(says(base, "v"), VERB_FORM) | any(irregular, IRREGULAR) |
               any(says(parts, "h"), PERSON) | any(says(parts, "p") && !says(parts, "v+"), PROPER) |
               any(ends(word, "ed") || past, PAST_FORM);
    }

    // The adjective that a word is a form of, or nothing.
    std::string adjective(std::string_view word, std::string_view ending) const {
        if (!ends(word, ending)) return {};
        const std::string base(cut(word, ending.size()));
        const std::string_view with_y = ends(base, "i") ? cut(base, 1) : std::string_view(base);
        for (std::string form : {base, base + "e", std::string(with_y) + "y", std::string(cut(base, 1))})
            if (words_.says(form, "a")) return form;
        return {};
    }

    bool is_past(std::string_view word) const {
        const std::string_view base = irregular_.find(word);
        return !base.empty() && words_.says(base, "v+");
    }

    // The dictionary form. Unknown words lose only a plural s.
    std::string lemma(std::string_view word) const {
        if (ends(word, "es") && words_.says(cut(word, 1), "v")) return std::string(cut(word, 1));
        const std::string_view base = irregular_.find(word);
        const bool is_verb_form = is_past(word) && !words_.says(word, "n+");
        if (!base.empty() && (!words_.says(word, "+") || is_verb_form) && !words_.find(base).empty())
            return std::string(base);
        std::string found = regular(word);
        if (!found.empty()) return found;
        const bool plural = words_.find(word).empty() && word.size() > 3 && ends(word, "s") && !ends(word, "ss");
        return std::string(plural ? cut(word, 1) : word);
    }

    // The first base form that a regular ending may come from, or nothing.
    std::string regular(std::string_view word) const {
        std::string found;
        const auto is = [&](std::string_view base, std::string_view more, std::string_view part) {
            if (!found.empty()) return;
            std::string form = std::string(base).append(more);
            if (words_.says(form, part)) found = std::move(form);
        };
        if (ends(word, "ss") || word.size() < 4) return found;
        if (ends(word, "ies"))
            for (const char* part : {"n", "v"}) is(cut(word, 3), "y", part);
        if (ends(word, "es")) {
            for (const char* part : {"n", "v"})
                for (const size_t letters : {1, 2}) is(cut(word, letters), "", part);
        } else if (ends(word, "s")) {
            for (const char* part : {"n", "v"}) is(cut(word, 1), "", part);
        }
        for (const std::string_view ending : {"ied", "ed", "ing"}) {
            if (!ends(word, ending) || word.size() <= ending.size() + 2) continue;
            const std::string_view base = cut(word, ending.size());
            if (ending == "ied") {
                is(base, "y", "v");
                continue;
            }
            const bool doubled = base.size() > 2 && is_doubled(base);
            if (doubled && base.back() != 'l' && base.back() != 's') is(cut(base, 1), "", "v");
            is(base, "", "v");
            is(base, "e", "v");
            if (doubled) is(cut(base, 1), "", "v");
        }
        return found;
    }

    Notes words_, irregular_;
    std::unordered_set<std::string> particular_;
};

}  // namespace medha::guard
