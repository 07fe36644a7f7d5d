// From words to items: what each word of a question says. The rules are those of
// medha_core/reading/features.py; what a single word means comes from the lexicon.
#pragma once

#include "guard_question.hpp"

namespace medha::guard {

class ItemReader {
  public:
    ItemReader(Symbols& symbols, const std::vector<Word>& words) : symbols_(symbols), words_(words) {}

    std::vector<Item> items() const {
        std::vector<Item> found;
        found.reserve(words_.size());
        bool asking = true;
        for (size_t i = 0; i < words_.size();) {
            size_t length = 1;
            const Symbol* key = nullptr;
            const Phrase* phrase = phrase_at(i);
            if (phrase) {
                length = phrase->words.size();
                key = phrase->key;
            } else {
                key = single(i, asking);
            }
            if (key) {
                asking = asking && key->kind() == 'a';
                found.push_back({key, static_cast<uint32_t>(i), static_cast<uint32_t>(i + length)});
            }
            i += length;
        }
        put_bounds_first(found);
        return found;
    }

    // `which house ... is the cheapest` with its last word where `the cheapest house` has it.
    void bring_to_front(std::vector<Item>& items, const Symbol* asks) const {
        if (items.size() < 2 || !asks || items.back().key->kind() != 'o' || items.back().last != words_.size()) return;
        const uint32_t first = items.back().first;
        if (first < 2 || words_[first - 1].text != symbols_.the || !words_[first - 2].text->has(COPULA)) return;
        const auto place = std::find_if(items.begin(), items.end(), [&](const Item& item) { return item.key == asks; });
        if (place == items.end()) return;
        const Item fronted = {items.back().key, place->first, place->first};
        items.insert(place, fronted);
        items.pop_back();
    }

    // The last noun of the first unbroken row of content words. A part that opens the question (`for each
    // shop, what ...`) is passed over, and a row that runs into the verb (`which products cost ...`) ends before it.
    const Symbol* asked_for(const std::vector<Item>& items) const {
        const size_t begins = question_begins();
        std::vector<Item> row;
        for (const Item& item : items) {
            const bool content = item.key->kind() == 'w';
            if (item.first < begins || (!content && row.empty())) continue;
            if (!content) break;
            if (!row.empty() && (item.first != row.back().last || !words_[item.first].text->has(NOUN))) break;
            row.push_back(item);
        }
        if (row.size() > 1 && lacks_auxiliary(begins)) row.resize(before_verb(row));
        return row.empty() ? nullptr : row.back().key;
    }

    // At least half of the words are English, and three quarters, a closed-class word, or a word of asking say so.
    bool is_english() const {
        // Of a language without word list its closed classes decide: the caller has seen to that.
        size_t plain = 0, foreign = 0, known = 0;
        bool closed = false;
        for (const Word& word : words_) {
            if (word.kind == 'w') {
                ++plain;
                known += word.text->has(KNOWN);
                // Names may be half of a question: `who manages Leila Ahmadi`, `list Globex's invoices`.
                closed = closed || word.text->has(CLOSED) || word.text->has(INTERROGATIVE) ||
                         (plain == 1 && word.text->has(REQUEST));
            } else if (word.kind == 'i') {
                foreign += !is_ascii(word.text->text());
            }
        }
        if (!plain) return !foreign;
        const double share = static_cast<double>(known) / static_cast<double>(plain + foreign);
        return share >= 0.75 || (share >= 0.5 && closed);
    }

    // Whether a time is named that moves with the day.
    bool is_relative() const {
        for (const Word& word : words_)
            if (word.text->has(RELATIVE)) return true;
        for (size_t i = 0; i < words_.size(); ++i) {
            if (!words_[i].text->has(RELATIVE_HEAD)) continue;
            for (size_t j = i + 1; j < words_.size() && j < i + 3; ++j)
                if (words_[j].text->has(RELATIVE_UNIT)) return true;
        }
        return false;
    }

