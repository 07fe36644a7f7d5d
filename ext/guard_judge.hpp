// Whether a stored question may answer the one asked. The rules are those of medha_core/guard/judge.py.
#pragma once

#include "guard_roles.hpp"
#include "guard_signals.hpp"
#include "guard_superlatives.hpp"

namespace medha::guard {

// Names of medha_core.guard.verdict.Reason, in this order.
enum Reason : uint8_t {
    R_SAME,
    R_AGREES,
    R_LEARNED,
    R_VALUE,
    R_NUMBER,
    R_DATE,
    R_QUOTED,
    R_IDENTIFIER,
    R_OPERATOR,
    R_OPPOSITE,
    R_INTERROGATIVE,
    R_STRANGER,
    R_BINDING,
    R_PROJECTION,
    R_LANGUAGE,
    R_STALE,
    R_KNOWN_OTHERWISE,
    R_UNSURE,
};

struct Verdict {
    bool accepted = false;
    Reason reason = R_UNSURE;
    double confidence = 0;
    std::string evidence;  // in words, for people
};

constexpr double EXPLAINED = 0.97;  // confidence at least where two questions say the same once superlatives are put alike
constexpr double WORDED_ALIKE = 0.99;  // the same where they differ in words without weight only
constexpr size_t LONGEST = 400;  // words; a longer question is compared word for word

struct Limits {
    double floor, leftover, other_noun;
};

inline void append(std::string& out, const Keys& keys, const char* between) {
    for (size_t i = 0; i < keys.size(); ++i) {
        if (i) out += between;
        out += keys[i]->body();
    }
}

class Judge {
  public:
    Judge(Symbols& symbols, const Evidence& evidence, const Verifier& verifier, const Limits& limits)
        : symbols_(symbols), evidence_(evidence), verifier_(verifier), limits_(limits), pairer_(symbols, evidence),
          measurer_(symbols, evidence) {}

    // The stored query as it is: its values must all be asked for.
    Verdict judge(const Question& asked, const Question& stored, double score, double margin) {
        if (is_long(asked, stored)) return unread(asked, stored);
        if (!mentioned_in(asked, stored, spans_))
            return refuse(R_VALUE, "the stored query has a value that is not asked for");
        return judge(asked, stored, spans_, stored.spans, &stored.own, score, margin, 0);
    }

    // The stored query with its values exchanged: the spans say what stands for what in the two questions.
    Verdict judge(const Question& asked, const Question& stored, const std::vector<Span>& asked_spans,
                  const std::vector<Span>& stored_spans, double score, double margin, size_t exchanged) {
        if (is_long(asked, stored)) return unread(asked, stored);
        symbols_.language = stored.language;
        if (&stored != viewed_ || &stored_spans != viewed_spans_)  // the next of several ways to exchange its values
            view_of(symbols_, stored.words, stored.items, stored.asks, stored_spans, stored_view_);
        viewed_ = &stored;
        viewed_spans_ = &stored_spans;
        return judge(asked, stored, asked_spans, stored_spans, &stored_view_, score, margin, exchanged);
    }

  private:
    static Verdict accept(Reason reason, std::string evidence, double confidence = 1.0) {
        return {true, reason, confidence, std::move(evidence)};
    }
    static Verdict refuse(Reason reason, std::string evidence, double confidence = 0.0) {
        return {false, reason, confidence, std::move(evidence)};
    }
    static Verdict refuse(Reason reason, const Keys& keys, const char* why) {
        std::string said;
        append(said, keys, ", ");
        return refuse(reason, said + why);
    }

