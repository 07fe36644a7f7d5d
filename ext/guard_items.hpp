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
        return found;
    }

    // The last noun of the first unbroken row of content words.
    const Symbol* asked_for(const std::vector<Item>& items) const {
        const Symbol* head = nullptr;
        uint32_t end = 0;
        for (const Item& item : items) {
            if (item.key->kind() != 'w') {
                if (head) break;
                continue;
            }
            if (head && (item.first != end || !words_[item.first].text->has(NOUN))) break;
            head = item.key;
            end = item.last;
        }
        return head;
    }

    // At least half of the words are English, and a closed-class word or three quarters of them say so.
    bool is_english() const {
        size_t plain = 0, foreign = 0, known = 0;
        bool closed = false;
        for (const Word& word : words_) {
            if (word.kind == 'w') {
                ++plain;
                known += word.text->has(KNOWN);
                closed = closed || word.text->has(CLOSED);
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
            if (same == phrase.words.size()) return &phrase;
        }
        return nullptr;
    }

    // The key of one word, null where it says nothing. Cases: no word; politeness; structure; content.
    const Symbol* single(size_t i, bool asking) const {
        const Word& word = words_[i];
        if (word.kind != 'w') return key_of(word);
        if (is_polite(i, asking)) return nullptr;
        const Facts& facts = word.text->facts();
        const bool followed = i + 1 < words_.size();
        if (facts.settled) return facts.key;
        if (facts.ordinal && followed) return facts.ordinal;
        if (facts.superlative) return facts.superlative;
        if (facts.comparative && followed && words_[i + 1].text == symbols_.than) return facts.comparative;
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