  private:
    // `5 or more` as `at least 5`, `over the age of 65` as `age over 65`: the bound right before its number. Where it
    // stood elsewhere it takes no place of its own.
    void put_bounds_first(std::vector<Item>& items) const {
        for (size_t k = 0; k + 2 < items.size(); ++k) {
            const uint32_t first = items[k].first, number = items[k + 2].first;
            if ((items[k].key != symbols_.o_gt && items[k].key != symbols_.o_lt) || words_[number].kind != 'n') continue;
            if (number - first >= 5 || !words_[first].text->facts().around || !items[k + 1].key->body_has(QUANTITY)) continue;
            const Item bound = {items[k].key, number - 1, number - 1};
            items[k] = items[k + 1];
            items[k + 1] = bound;
        }
        for (size_t k = 1; k < items.size(); ++k) {
            const auto [key, first, last] = items[k];
            if ((key != symbols_.o_ge && key != symbols_.o_le) || first < 2) continue;
            if (items[k - 1].last != first || words_[first - 1].kind != 'n') continue;
            if (last < words_.size() && words_[last].kind == 'n') continue;
            items[k] = items[k - 1];
            items[k - 1] = {key, first - 2, first - 2};
        }
    }

    // Whether a number stands here, or an average, or a quantity with its number: `over the age of 65`.
    bool bounds(size_t i) const {
        const auto is_number = [&](size_t at) { return at < words_.size() && words_[at].kind == 'n'; };
        const auto has = [&](size_t at, Flag flag) { return at < words_.size() && words_[at].text->has(flag); };
        if (is_number(i)) return true;
        if (has(i, DETERMINER)) ++i;
        if (i < words_.size() && words_[i].text->facts().key == symbols_.o_average) return true;
        if (!has(i, QUANTITY)) return false;
        ++i;
        return is_number(i < words_.size() && words_[i].text == symbols_.of ? i + 1 : i);
    }

    // Where what is asked for begins, behind a part with a preposition before it.
    size_t question_begins() const {
        if (words_.empty() || !words_[0].text->has(OPENER)) return 0;
        for (size_t i = 2; i < words_.size(); ++i)
            if (words_[i].text->has(STARTER)) return i;
        return 0;
    }

    // Whether this is a question whose only verb is a content word.
    bool lacks_auxiliary(size_t begins) const {
        bool asks = false;
        for (size_t i = begins; i < words_.size(); ++i) {
            if (words_[i].text->has(AUXILIARY)) return false;
            asks = asks || words_[i].text->has(INTERROGATIVE);
        }
        return asks;
    }

    // How much of a row stands before the last word that agrees, as a verb, with the word before it.
    size_t before_verb(const std::vector<Item>& row) const {
        const auto ends_in_s = [](const Symbol* text) { return !text->text().empty() && text->text().back() == 's'; };
        for (size_t place = row.size(); place-- > 1;) {
            const Symbol *text = words_[row[place].first].text, *before = words_[row[place - 1].first].text;
            if (!text->has(VERB_FORM)) continue;
            if (text->has(IRREGULAR) || ends_in_s(text) != ends_in_s(before)) return place;
        }
        return row.size();
    }

    // Whether `where is a ...` or `where can I find ...` asks for some, and not for a place.
    bool wants_one(size_t i) const {
        if (i + 2 >= words_.size()) return false;
        if (words_[i + 1].text->has(COPULA)) return words_[i + 2].text->has(INDEFINITE);
        return words_[i + 1].text->has(AUXILIARY) && words_[std::min(i + 3, words_.size() - 1)].text->has(REQUEST);
    }

    // Whether a content word stands before: `sold every book` means all, `name of every book` any.
    bool is_object(size_t i) const {
        const Symbol* before = i > 1 ? words_[i - 1].text : symbols_.empty;
        return before != symbols_.empty && !before->has(CLOSED) && !before->has(REQUEST);
    }

    // Whether `who is the ...` or `who is ...'s manager` says itself whom it asks for.
    bool is_named_next(size_t i) const {
        if (i + 2 >= words_.size() || !words_[i + 1].text->has(COPULA)) return false;
        return words_[i + 2].text->has(DETERMINER) || words_.back().text->has(PERSON);
    }

    // Whether a number with a unit stands here, which says by itself what is compared.
    bool has_unit(size_t i) const {
        return i + 1 < words_.size() && words_[i].kind == 'n' && words_[i + 1].text->has(UNIT_FORM);
    }