    Verdict judge(const Question& asked, const Question& stored, const std::vector<Span>& asked_spans,
                  const std::vector<Span>& stored_spans, const View* b, double score, double margin,
                  size_t exchanged) {
        symbols_.language = asked.language;
        view_of(symbols_, asked.words, asked.items, asked.asks, asked_spans, asked_view_);
        const View* a = &asked_view_;
        Verdict verdict;
        if (is_early(asked, stored, *a, *b, verdict)) return verdict;
        slips_.clear();
        if (a->open_words != clean_asked_ || b->open_words != clean_stored_) {
            part(*a, *b);
            corrections(only_.asked, only_.stored, fixed_);
            slips_ = fixed_;
            if (!fixed_.empty()) {
                rewrite(asked, asked_spans, asked_fixed_);
                a = &asked_fixed_;
                part(*a, *b);
            }
            corrections(only_.stored, only_.asked, fixed_);
            if (!fixed_.empty()) {
                rewrite(stored, stored_spans, stored_fixed_);
                b = &stored_fixed_;
                for (const auto& slip : fixed_) add_slip(slip);
            }
            if (slips_.empty()) {
                clean_asked_ = a->open_words;
                clean_stored_ = b->open_words;
            }
        }
        if (settle(symbols_, *a, *b, stored.sense, asked_settled_, stored_settled_)) {
            a = &asked_settled_;
            b = &stored_settled_;
        }
        pairer_.pair_up(*a, *b, stored, score, pairing_);
        if (is_vetoed(*a, *b, stored, verdict)) return verdict;
        if (const Symbol* verb = doers_turned(asked, stored, a->keys, b->keys))
            return refuse(R_BINDING, std::string(verb->body()) + ": with subject and object exchanged");
        if (const Symbol* verb = turned(symbols_, asked, stored, now_, b->keys))
            return refuse(R_BINDING, std::string(verb->body()) + ": with subject and object exchanged");
        if (const std::string small = told_apart(symbols_, asked, stored); !small.empty())
            return refuse(R_OPERATOR, small + ": told apart by small words");
        measurer_.measure(*a, *b, pairing_, stored, score, margin, exchanged, signals_);
        double confidence = verifier_(signals_);
        // No estimate: the stored query itself says that the two questions ask for one thing.
        if (contains(a->keys, symbols_.o_extreme) && a->keys == b->keys) confidence = std::max(confidence, EXPLAINED);
        // `papers by X`, `papers X has written`.
        if (contains(pairing_.idle, symbols_.p_by) && !pairing_.left.any()) confidence = std::max(confidence, EXPLAINED);
        const bool is_as_it_is =
            slips_.empty() && !exchanged && signals_[FORM_OTHER] == 0 && a->keys == b->keys;
        if (is_as_it_is && says_the_same(asked, stored, asked_spans, stored_spans))
            confidence = std::max(confidence, WORDED_ALIKE);
        return weigh(in_words(*a, *b), confidence);
    }

    // Whether two questions of the same items have the same small words too, fillers apart.
    bool says_the_same(const Question& asked, const Question& stored, const std::vector<Span>& asked_spans,
                       const std::vector<Span>& stored_spans) {
        dropped(asked, asked_spans, dropped_);
        dropped(stored, stored_spans, stored_dropped_);
        return dropped_ == stored_dropped_;
    }

    static bool is_long(const Question& asked, const Question& stored) {
        return std::max(asked.words.size(), stored.words.size()) > LONGEST;
    }
    static Verdict unread(const Question& asked, const Question& stored) {
        const auto same = [](const Word& a, const Word& b) { return a.kind == b.kind && a.text == b.text; };
        if (std::equal(asked.words.begin(), asked.words.end(), stored.words.begin(), stored.words.end(), same))
            return accept(R_SAME, "the same words");
        return refuse(R_UNSURE, "more than " + std::to_string(LONGEST) + " words");
    }

    // The words only the one and only the other question says outside its values.
    void part(const View& a, const View& b) {
        leave_out(a.open_words, b.open_words, only_.asked);
        leave_out(b.open_words, a.open_words, only_.stored);
    }

    // A later slip of the same word counts, at its first place.
    void add_slip(const std::pair<const Symbol*, const Symbol*>& slip) {
        for (auto& known : slips_)
            if (known.first == slip.first) {
                known.second = slip.second;
                return;
            }
        slips_.push_back(slip);
    }

    // A quoted text that both questions have, but in upper case here and lower case there, or null.
    static const Symbol* quoted_otherwise(const Question& asked, const Question& stored) {
        for (const Word& word : asked.words) {
            if (!word.quoted) continue;
            const Symbol* written = word.quoted;
            for (const Word& other : stored.words)
                if (other.quoted && other.text == word.text) written = other.quoted;
            if (written != word.quoted) return word.quoted;
        }
        return nullptr;
    }

