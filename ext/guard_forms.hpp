// Finds stored questions that say the same words with other values, without any vector.
// The rules are those of medha_core/guard/forms.py.
#pragma once


#include "guard_judge.hpp"

namespace medha::guard {

constexpr size_t MAX_READINGS = 16;  // ways of reading the values of one question
constexpr size_t MAX_ALIKE = 4;      // entries of one form that are worth judging
constexpr size_t MAX_NEAR = 8;       // words of the vocabulary that are weighed as what was meant

class Finder {
  public:
    Finder(Symbols& symbols, const Evidence& evidence) : symbols_(symbols), evidence_(evidence) {}

    // Entries whose question, its values left open, says the words of the asked one; newest first.
    std::vector<uint64_t> alike(const Question& asked) {
        if (asked.words.size() > LONGEST) return {};
        symbols_.language = asked.language;
        words_ = asked.words;
        items_ = asked.items;
        asks_ = asked.asks;
        correct_words();
        std::vector<uint64_t> found;
        each_form([&](const Keys& opened) {
            const Evidence::Form* held = evidence_.find_form(opened);
            if (!held) return;
            size_t taken = 0;
            for (auto aged = held->by_age.rbegin(); aged != held->by_age.rend() && taken < MAX_ALIKE; ++aged, ++taken)
                if (std::find(found.begin(), found.end(), aged->second.first) == found.end())
                    found.push_back(aged->second.first);
        });
        return found;
    }

  private:
    // Put words nobody knows right by words of stored questions.
    void correct_words() {
        bool changed = false;
        std::unordered_map<const Symbol*, const Symbol*> meant;
        for (Word& word : words_) {
            if (word.kind != 'w' || word.text->has(COMMON) || evidence_.vocabulary().count(word.text)) continue;
            const auto [place, is_new] = meant.try_emplace(word.text, nullptr);
            if (is_new) place->second = corrected(word.text);
        }
        for (Word& word : words_) {
            const auto place = meant.find(word.text);
            if (place == meant.end() || !place->second) continue;
            word.text = place->second;
            changed = true;
        }
        if (!changed) return;
        const ItemReader reader(symbols_, words_);
        items_ = reader.items();
        asks_ = reader.asked_for(items_);
        reader.bring_to_front(items_, asks_);
    }

    // The one word of the vocabulary that `word` is a slip for, or null: of those nearest to it, the oldest few.
    const Symbol* corrected(const Symbol* word) const {
        const Spelt wanted(word);
        const size_t least = nearest_meant(wanted);
        if (least > 2) return nullptr;
        std::vector<std::pair<uint64_t, const Symbol*>> near;  // age, word
        bool nearer = false;
        const auto weigh = [&](const Spelt& said) {
            if (!wanted.may_be_within(static_cast<uint32_t>(least), said)) return true;
            const size_t distance = edits_of(word->text(), said.word->text(), least);
            nearer = distance < least;
            if (distance == least) near.emplace_back(said.age, said.word);
            return !nearer;
        };
        const std::vector<Spelt>& spelt = evidence_.spelt();
        if (least == 1)
            evidence_.near().each_near(word, [&](uint32_t place) { return weigh(spelt[place]); });
        else
            std::all_of(spelt.begin(), spelt.end(), weigh);  // short words two edits away are found in no other way
        if (nearer) return nullptr;
        std::sort(near.begin(), near.end());
        near.erase(std::unique(near.begin(), near.end()), near.end());
        const Symbol* meant = nullptr;
        for (size_t i = 0; i < std::min(near.size(), MAX_NEAR); ++i) {
            if (!is_slip(word, near[i].second)) continue;
            if (meant) return nullptr;
            meant = near[i].second;
        }
        return meant;
    }

    // Edits to the nearest word of the vocabulary that `wanted` may be a slip for, 3 where there is none: the
    // usual case, and the short way out of it.
    size_t nearest_meant(const Spelt& wanted) const {
        size_t least = 3;
        if (!wanted.word->has(ALPHABETIC)) return least;
        evidence_.near().each_near(wanted.word, [&](uint32_t place) {
            const Spelt& said = evidence_.spelt()[place];
            if (said.size < UNKNOWN_FROM && !said.is_known(symbols_.language)) return true;
            const size_t allowed = std::min<size_t>(said.size < TWO_SLIPS_FROM ? 1 : 2, least - 1);
            if (wanted.may_be_within(static_cast<uint32_t>(allowed), said) && is_slip(wanted.word, said.word))
                least = edits_of(wanted.word->text(), said.word->text(), allowed);
            return least > 1;
        });
        return least;
    }

    template <class Use>
    void each_form(Use use) {
        Keys row;
        for (const Word& word : words_) row.push_back(word.text);
        std::vector<Spotted> spotted;
        evidence_.values.spot(symbols_, row, spotted);
        std::vector<Keys> choices;
        for (const Spotted& one : spotted) choices.push_back(opened_forms(one.text));
        std::vector<size_t> chosen(spotted.size(), 0);
        View view;
        for (size_t reading = 0; reading < MAX_READINGS; ++reading) {
            std::vector<Span> spans;
            for (size_t i = 0; i < spotted.size(); ++i)
                spans.push_back(spotted_span(spotted[i].text, choices[i][chosen[i]], spotted[i].first, spotted[i].last));
            add_numbers(spans);
            view_of(symbols_, words_, items_, asks_, spans, view);
            use(view.opened);
            size_t i = chosen.size();
            while (i > 0 && ++chosen[i - 1] == choices[i - 1].size()) chosen[--i] = 0;
            if (i == 0) return;
        }
    }

    // The ways a known value may be left open, by text.
    Keys opened_forms(const Symbol* text) const {
        Keys found;
        evidence_.values.each_column(text, [&](const Symbol* column) {
            const Symbol* opened = open_value(symbols_, text, KnownValues::tail(column));
            if (!contains(found, opened)) found.push_back(opened);
        });
        std::sort(found.begin(), found.end(), TextLess());
        return found;
    }

    // A value as it might stand here; its column is known by the last part of its name only.
    Span spotted_span(const Symbol* text, const Symbol* opened, uint32_t first, uint32_t last) const {
        return {first, last, text, symbols_.intern("v:", text->text()), opened, opened, nullptr};
    }

    void add_numbers(std::vector<Span>& spans) const {
        const size_t values = spans.size();
        for (uint32_t i = 0; i < words_.size(); ++i) {
            if (words_[i].kind != 'n') continue;
            bool taken = false;
            for (size_t k = 0; k < values; ++k) taken = taken || (spans[k].first <= i && i < spans[k].last);
            if (taken) continue;
            Span span = spotted_span(words_[i].text, open_value(symbols_, words_[i].text, ""), i, i + 1);
            span.column = symbols_.intern("v:");
            spans.push_back(span);
        }
    }

    Symbols& symbols_;
    const Evidence& evidence_;
    std::vector<Word> words_;
    std::vector<Item> items_;
    const Symbol* asks_ = nullptr;
};

}  // namespace medha::guard