    static bool is_ascii(std::string_view text) {
        for (const char c : text)
            if (static_cast<unsigned char>(c) >= 0x80) return false;
        return true;
    }

    const Phrase* phrase_at(size_t i) const {
        for (const Phrase& phrase : words_[i].text->facts().phrases) {
            if (i + phrase.words.size() > words_.size()) continue;
            size_t same = 0;
            while (same < phrase.words.size() && words_[i + same].text == phrase.words[same]) ++same;
            if (same < phrase.words.size()) continue;
            if (same == 2 && phrase.key == symbols_.o_count && is_part_of_noun(i)) continue;
            return &phrase;
        }
        return nullptr;
    }

    // Whether `number of` says which one: `the room number of Li`, but not `by room number of guests`.
    bool is_part_of_noun(size_t i) const {
        if (!i || !words_[i].text->has(LABEL)) return false;
        if (!is_plain_noun(words_[i - 1].text) && !words_[i - 1].text->has(PROPER)) return false;
        const size_t behind = i + 2 < words_.size() && words_[i + 2].text->has(DETERMINER) ? i + 3 : i + 2;
        if (behind >= words_.size() || !is_plain_noun(words_[behind].text)) return true;
        const Symbol* counted = words_[behind].text;
        return counted->facts().key->body() == counted->text();
    }
    static bool is_plain_noun(const Symbol* text) {
        return text->has(NOUN) && !text->has(CLOSED) && !text->has(REQUEST);
    }

    // The key of one word, null where it says nothing. Cases: no word; politeness; structure; content.
    const Symbol* single(size_t i, bool asking) const {
        const Word& word = words_[i];
        if (word.kind != 'w') return key_of(word);
        if (is_polite(i, asking)) return nullptr;
        const Facts& facts = word.text->facts();
        const bool followed = i + 1 < words_.size();
        if (facts.flags & PERSON_ASKED) return asking && !is_named_next(i) ? symbols_.a_who : nullptr;
        if (facts.around && bounds(i + 1)) return facts.around;
        if (word.text == symbols_.than && i)
            if (const Symbol* way = words_[i - 1].text->facts().compared_way) return way;
        if ((facts.flags & UNITY) && i && words_[i - 1].text->has(BEFORE_UNITY)) return symbols_.n_one;
        if (facts.key == symbols_.a_where && asking && wants_one(i)) return nullptr;
        if (facts.settled && facts.key == symbols_.o_all) return is_object(i) ? symbols_.o_each : nullptr;
        if (facts.settled) return facts.key == symbols_.o_every && is_object(i) ? symbols_.o_each : facts.key;
        if (facts.ordinal && followed) return facts.ordinal;
        if (facts.superlative) return facts.superlative;
        if (followed && words_[i + 1].text == symbols_.than) {
            if (facts.compared) return has_unit(i + 2) ? nullptr : facts.compared;
            if (facts.comparative) return facts.comparative;
        }
        return facts.key;
    }

    const Symbol* key_of(const Word& word) const {
        if (word.kind == 's') return symbols_.intern("o:", std::string_view(word.text->text()).substr(1));
        const char prefix[] = {word.kind, ':'};
        return symbols_.intern(std::string_view(prefix, 2), word.text->text());
    }

    // Words of asking: `show me`, `i would like to see`, a `no` that only opens the sentence.
    bool is_polite(size_t i, bool asking) const {
        const Symbol* text = words_[i].text;
        const Symbol* before = i ? words_[i - 1].text : symbols_.empty;
        const Symbol* after = i + 1 < words_.size() ? words_[i + 1].text : symbols_.empty;
        if (text->has(REQUEST))
            return asking || before->has(WISH) || before == symbols_.to || before == symbols_.you;
        if (text == symbols_.am) return before == symbols_.i_;
        if (text == symbols_.name) return !i || before == symbols_.please;
        if (text == symbols_.to) return after->has(REQUEST);
        if (text == symbols_.like) return before->has(WISH);
        return text == symbols_.no && !i && after->has(STOP);
    }

    Symbols& symbols_;
    const std::vector<Word>& words_;
};

}  // namespace medha::guard