    // Verdicts that need no comparison of meaning.
    bool is_early(const Question& asked, const Question& stored, const View& a, const View& b, Verdict& verdict) {
        if (a.open_words != valued_words_) {
            valued_ = known_values(a);
            valued_words_ = a.open_words;
        }
        Keys extra = valued_;
        if (!extra.empty()) {
            const Keys named = known_values(b);
            extra.erase(std::remove_if(extra.begin(), extra.end(), [&](const Symbol* v) { return contains(named, v); }),
                        extra.end());
        }
        if (!extra.empty()) {
            std::sort(extra.begin(), extra.end(), TextLess());
            std::string said;
            for (const Symbol* text : extra) said += (said.empty() ? "" : ", ") + text->text();
            verdict = refuse(R_VALUE, said + ": a value the stored question does not name");
        } else if (asked.relative && stored.fixed_dates) {
            verdict = refuse(R_STALE, "the stored query holds a date that depends on the day it was asked");
        } else if (const Symbol* quoted = quoted_otherwise(asked, stored)) {
            verdict = refuse(R_QUOTED, quoted->text() + ": in other letters");
        } else if (a.open_words == b.open_words && (a.keys == b.keys || !is_comparable(asked, stored))) {
            verdict = accept(R_SAME, "the same words");
        } else if (!is_comparable(asked, stored)) {
            verdict = refuse(R_LANGUAGE, "other words, in a language without lexicon or in another language");
        } else {
            return false;
        }
        return true;
    }

    static bool is_comparable(const Question& asked, const Question& stored) {
        return asked.is_english && stored.is_english && asked.language == stored.language;
    }

    Keys known_values(const View& view) {
        evidence_.values.spot(symbols_, view.open_words, spotted_);
        Keys found;
        for (const Spotted& spotted : spotted_)
            if (!contains(found, spotted.text)) found.push_back(spotted.text);
        return found;
    }

    // The view of a question with its slips put right outside values.
    void rewrite(const Question& question, const std::vector<Span>& spans, View& view) {
        words_ = question.words;
        for (uint32_t i = 0; i < words_.size(); ++i) {
            if (inside(spans, i, i + 1)) continue;
            for (const auto& [wrong, right] : fixed_)
                if (words_[i].text == wrong) {
                    words_[i].text = right;
                    break;
                }
        }
        const ItemReader reader(symbols_, words_);
        std::vector<Item> items = reader.items();
        const Symbol* asks = reader.asked_for(items);
        reader.bring_to_front(items, asks);
        view_of(symbols_, words_, items, asks, spans, view);
    }

    template <class Test>
    Keys leftover(Test test) const {
        Keys found;
        for (const Keys* side : {&pairing_.left.asked, &pairing_.left.stored})
            for (const Symbol* key : *side)
                if (test(key)) found.push_back(key);
        return found;
    }

    // What no score can outweigh. A difference that stored pairs have shown to be harmless is objected to only
    // for its structure.
    bool is_vetoed(const View& a, const View& b, const Question& stored, Verdict& verdict) {
        const Keys hard = leftover([](const Symbol* key) { return is_hard(key); });
        if (!hard.empty()) {
            verdict = refuse(reason_of(hard[0]->kind()), std::string(hard[0]->body()) + " is in one question only");
            return true;
        }
        if (is_built_otherwise(a, b, verdict) || is_against_query(a, b, stored, verdict) ||
            has_operators(verdict))
            return true;
        return !evidence_.keeps(pairing_.before) && is_worded_otherwise(a, b, stored.unnamed, verdict);
    }

