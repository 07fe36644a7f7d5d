// What speaks for and against a candidate that passed the vetoes, as numbers, and the trees that weigh them.
// The rules are those of medha_core/guard/signals.py and verifier.py.
#pragma once

#include "guard_structure.hpp"

namespace medha::guard {

// In the order of medha_core.guard.signals.Signals.
enum Signal {
    SCORE,
    MARGIN,
    ASKED_NAMED,
    ASKED_STRANGE,
    STORED_NAMED,
    STORED_STRANGE,
    ASKED_GLUE,
    STORED_GLUE,
    INTERROGATIVES,
    BINDINGS,
    PROJECTION,
    SEEN_SAME,
    SEEN_OTHER,
    SEEN_SHAPES,
    WORDS_SAME,
    WORDS_OTHER,
    FORM_SAME,
    FORM_OTHER,
    EXCHANGED,
    OVERLAP,
    CHARACTERS,
    ORDER,
    PAIRED,
    LENGTH,
    ASKED_COMMON,
    STORED_COMMON,
    ASKED_CLASS,
    STORED_CLASS,
    ASKED_ALIEN,
    STORED_ALIEN,
    SIGNALS
};

using Signals = std::array<double, SIGNALS>;

// Boosted trees: an inner node asks one signal, a leaf adds to the sum whose logistic is the probability.
class Verifier {
  public:
    struct Node {
        double value;       // threshold, or what a leaf adds
        int32_t signal;     // -1: a leaf
        uint32_t low, high; // where to go, from the tree's first node
    };

    void reset(double base) {
        base_ = base;
        nodes_.clear();
        roots_.clear();
    }
    void start_tree() { roots_.push_back(static_cast<uint32_t>(nodes_.size())); }
    void add(const Node& node) { nodes_.push_back(node); }

    // Whether every branch leads forward inside its tree, so that no walk leaves it or goes in a circle.
    bool is_sound() const {
        for (size_t t = 0; t < roots_.size(); ++t) {
            const size_t end = t + 1 < roots_.size() ? roots_[t + 1] : nodes_.size();
            const size_t size = end - roots_[t];
            if (!size) return false;
            for (size_t i = 0; i < size; ++i) {
                const Node& node = nodes_[roots_[t] + i];
                if (node.signal < 0) continue;
                if (node.signal >= SIGNALS || node.low <= i || node.high <= i || node.low >= size || node.high >= size)
                    return false;
            }
        }
        return true;
    }

    double operator()(const Signals& signals) const {
        double total = base_;
        for (const uint32_t root : roots_) {
            const Node* tree = nodes_.data() + root;
            const Node* node = tree;
            while (node->signal >= 0) node = tree + (signals[node->signal] <= node->value ? node->low : node->high);
            total += node->value;
        }
        return 1 / (1 + std::exp(-total));
    }

  private:
    double base_ = 0;
    std::vector<Node> nodes_;
    std::vector<uint32_t> roots_;
};

class Measurer {
  public:
    Measurer(Symbols& symbols, const Evidence& evidence) : symbols_(symbols), evidence_(evidence) {}

    void measure(const View& a, const View& b, const Pairing& pairing, const Question& stored, double score,
                 double margin, size_t exchanged, Signals& signals) {
        const Keys &asked = pairing.left.asked, &leftover = pairing.left.stored;
        now_.clear();
        for (const Symbol* key : a.keys) now_.push_back(pairing.stands_for(key));
        signals[SCORE] = score;
        signals[MARGIN] = margin;
        content(asked, stored.names, signals[ASKED_NAMED], signals[ASKED_STRANGE]);
        content(leftover, stored.names, signals[STORED_NAMED], signals[STORED_STRANGE]);
        signals[ASKED_GLUE] = kinds(asked, 'p');
        signals[STORED_GLUE] = kinds(leftover, 'p');
        signals[INTERROGATIVES] = kinds(asked, 'a') + kinds(leftover, 'a');
        signals[BINDINGS] = unshared(bindings(now_), bindings(b.keys));
        signals[PROJECTION] = asks_otherwise(a, b, pairing);
        const Counts counts = evidence_.counts(pairing.before);
        signals[SEEN_SAME] = std::log1p(static_cast<double>(counts.same));
        signals[SEEN_OTHER] = std::log1p(static_cast<double>(counts.other));
        signals[SEEN_SHAPES] = static_cast<double>(std::min<int64_t>(counts.shapes, 4));
        std::tie(signals[WORDS_SAME], signals[WORDS_OTHER]) = evidence_.word_record(asked, leftover);
        const auto [same, other] = evidence_.form_record(a.opened, stored.shape);
        signals[FORM_SAME] = std::log1p(static_cast<double>(same));
        signals[FORM_OTHER] = std::log1p(static_cast<double>(other));
        signals[EXCHANGED] = static_cast<double>(exchanged);
        signals[OVERLAP] = overlap(b.keys);
        join(a.open_words, first_);
        join(b.open_words, second_);
        signals[CHARACTERS] = ratio(first_, second_);
        signals[ORDER] = in_order(b.keys);
        signals[PAIRED] = static_cast<double>(pairing.mapped.size());
        signals[LENGTH] = static_cast<double>(b.keys.size());
        signals[ASKED_COMMON] = evidence_.commonness(asked);
        signals[STORED_COMMON] = evidence_.commonness(leftover);
        signals[ASKED_CLASS] = before_value(a.keys, asked);
        signals[STORED_CLASS] = before_value(b.keys, leftover);
        signals[ASKED_ALIEN] = alien(asked, pairing.apart.asked, leftover);
        signals[STORED_ALIEN] = alien(leftover, pairing.apart.stored, asked);
    }

