// A word with what tells at a glance that another one is more than an edit or two away: most are, and a vocabulary
// has tens of thousands; and where to look for the few that are not.
#pragma once

#include <cstdint>
#include <deque>

#include "guard_edits.hpp"
#include "guard_symbols.hpp"

namespace medha::guard {

struct Spelt {
    const Symbol* word;
    uint64_t age;          // older ones come first where they are equally near
    uint64_t letters = 0;  // one bit for each byte in it, of 64 kinds
    uint32_t size;
    bool is_ascii = true;

    explicit Spelt(const Symbol* text, uint64_t age = 0)
        : word(text), age(age), size(static_cast<uint32_t>(text->text().size())) {
        for (const char c : text->text()) {
            letters |= uint64_t{1} << (static_cast<uint8_t>(c) & 63);
            is_ascii = is_ascii && static_cast<uint8_t>(c) < 0x80;
        }
    }

    // An edit takes at most one code point away and brings one; a code point has at most four bytes.
    bool may_be_within(uint32_t edits, const Spelt& other) const {
        const uint32_t most = edits * (is_ascii && other.is_ascii ? 1 : 4);
        const uint32_t longer = size > other.size ? size - other.size : other.size - size;
        return longer <= most && bits(letters ^ other.letters) <= 2 * most;
    }

    // What the lexicon of a language says, kept here because most words near another one are looked at for this only.
    bool is_known(int language) const {
        if (asked_ != language) {
            known_ = word->has(KNOWN);
            asked_ = language;
        }
        return known_;
    }

  private:
    mutable bool known_ = false;
    mutable int asked_ = -1;  // the language `known_` is of

    static uint32_t bits(uint64_t x) {
        x -= (x >> 1) & 0x5555555555555555u;
        x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
        return static_cast<uint32_t>((((x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u) >> 56);
    }
};

// Places of words, found by a word that is an edit or two away. An edit takes at most one letter from each of two
// words and leaves the rest in order. So within one edit two words are the same when each has lost a letter or none,
// and within two, five of the first seven letters of each are the same: under such rows of letters a word is kept,
// a long one under five of seven, a short one under itself and itself with a letter less.
class Neighbourhood {
  public:
    void add(const Symbol* word, uint32_t place) {
        each_row(letters_of(word), false, [&](uint32_t row) {
            if (kept_ == first_.size()) grow();
            ++kept_;
            uint32_t link = free_;
            if (link) {
                free_ = at(link).next;
            } else {
                links_.emplace_back();
                link = static_cast<uint32_t>(links_.size());
            }
            at(link) = {row, place, head(row)};
            head(row) = link;
        });
    }

    void remove(const Symbol* word, uint32_t place) {
        each_row(letters_of(word), false, [&](uint32_t row) {
            uint32_t* link = &head(row);
            while (*link && (at(*link).row != row || at(*link).place != place)) link = &at(*link).next;
            const uint32_t taken = *link;
            if (!taken) return;  // memory ran out when it was added
            *link = at(taken).next;
            at(taken) = {0, NOWHERE, free_};
            free_ = taken;
            --kept_;
        });
    }

    // Places of all words within one edit, and of all words of seven letters and more within two; some several times,
    // and others besides. `use` says whether to go on.
    template <class Use>
    void each_near(const Symbol* word, Use use) const {
        bool goes_on = true;
        each_row(letters_of(word), true, [&](uint32_t row) {
            for (uint32_t link = first_[row & (first_.size() - 1)]; link && goes_on; link = links_[link - 1].next)
                if (links_[link - 1].row == row) goes_on = use(links_[link - 1].place);
        });
    }

  private:
    static constexpr size_t LONG = 7, SHARED = 5;
    static constexpr uint32_t NOWHERE = ~uint32_t{0};

    // A place under one row. Links are counted from one: none follows 0.
    struct Link {
        uint32_t row = 0, place = NOWHERE, next = 0;
    };
    Link& at(uint32_t link) { return links_[link - 1]; }
    uint32_t& head(uint32_t row) { return first_[row & (first_.size() - 1)]; }

    void grow() {
        first_.assign(2 * first_.size(), 0);
        for (uint32_t link = 1; link <= links_.size(); ++link) {
            if (at(link).place == NOWHERE) continue;
            at(link).next = head(at(link).row);
            head(at(link).row) = link;
        }
    }

    static Points letters_of(const Symbol* word) {
        Points letters;
        decode_into(word->text(), letters);
        return letters;
    }

    // The rows under which a word is kept, or under which those near it are.
    template <class Use>
    static void each_row(const Points& letters, bool asked, Use use) {
        const size_t size = letters.size();
        if (size < LONG || (asked && size == LONG)) {
            use(row_of(letters, size, size, size));
            for (size_t i = 0; i < size; ++i)
                if (i == 0 || letters[i] != letters[i - 1]) use(row_of(letters, size, i, size));
        }
        if (size < (asked ? LONG - 1 : LONG)) return;
        const size_t first = std::min(size, LONG);
        for (size_t i = 0; i < first; ++i) {
            if (first == SHARED + 1) {
                use(row_of(letters, first, i, first));
                continue;
            }
            for (size_t j = i + 1; j < first; ++j) use(row_of(letters, first, i, j));
        }
    }

    // The first `size` letters but for two places, where these are within.
    static uint32_t row_of(const Points& letters, size_t size, size_t without, size_t and_without) {
        uint64_t row = 0xCBF29CE484222325u;
        for (size_t i = 0; i < size; ++i)
            if (i != without && i != and_without) row = (row ^ letters[i]) * 0x100000001B3u;
        return static_cast<uint32_t>(row ^ row >> 32);
    }

    std::vector<uint32_t> first_ = std::vector<uint32_t>(64);  // by the lowest bits of a row
    std::deque<Link> links_;
    uint32_t free_ = 0;  // links that are used again
    size_t kept_ = 0;
};

}  // namespace medha::guard