    // The same words that belong together otherwise, and opposites.
    bool is_built_otherwise(const View& a, const View& b, Verdict& verdict) {
        const Symbol* value = contradiction(symbols_, a, b);
        if (value && !value->body().empty()) {
            verdict = refuse(R_BINDING, std::string(value->body()) + " plays another part");
            return true;
        }
        const Rebound again = rebound(symbols_, a.keys, b.keys);
        if (again.key) {
            const std::string key(again.key->body());
            verdict = refuse(R_BINDING, key + " " + std::string(again.first->body()) + " / " + key + " " +
                                            std::string(again.second->body()));
            return true;
        }
        now_ = a.keys;
        for (const Symbol*& key : now_) key = pairing_.stands_for(key);
        std::string parts;
        if (const auto [x, y] = regrouped(now_, b.keys); x)
            parts = std::string(x->body()) + " / " + std::string(y->body());
        else if (const Symbol* compared = compared_otherwise(symbols_, now_, b.keys))
            parts = compared->body();
        if (!parts.empty()) {
            verdict = refuse(R_BINDING, parts + ": where the other stands");
            return true;
        }
        const Symbol* moved = exchanged_value(symbols_, evidence_, b, now_);
        if (!moved) moved = ranged(symbols_, now_, b.keys);
        if (moved) {
            verdict = refuse(R_BINDING, std::string(moved->body()) + ": where the other stands");
            return true;
        }
        if (const Symbol* number = numbered(now_, b.keys)) {
            verdict = refuse(R_NUMBER, std::string(number->body()) + ": which one / how many");
            return true;
        }
        if (is_alone(pairing_.left.asked, symbols_.p_from, pairing_.left.stored, symbols_.p_to) ||
            is_alone(pairing_.left.asked, symbols_.p_to, pairing_.left.stored, symbols_.p_from)) {
            verdict = refuse(R_BINDING, "from / to");
            return true;
        }
        if (!pairing_.before.any()) {
            const Symbol *first = projection(symbols_, a, {}), *second = projection(symbols_, b, {});
            if (first != second && !are_one(first, second, a.keys, b.keys)) {
                verdict = refuse(R_PROJECTION, std::string(first ? first->body() : "") + " / " +
                                                   std::string(second ? second->body() : "") + " is asked for");
                return true;
            }
        }
        const Keys repeated = nested(a.keys, b.keys, pairing_.left);
        if (!repeated.empty()) {
            std::string said;
            append(said, repeated, " ");
            verdict = refuse(R_STRANGER, said + ": once more");
            return true;
        }
        const auto [opposite, other] = pairer_.opposites(pairing_.apart);
        if (!opposite) return false;
        verdict = refuse(R_OPPOSITE, std::string(opposite->body()) + " / " + std::string(other->body()));
        return true;
    }

    static bool is_alone(const Keys& asked, const Symbol* x, const Keys& stored, const Symbol* y) {
        return asked.size() == 1 && asked[0] == x && stored.size() == 1 && stored[0] == y;
    }

    // Whether two words stand side by side, in one order, in both questions: `blood type`.
    static bool are_one(const Symbol* x, const Symbol* y, const Keys& a, const Keys& b) {
        const auto has = [](const Keys& keys, const Symbol* one, const Symbol* next) {
            for (size_t i = 0; i + 1 < keys.size(); ++i)
                if (keys[i] == one && keys[i + 1] == next) return true;
            return false;
        };
        return (has(a, x, y) && has(b, x, y)) || (has(a, y, x) && has(b, y, x));
    }

    // Of two things that both questions name, whether each asks for its own, one of which the query takes the
    // extreme of: `which house has the highest price`.
    bool asks_for_measure(const View& a, const View& b, const Question& stored, Verdict& verdict) const {
        const Symbol *asked = projection(symbols_, a, {}), *wanted = projection(symbols_, b, {});
        if (!asked || !wanted) return false;
        const Symbol* meant = pairing_.stands_for(asked);
        if (meant == wanted || pairing_.stands_for(symbols_.a_when) != symbols_.a_when) return false;
        if (!contains(stored.sense.measured, meant) && !contains(stored.sense.measured, wanted)) return false;
        const auto means = [&](const Symbol* key) { return pairing_.stands_for(key) == wanted; };
        if (!contains(b.keys, meant) || std::none_of(a.keys.begin(), a.keys.end(), means)) return false;
        verdict = refuse(R_PROJECTION,
                         std::string(asked->body()) + " / " + std::string(wanted->body()) + " is asked for");
        return true;
    }

    // What the stored query itself speaks against, whatever stored pairs have shown of these words: it selects the
    // place that only its own question asks for; it has the column whose extreme is asked for, and takes another's.
    bool is_against_query(const View& first, const View& second, const Question& stored, Verdict& verdict) const {
        if (asks_for_measure(first, second, stored, verdict)) return true;
        const Keys &a = first.keys, &b = second.keys;
        if (!stored.sense.places.empty() && contains(pairing_.left.stored, symbols_.a_where)) {
            verdict = refuse(R_INTERROGATIVE, "where: in one question only");
            return true;
        }
        const Symbol* measure = other_measure(a, b, stored);
        if (!measure) return false;
        verdict = refuse(R_OPERATOR,
                         std::string(measure->body()) + ": the stored query takes the extreme of something else");
        return true;
    }