  private:
    bool asks_otherwise(const View& a, const View& b, const Pairing& pairing) const {
        Keys idle;
        for (const Symbol* key : pairing.idle)
            if (!is_paired(pairing, key)) idle.push_back(key);
        const Symbol *asked = projection(symbols_, a, idle), *wanted = projection(symbols_, b, idle);
        const Symbol *meant = asked ? pairing.stands_for(asked) : nullptr, *where = symbols_.a_where;
        const Symbol* when = symbols_.a_when;
        if (meant == wanted || meant == where || meant == when) return false;
        // `where` is no noun: the place that it asks for is.
        const Symbol* place = pairing.stands_for(where);
        if (wanted && place != where && place == wanted) return false;
        const Symbol* moment = pairing.stands_for(when);
        if (wanted && moment != when && moment == wanted) return false;
        if (asked != symbols_.a_who && wanted != symbols_.a_who) return true;
        // `who directed` asks for the director.
        const Symbol* person = asked == symbols_.a_who ? wanted : asked;
        return !(person && person->body_has(PERSON) && is_paired(pairing, person));
    }
    static bool is_paired(const Pairing& pairing, const Symbol* key) {
        for (const auto& [word, meant] : pairing.mapped)
            if (word == key || meant == key) return true;
        return false;
    }

    static double kinds(const Keys& keys, char kind) {
        return static_cast<double>(
            std::count_if(keys.begin(), keys.end(), [&](const Symbol* key) { return key->kind() == kind; }));
    }

    // How many leftover words the stored query is named with, and how many it is not.
    static void content(const Keys& keys, const Keys& names, double& named, double& strange) {
        named = strange = 0;
        for (const Symbol* key : keys)
            if (key->kind() == 'w')
                ++(std::binary_search(names.begin(), names.end(), key->body_facts().stem) ? named : strange);
    }

    // Words that no leftover word of the other question is related to. A verb of little weight counts beside a verb.
    double alien(const Keys& keys, const Keys& apart, const Keys& others) const {
        const auto is_verb = [](const Symbol* key) { return key->kind() == 'w' && key->body_has(VERB); };
        const bool light = !kinds(keys, 'w') && std::any_of(others.begin(), others.end(), is_verb);
        double count = 0;
        for (const Symbol* key : light ? apart : keys) {
            if (key->kind() != 'w' || (light && !key->body_has(LIGHT_VERB))) continue;
            count += std::none_of(others.begin(), others.end(), [&](const Symbol* other) {
                return other->kind() == 'w' && symbols_.related(key, other, RELATED);
            });
        }
        return count;
    }

    static double unshared(const std::vector<Binding>& a, const std::vector<Binding>& b) {
        size_t shared = 0;
        for (const Binding& binding : a) shared += std::binary_search(b.begin(), b.end(), binding);
        return static_cast<double>(a.size() + b.size() - 2 * shared);
    }

    double overlap(const Keys& keys) {
        Keys now = now_, said = keys;
        make_set(now);
        make_set(said);
        size_t shared = 0;
        for (const Symbol* key : now) shared += std::binary_search(said.begin(), said.end(), key);
        const size_t all = now.size() + said.size() - shared;
        return static_cast<double>(shared) / static_cast<double>(all ? all : 1);
    }

    static std::vector<Binding> neighbours(const Keys& keys, const Keys& others) {
        std::vector<Binding> found;
        const Symbol* last = nullptr;
        for (const Symbol* key : keys) {
            if (!contains(others, key)) continue;
            if (last) found.push_back({last, key});
            last = key;
        }
        make_set(found);
        return found;
    }

    // Share of neighbouring pairs of the one that are neighbours, in this order, in the other.
    double in_order(const Keys& keys) const {
        const std::vector<Binding> first = neighbours(now_, keys), second = neighbours(keys, now_);
        const size_t longest = std::max(first.size(), second.size());
        if (!longest) return 1.0;
        size_t shared = 0;
        for (const Binding& pair : first) shared += std::binary_search(second.begin(), second.end(), pair);
        return static_cast<double>(shared) / static_cast<double>(longest);
    }

    // How many of the words stand right before a value, as its class: `the city Boston`.
    static double before_value(const Keys& keys, const Keys& words) {
        double count = 0;
        for (size_t i = 0; i + 1 < keys.size(); ++i) {
            const char following = keys[i + 1]->kind();
            count += (following == 'v' || following == 'q') && contains(words, keys[i]);
        }
        return count;
    }

    static void join(const Keys& words, Points& out) {
        out.clear();
        for (size_t w = 0; w < words.size(); ++w) {
            if (w) out.push_back(' ');
            const std::string& text = words[w]->text();
            for (size_t i = 0; i < text.size();) {
                const text::Code code = text::decode(text.data(), i);
                out.push_back(code.value);
                i += code.width;
            }
        }
    }

    Symbols& symbols_;
    const Evidence& evidence_;
    Keys now_;
    Points first_, second_;
};

}  // namespace medha::guard
