// Which values of the asked question may take the place of a stored query's.
// The rules are those of medha_core/deciding/substitution.py.
#pragma once

#include "guard_judge.hpp"

namespace medha::guard {

constexpr size_t MAX_ORDERS = 24;     // assignments of values to slots that are tried for one entry
constexpr size_t MAX_VALUE = 512;     // code points of a value; a longer one is refused

// One way to fit the asked question's values into the slots of a stored query.
struct Proposal {
    std::vector<Span> spans;        // of the asked question, named by slot
    std::vector<uint32_t> slots;    // which slot each of them fills
    Keys spellings;                 // for each slot
    size_t exchanged = 0;
};

struct Candidate {
    const Question* question;
    double score, margin;
};

struct Judged {
    Verdict verdict;          // on the query as it is stored
    bool exchanges = false;   // whether it may answer with other values
    Verdict exchanged;        // on that
    Proposal proposal;
};

inline bool is_digits(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

inline bool is_number(std::string_view text) {
    const size_t dot = text.find('.');
    if (dot == std::string_view::npos) return is_digits(text);
    const std::string_view fraction = text.substr(dot + 1);
    return is_digits(text.substr(0, dot)) && (fraction.empty() || is_digits(fraction));
}

// `2023-03-05`, with a time behind a T or without.
inline bool is_iso_date(std::string_view text) {
    static constexpr std::string_view FORM = "0000-00-00";
    if (text.size() < FORM.size()) return false;
    for (size_t i = 0; i < FORM.size(); ++i)
        if (FORM[i] == '-' ? text[i] != '-' : !is_digits(text.substr(i, 1))) return false;
    const std::string_view time = text.substr(FORM.size());
    if (time.empty()) return true;
    return time.size() > 1 && time[0] == 'T' && std::all_of(time.begin() + 1, time.end(), [](char c) {
        return c == ':' || (c >= '0' && c <= '9');
    });
}

class Exchange {
  public:
    enum class Mode : uint8_t { OFF, SEEN, ANY };

    Exchange(const Symbols& symbols, const Evidence& evidence, Judge& judge, Mode mode, const Question& asked)
        : symbols_(symbols), known_(evidence.values), judge_(judge), mode_(mode), asked_(asked) {
        Keys words;
        for (const Word& word : asked.words) words.push_back(word.text);
        if (mode != Mode::OFF) known_.spot(symbols, words, spotted_);
    }

    // The verdict on one candidate: as it is, else with its values exchanged in the one way that is accepted.
    void judge(const Candidate& candidate, Judged& judged) {
        const Question& stored = *candidate.question;
        judged.verdict = judge_.judge(asked_, stored, candidate.score, candidate.margin);
        if (!is_exchangeable(judged.verdict.reason) || mode_ == Mode::OFF || !stored.can_exchange) return;
        if (stored.slots.empty() || stored.slots.size() > Symbols::SLOTS || !fit(stored)) return;
        size_t accepted = 0;
        each_order(stored, [&](Proposal& proposal) {
            Verdict verdict = judge_.judge(asked_, stored, proposal.spans, stored.slot_spans, candidate.score,
                                           candidate.margin, proposal.exchanged);
            if (!verdict.accepted) return;
            if (++accepted > 1) return;
            judged.exchanged = std::move(verdict);
            judged.proposal = proposal;
        });
        judged.exchanges = accepted == 1;
    }

  private:
    struct Found {
        const Symbol* text;
        uint32_t first, last;
    };

    static bool is_exchangeable(Reason reason) {
        return reason == R_VALUE || reason == R_NUMBER || reason == R_DATE || reason == R_QUOTED ||
               reason == R_IDENTIFIER || reason == R_BINDING;
    }

    static bool is_written(char kind) { return kind == 'n' || kind == 'q' || kind == 'i' || kind == 'd'; }

    static bool covered(const std::vector<Found>& found, uint32_t place) {
        return std::any_of(found.begin(), found.end(),
                           [&](const Found& f) { return f.first <= place && place < f.last; });
    }

    // Find the asked values and how each slot would spell them; false where their number does not fit.
    bool fit(const Question& stored) {
        spans(stored);
        const size_t n = stored.slots.size();
        if (found_.size() != n) return false;
        options_.assign(n * n, nullptr);
        for (size_t i = 0; i < n; ++i)
            for (size_t j = 0; j < n; ++j) options_[i * n + j] = spelling(stored, stored.slots[i], found_[j]);
        return true;
    }

    // What in the asked question may be a value: known ones of the slots' columns, and what looks like one.
    // What looks like a value but stands in the stored question without being in its query is a constant.
    void spans(const Question& stored) {
        found_.clear();
        for (const Spotted& spotted : spotted_)
            if (fits_any(stored, spotted.text)) found_.push_back({spotted.text, spotted.first, spotted.last});
        const size_t known = found_.size();
        Keys constants;
        for (uint32_t i = 0; i < stored.words.size(); ++i)
            if (is_written(stored.words[i].kind) && !inside(stored.spans, i, i + 1))
                constants.push_back(stored.words[i].text);
        for (uint32_t i = 0; i < asked_.words.size(); ++i) {
            const Word& word = asked_.words[i];
            if (!is_written(word.kind)) continue;
            if (known && covered({found_.begin(), found_.begin() + known}, i)) continue;
            const auto constant = std::find(constants.begin(), constants.end(), word.text);
            if (constant != constants.end())
                constants.erase(constant);
            else
                found_.push_back({word.text, i, i + 1});
        }
        std::stable_sort(found_.begin(), found_.end(), [](const Found& a, const Found& b) { return a.first < b.first; });
    }

    bool fits_any(const Question& stored, const Symbol* text) const {
        for (const Slot& slot : stored.slots)
            for (const Symbol* column : slot.columns)
                if (known_.fitting(column, text)) return true;
        return false;
    }

    // How the query would spell this value in this slot; null where it may not stand there.
    // Cases: too long; the value it has; a number; a date; a known text; with "any", a quoted text nobody knows.
    const Symbol* spelling(const Question& stored, const Slot& slot, const Found& span) const {
        const Word& word = asked_.words[span.first];
        const Value& value = stored.values[slot.value];
        if (span.text->length() > MAX_VALUE) return nullptr;
        if (span.text == value.text) return slot.spelling;
        if (slot.is_number) return is_number(span.text->text()) ? span.text : nullptr;
        if (slot.is_date) return word.kind == 'd' && is_iso_date(span.text->text()) ? span.text : nullptr;
        if (const Symbol* seen = one_spelling(slot, span.text)) return seen;
        if (mode_ != Mode::ANY || !word.quoted || known_.knows(span.text)) return nullptr;
        return slot.is_lower && !stored.words[value.first].quoted_is_lower ? word.quoted_lower : word.quoted;
    }

    const Symbol* one_spelling(const Slot& slot, const Symbol* text) const {
        const Symbol* one = nullptr;
        for (const Symbol* column : slot.columns) {
            const Symbol* seen = known_.fitting(column, text);
            if (!seen || (one && one != seen)) return nullptr;
            one = seen;
        }
        return one;
    }

    template <class Use>
    void each_order(const Question& stored, Use use) {
        const size_t n = stored.slots.size();
        std::vector<uint32_t> order(n);
        for (uint32_t i = 0; i < n; ++i) order[i] = i;
        size_t tried = 0;
        Proposal proposal;
        do {
            if (!is_allowed(order)) continue;
            if (++tried > MAX_ORDERS) return;
            if (propose(stored, order, proposal)) use(proposal);
        } while (std::next_permutation(order.begin(), order.end()));
    }

    bool is_allowed(const std::vector<uint32_t>& order) const {
        for (size_t i = 0; i < order.size(); ++i)
            if (!options_[i * order.size() + order[i]]) return false;
        return true;
    }

    bool propose(const Question& stored, const std::vector<uint32_t>& order, Proposal& proposal) const {
        proposal.exchanged = 0;
        proposal.spellings.clear();
        proposal.spans.clear();
        proposal.slots.clear();
        std::vector<uint32_t> slots(order.size());
        for (uint32_t i = 0; i < order.size(); ++i) {
            proposal.exchanged += found_[order[i]].text != stored.values[stored.slots[i].value].text;
            proposal.spellings.push_back(options_[i * order.size() + order[i]]);
            slots[order[i]] = i;
        }
        if (!proposal.exchanged) return false;
        for (size_t j = 0; j < slots.size(); ++j) {  // the found values stand in the order of the question
            const Value& value = stored.values[stored.slots[slots[j]].value];
            proposal.spans.push_back(slot_span(symbols_, slots[j], value, found_[j].first, found_[j].last));
            proposal.slots.push_back(slots[j]);
        }
        return true;
    }

    const Symbols& symbols_;
    const KnownValues& known_;
    Judge& judge_;
    const Mode mode_;
    const Question& asked_;
    std::vector<Spotted> spotted_;
    std::vector<Found> found_;
    Keys options_;
};

constexpr double FAR = 0.3;  // margin where no candidate with another query is near

// Judge the candidates of one search: each with the margin to the best one of another query shape.
inline std::vector<Judged> judge_all(Symbols& symbols, const Evidence& evidence, const Verifier& verifier,
                                     const Limits& limits, Exchange::Mode mode, const Question& asked,
                                     const std::vector<const Question*>& stored, const std::vector<double>& scores) {
    Judge judge(symbols, evidence, verifier, limits);
    Exchange exchange(symbols, evidence, judge, mode, asked);
    std::vector<Judged> found(stored.size());
    for (size_t i = 0; i < stored.size(); ++i) {
        bool rivalled = false;
        double highest = 0;
        for (size_t j = 0; j < stored.size(); ++j) {
            if (stored[j]->shape == stored[i]->shape) continue;
            highest = rivalled ? std::max(highest, scores[j]) : scores[j];
            rivalled = true;
        }
        exchange.judge({stored[i], scores[i], rivalled ? scores[i] - highest : FAR}, found[i]);
    }
    return found;
}

}  // namespace medha::guard