    // Operators in one question only, which a single query that shrugged at them does not excuse.
    bool has_operators(Verdict& verdict) const {
        constexpr int64_t SUPPORT = 2;  // queries that must have stayed the same
        const Keys found = leftover([](const Symbol* key) { return key->kind() == 'o'; });
        if (found.empty()) return false;
        const Counts counts = evidence_.counts(pairing_.before);
        const bool grave = std::any_of(found.begin(), found.end(), [](const Symbol* key) { return key->grave; });
        if (!counts.other && counts.shapes >= SUPPORT && !grave) return false;
        verdict = refuse(R_OPERATOR, found, ": in one question only");
        return true;
    }

    // Words that are in one question only, the gravest first.
    bool is_worded_otherwise(const View& a, const View& b, bool unnamed, Verdict& verdict) {
        const Difference& left = pairing_.left;
        const auto said_by_one = [&](Reason reason, const Keys& keys, const char* why) {
            if (!keys.empty()) verdict = refuse(reason, keys, why);
            return !keys.empty();
        };
        const char* const ONE = ": in one question only";
        if (said_by_one(R_DATE, leftover([](const Symbol* k) { return k->kind() == 'w' && k->body_has(CALENDAR); }), ONE))
            return true;
        if (is_counted_otherwise(a.keys, b.keys, verdict)) return true;
        if (contains(left.asked, symbols_.p_by) != contains(left.stored, symbols_.p_by) &&
            !is_active_passive(symbols_, a, b)) {
            verdict = refuse(R_BINDING, "by: in one question only");
            return true;
        }
        const Symbol* deed = done_by(a.keys, pairing_.apart.asked);
        if (!deed) deed = done_by(b.keys, pairing_.apart.stored);
        if (deed) {
            verdict = refuse(R_BINDING, std::string(deed->body()) + " by: in one question only");
            return true;
        }
        if (said_by_one(R_BINDING, leftover([](const Symbol* key) { return key->kind() == 'p' && key->is_telling(); }), ONE))
            return true;
        if (said_by_one(R_INTERROGATIVE,
                        leftover([](const Symbol* key) { return key->kind() == 'a'; }), ONE))
            return true;
        Keys names = leftover([](const Symbol* key) { return key->kind() == 'w' && !key->body_has(KNOWN); });
        const bool foreign = !names.empty();
        for (const Keys* side : {&left.asked, &left.stored}) {
            if (foreign || (side == &left.stored && !unnamed)) break;
            for (const Symbol* key : *side)
                if (key->kind() == 'w' && key->body_has(NAME)) names.push_back(key);
        }
        return said_by_one(R_STRANGER, names, ": a name, or no word of the language");
    }

    // A word right before `by` that only this question says, of whatever weight (`owned by`), or null.
    const Symbol* done_by(const Keys& keys, const Keys& apart) const {
        for (size_t i = 0; i + 1 < keys.size(); ++i)
            if (keys[i + 1] == symbols_.p_by && keys[i]->kind() == 'w' && contains(apart, keys[i]) &&
                !contains(pairing_.idle, keys[i]))
                return keys[i];
        return nullptr;
    }

    // Two units, or two words behind the same number, that are not the same: `10 euro / 10 dollar`.
    bool is_counted_otherwise(const Keys& a, const Keys& b, Verdict& verdict) {
        const Difference& left = pairing_.left;
        const auto unit = [](const Symbol* key) { return key->kind() == 'w' && key->body_has(UNIT); };
        const auto first = std::find_if(left.asked.begin(), left.asked.end(), unit);
        const auto second = std::find_if(left.stored.begin(), left.stored.end(), unit);
        if (first != left.asked.end() && second != left.stored.end()) {
            verdict = counted(*first, *second);
            return true;
        }
        for (size_t i = 0; i + 1 < a.size(); ++i) {
            if (!counts(a[i]) || a[i + 1]->kind() != 'w' || !contains(left.asked, a[i + 1])) continue;
            const Symbol* other = nullptr;
            for (size_t j = 0; j + 1 < b.size(); ++j)
                if (b[j] == a[i] && contains(left.stored, b[j + 1])) other = b[j + 1];
            if (!other || other->kind() != 'w') continue;
            verdict = counted(a[i + 1], other);
            return true;
        }
        return false;
    }
    static Verdict counted(const Symbol* first, const Symbol* second) {
        return refuse(R_NUMBER, std::string(first->body()) + " / " + std::string(second->body()) +
                                    ": counted or measured in");
    }
    static bool counts(const Symbol* key) {
        return (key->kind() == 'n' || key->kind() == 'v') && is_all_digits(key->body());
    }

    static Reason reason_of(char kind) {
        switch (kind) {
            case 'n': return R_NUMBER;
            case 'd': return R_DATE;
            case 'q': return R_QUOTED;
            case 'i': return R_IDENTIFIER;
            default: return R_VALUE;
        }
    }

    static bool has_word(const Keys& keys) {
        return std::any_of(keys.begin(), keys.end(), [](const Symbol* key) { return key->kind() == 'w'; });
    }

    // The verifier's estimate against the limits of the level.
    Verdict weigh(std::string said, double confidence) const {
        const bool learnt = pairing_.before.any() && evidence_.keeps(pairing_.before);
        if (signals_[ASKED_ALIEN] != 0 && signals_[STORED_ALIEN] != 0 && !learnt)
            return refuse(R_STRANGER, std::move(said), confidence);
        double limit = limits_.floor;
        if (signals_[PROJECTION] != 0)
            limit = limits_.other_noun;
        else if (!learnt && (has_word(pairing_.left.asked) || has_word(pairing_.left.stored)))
            limit = limits_.leftover;
        if (confidence < limit) return refuse(why(), std::move(said), confidence);
        return accept(learnt ? R_LEARNED : R_AGREES, std::move(said), confidence);
    }

    // What was found, for people.
    std::string in_words(const View& a, const View& b) const {
        std::string said;
        for (const auto& [wrong, right] : slips_) said += wrong->text() + " read as " + right->text() + "; ";
        const Difference& before = pairing_.before;
        if (before.any()) {
            said += "asked: ";
            append(said, before.asked, " ");
            if (before.asked.empty()) said += "-";
            said += "; stored: ";
            append(said, before.stored, " ");
            if (before.stored.empty()) said += "-";
            return said;
        }
        // Without a difference both say the same, as often.
        if (a.keys != b.keys) return said + "the same words in another order";
        if (said.empty()) return "the same but for words without weight";
        said.resize(said.size() - 2);
        return said;
    }

    // The plainest thing to say against a candidate the verifier does not believe.
    Reason why() const {
        if (signals_[SEEN_OTHER] != 0) return R_KNOWN_OTHERWISE;
        if (has_word(pairing_.left.asked) || has_word(pairing_.left.stored)) return R_STRANGER;
        if (signals_[INTERROGATIVES] != 0) return R_INTERROGATIVE;
        if (signals_[Signal::BINDINGS] != 0) return R_BINDING;
        return signals_[PROJECTION] != 0 ? R_PROJECTION : R_UNSURE;
    }

    Symbols& symbols_;
    const Evidence& evidence_;
    const Verifier& verifier_;
    const Limits limits_;
    const Pairer pairer_;
    Measurer measurer_;
    Pairing pairing_;
    Signals signals_{};
    View asked_view_, stored_view_, asked_fixed_, stored_fixed_, asked_settled_, stored_settled_;
    std::vector<Span> spans_;
    std::vector<Spotted> spotted_;
    std::vector<Word> words_;
    Difference only_;
    Keys now_;  // what the asked question says, in the words of the stored one
    Keys dropped_, stored_dropped_;
    Mapped fixed_, slips_;
    // Of the candidates of one search many ask again what was found for the one before.
    Keys clean_asked_, clean_stored_;  // words of the last two questions in which there was no slip
    Keys valued_words_, valued_;       // words of the asked question, and the known values among them
    const Question* viewed_ = nullptr;
    const std::vector<Span>* viewed_spans_ = nullptr;  // what `stored_view_` was made of
};

}  // namespace medha::guard
