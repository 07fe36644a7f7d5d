// What the cache has learnt from the pairs it holds: which differences of wording do not change the query.
// The rules are those of medha_core/guard/evidence.py.
#pragma once

#include <array>
#include <cmath>
#include <deque>

#include "guard_spelt.hpp"
#include "guard_values.hpp"

namespace medha::guard {

constexpr size_t MAX_DIFFERENCE = 4;  // words on one side; a longer difference teaches nothing
constexpr size_t FEW_KEYS = 64;       // up to here two questions are compared without a table
constexpr size_t MAX_KEPT = 100000;   // differences, words and query shapes; the oldest go first
constexpr size_t MAX_FORM = 400;      // items; a longer question teaches its values only
constexpr size_t KEPT_FORMS = 8;      // wordings kept per query shape to compare new ones with

// What only the one and only the other says, as sorted multisets.
struct Difference {
    Keys asked, stored;
    bool any() const { return !asked.empty() || !stored.empty(); }
};

// Sets `only` to what `a` says more often than `b`, in the order of `a`.
inline void leave_out(const Keys& a, const Keys& b, Keys& only) {
    only.clear();
    if (a.size() + b.size() > FEW_KEYS) {
        std::unordered_map<const Symbol*, size_t> others;
        for (const Symbol* key : b) ++others[key];
        for (const Symbol* key : a) {
            size_t& left = others[key];
            if (left)
                --left;
            else
                only.push_back(key);
        }
    } else {
        uint64_t taken = 0;  // places of `b`
        for (const Symbol* key : a) {
            size_t j = 0;
            while (j < b.size() && (b[j] != key || (taken >> j & 1))) ++j;
            if (j < b.size())
                taken |= uint64_t{1} << j;
            else
                only.push_back(key);
        }
    }
}

// The same, sorted by text.
inline void subtract(const Keys& a, const Keys& b, Keys& only) {
    leave_out(a, b, only);
    std::sort(only.begin(), only.end(), TextLess());
}

inline void difference(const Keys& a, const Keys& b, Difference& found) {
    subtract(a, b, found.asked);
    subtract(b, a, found.stored);
}

// Both sides of a short difference, in an order that does not depend on which was asked.
struct Teaching {
    std::array<const Symbol*, 2 * MAX_DIFFERENCE> keys{};

    static bool fits(const Difference& pair) {
        return pair.any() && pair.asked.size() <= MAX_DIFFERENCE && pair.stored.size() <= MAX_DIFFERENCE;
    }
    explicit Teaching(const Difference& pair) {
        std::copy(pair.asked.begin(), pair.asked.end(), keys.begin());
        std::copy(pair.stored.begin(), pair.stored.end(), keys.begin() + MAX_DIFFERENCE);
        arrange();
    }
    Teaching(const Symbol* a, const Symbol* b) {
        keys[0] = a;
        keys[MAX_DIFFERENCE] = b;
        arrange();
    }
    void arrange() {
        const auto middle = keys.begin() + MAX_DIFFERENCE;
        if (std::lexicographical_compare(middle, keys.end(), keys.begin(), middle, std::less<const Symbol*>()))
            std::swap_ranges(keys.begin(), middle, middle);
    }
    bool operator==(const Teaching& other) const { return keys == other.keys; }
};

inline size_t mixed(size_t hash, const void* pointer) {
    return (hash ^ std::hash<const void*>()(pointer)) * static_cast<size_t>(0x9E3779B97F4A7C15ull);
}

struct TeachingHash {
    size_t operator()(const Teaching& teaching) const {
        size_t hash = 0;
        for (const Symbol* key : teaching.keys) hash = mixed(hash, key) ^ (hash >> 29);
        return hash;
    }
};

struct KeysHash {
    size_t operator()(const Keys& keys) const {
        size_t hash = keys.size();
        for (const Symbol* key : keys) hash = mixed(hash, key) ^ (hash >> 29);
        return hash;
    }
};

struct Counts {
    int64_t same = 0, other = 0, shapes = 0;
};

// A table of bounded size: the oldest key goes first.
template <class Key, class Value, class Hash = std::hash<Key>>
class Bounded {
  public:
    using Table = std::unordered_map<Key, Value, Hash>;

    // The value of a key, and whether it is new.
    std::pair<Value*, bool> at(const Key& key) {
        const auto [place, is_new] = table_.try_emplace(key);
        if (is_new) order_.push_back(key);
        return {&place->second, is_new};
    }
    const Value* find(const Key& key) const {
        const auto found = table_.find(key);
        return found == table_.end() ? nullptr : &found->second;
    }
    template <class Drop>
    void trim(Drop drop) {
        if (table_.size() <= MAX_KEPT) return;
        const auto oldest = table_.find(order_.front());
        drop(oldest->first, oldest->second);
        table_.erase(oldest);
        order_.pop_front();
    }
    size_t size() const { return table_.size(); }
    auto begin() const { return table_.begin(); }
    auto end() const { return table_.end(); }

  private:
    Table table_;
    std::deque<Key> order_;
};

class Evidence {
  public:
    // What a question says, whatever the order of its words.
    struct Form {
        std::map<uint64_t, std::pair<uint64_t, const Symbol*>> by_age;  // age -> entry, query shape
        std::unordered_map<uint64_t, uint64_t> ages;                    // entry -> age
        std::unordered_map<const Symbol*, int64_t> shapes;              // shape -> entries
    };

    Evidence() = default;
    Evidence(const Evidence&) = delete;
    Evidence& operator=(const Evidence&) = delete;
    ~Evidence();

    KnownValues values;

    size_t questions() const { return static_cast<size_t>(questions_); }
    size_t harmless() const { return same_.size(); }

    // Learn from an entry; whether it is new among those of its form.
    bool observe(Symbols& symbols, uint64_t entry, const Question& stored, const std::vector<const Question*>& near) {
        count(symbols, stored, 1);
        if (stored.opened.size() > MAX_FORM) return false;
        const bool is_added = add_to_form(entry, stored);
        const auto [place, is_new] = wordings_.at(stored.shape);
        if (is_new) acquire(stored.shape);
        // Teaching may drop the oldest wordings: these are looked at first.
        std::vector<Keys> known = *place;
        for (const Keys& wording : known) teach(stored.opened, wording, stored.shape);
        for (const Question* other : near)
            if (other->shape != stored.shape) teach(stored.opened, other->opened, nullptr);
        if (known.size() < KEPT_FORMS && std::find(known.begin(), known.end(), stored.opened) == known.end()) {
            const auto [kept, again] = wordings_.at(stored.shape);
            if (again) acquire(stored.shape);
            for (const Symbol* key : stored.opened) acquire(key);
            kept->push_back(stored.opened);
        }
        return is_added;
    }

    // Take an entry back. What its wording taught about the language stays.
    bool forget(Symbols& symbols, uint64_t entry, const Question& stored) {
        const auto place = forms_.find(form(stored.opened));
        if (place == forms_.end()) return false;
        Form& held = place->second;
        const auto age = held.ages.find(entry);
        const bool was_there = age != held.ages.end();
        if (was_there) {
            const auto aged = held.by_age.find(age->second);
            drop_shape(held, aged->second.second);
            held.by_age.erase(aged);
            held.ages.erase(age);
            count(symbols, stored, -1);
        }
        if (held.ages.empty()) {
            const Keys keys = place->first;
            forms_.erase(place);
            for (const Symbol* key : keys) release(key);
        }
        return was_there;
    }

    Counts counts(const Difference& pair) const {
        return Teaching::fits(pair) ? counts(Teaching(pair)) : Counts();
    }
    Counts counts(const Teaching& teaching) const {
        Counts counted;
        if (const int64_t* other = other_.find(teaching)) counted.other = *other;
        if (const Shapes* shapes = same_.find(teaching)) {
            counted.shapes = static_cast<int64_t>(shapes->size());
            for (const auto& [shape, times] : *shapes) counted.same += times;
        }
        return counted;
    }

    // Whether this difference was met, and never changed a query.
    bool keeps(const Difference& pair) const { return Teaching::fits(pair) && keeps(Teaching(pair)); }
    bool keeps(const Symbol* a, const Symbol* b) const { return word_same_.find(a) && keeps(Teaching(a, b)); }
    // Most differences never kept a query: these are looked up once.
    bool keeps(const Teaching& teaching) const { return same_.find(teaching) && !other_.find(teaching); }

    // For the word with the worst record: how often (log) it kept, and changed, the query.
    std::pair<double, double> word_record(const Keys& first, const Keys& second) const {
        std::pair<double, double> worst{0, 0};
        double highest = -1;
        for (const Keys* keys : {&first, &second}) {
            for (const Symbol* key : *keys) {
                const double *same = word_same_.find(key), *other = word_other_.find(key);
                const std::pair<double, double> record{same ? *same : 0, other ? *other : 0};
                const double bad = (record.second + 0.1) / (record.first + 0.1);
                if (bad > highest) {
                    highest = bad;
                    worst = record;
                }
            }
        }
        return {std::log1p(worst.first), std::log1p(worst.second)};
    }

    // How many stored questions of the same form have this query shape, and another one.
    std::pair<int64_t, int64_t> form_record(const Keys& keys, const Symbol* shape) const {
        const auto found = forms_.find(form(keys));
        if (found == forms_.end()) return {0, 0};
        const auto same = found->second.shapes.find(shape);
        const int64_t count = same == found->second.shapes.end() ? 0 : same->second;
        return {count, static_cast<int64_t>(found->second.ages.size()) - count};
    }

    const Form* find_form(const Keys& keys) const {
        const auto found = forms_.find(form(keys));
        return found == forms_.end() ? nullptr : &found->second;
    }

    // Share of stored questions that say the rarest of some words; 1 where there is no word.
    double commonness(const Keys& keys) const {
        double least = 1.0;
        bool any = false;
        for (const Symbol* key : keys) {
            if (key->kind() != 'w') continue;
            const auto found = containing_.find(key);
            const double share = static_cast<double>(found == containing_.end() ? 0 : found->second) /
                                 static_cast<double>(std::max<int64_t>(questions_, 1));
            least = any ? std::min(least, share) : share;
            any = true;
        }
        return least;
    }

    // The words of stored questions.
    struct Said {
        int64_t count;
        size_t place;  // in `spelt`
    };
    const std::unordered_map<const Symbol*, Said>& vocabulary() const { return vocabulary_; }

    // The words of the vocabulary side by side with the letters they are made of, in no order.
    const std::vector<Spelt>& spelt() const { return spelt_; }
    // Their places there, by words that are near them.
    const Neighbourhood& near() const { return near_; }

    static Keys form(Keys keys) {
        std::sort(keys.begin(), keys.end());
        return keys;
    }

  private:
    using Shapes = std::unordered_map<const Symbol*, int64_t>;  // query shape -> times

    bool add_to_form(uint64_t entry, const Question& stored) {
        auto [place, is_new] = forms_.try_emplace(form(stored.opened));
        if (is_new)
            for (const Symbol* key : place->first) acquire(key);
        Form& held = place->second;
        const auto age = held.ages.find(entry);
        const bool is_added = age == held.ages.end();
        if (is_added) {
            held.ages[entry] = ++age_;
            held.by_age[age_] = {entry, stored.shape};
        } else {
            auto& aged = held.by_age[age->second];
            drop_shape(held, aged.second);
            aged.second = stored.shape;
        }
        const auto [shape, unseen] = held.shapes.try_emplace(stored.shape, 0);
        if (unseen) acquire(stored.shape);
        ++shape->second;
        return is_added;
    }

    static void drop_shape(Form& held, const Symbol* shape) {
        const auto found = held.shapes.find(shape);
        if (--found->second == 0) {
            held.shapes.erase(found);
            release(shape);
        }
    }

    void count(Symbols& symbols, const Question& stored, int by) {
        for (const Value& value : stored.values) {
            for (const auto& [column, spelling] : value.spellings) {
                if (by > 0)
                    values.saw(symbols, column, value.text, spelling);
                else
                    values.forgot(column, value.text, spelling);
            }
        }
        for (size_t i = 0; i < stored.words.size(); ++i) {
            const Word& word = stored.words[i];
            const auto same = [&](const Word& other) { return other.kind == 'w' && other.text == word.text; };
            if (word.kind != 'w' || std::any_of(stored.words.begin(), stored.words.begin() + i, same)) continue;
            auto [said, is_new] = vocabulary_.try_emplace(word.text, Said{0, spelt_.size()});
            if (is_new) {
                acquire(word.text);
                spell(word.text);
            }
            if ((said->second.count += by) == 0) {
                const size_t place = said->second.place;
                vocabulary_.erase(said);
                unspell(place);
                release(word.text);
            }
        }
        for (size_t i = 0; i < stored.opened.size(); ++i) {
            const Symbol* key = stored.opened[i];
            if (std::find(stored.opened.begin(), stored.opened.begin() + i, key) != stored.opened.begin() + i) continue;
            auto [held, is_new] = containing_.try_emplace(key, 0);
            if (is_new) acquire(key);
            if ((held->second += by) == 0) {
                containing_.erase(held);
                release(key);
            }
        }
        questions_ += by;
    }

    void spell(const Symbol* word) {
        near_.add(word, static_cast<uint32_t>(spelt_.size()));
        spelt_.emplace_back(word, ++age_);
    }

    // Take a word out; the last one takes its place.
    void unspell(size_t place) {
        const size_t last = spelt_.size() - 1;
        near_.remove(spelt_[place].word, static_cast<uint32_t>(place));
        if (place != last) {
            near_.remove(spelt_[last].word, static_cast<uint32_t>(last));
            near_.add(spelt_[last].word, static_cast<uint32_t>(place));
            spelt_[place] = spelt_[last];
            vocabulary_.find(spelt_[place].word)->second.place = place;
        }
        spelt_.pop_back();
    }

    // Count one difference: `shape` where it kept that query, null where it changed it.
    void teach(const Keys& a, const Keys& b, const Symbol* shape) {
        Difference pair;
        difference(a, b, pair);
        if (!Teaching::fits(pair)) return;
        for (const Keys* keys : {&pair.asked, &pair.stored})
            for (const Symbol* key : *keys)
                if (is_hard(key)) return;
        const Teaching teaching(pair);
        if (!shape) {
            const auto [times, is_new] = other_.at(teaching);
            if (is_new) hold(teaching);
            ++*times;
        } else {
            const auto [shapes, is_new] = same_.at(teaching);
            if (is_new) hold(teaching);
            const auto [times, unseen] = shapes->try_emplace(shape, 0);
            if (unseen) acquire(shape);
            ++times->second;
        }
        trim();
        const double part = 1.0 / static_cast<double>(pair.asked.size() + pair.stored.size());
        auto& words = shape ? word_same_ : word_other_;
        for (const Keys* keys : {&pair.asked, &pair.stored}) {
            for (const Symbol* key : *keys) {
                const auto [record, unmet] = words.at(key);
                if (unmet) acquire(key);
                *record += part;
            }
        }
    }

    static void hold(const Teaching& teaching) {
        for (const Symbol* key : teaching.keys)
            if (key) acquire(key);
    }
    static void drop(const Teaching& teaching) {
        for (const Symbol* key : teaching.keys)
            if (key) release(key);
    }
    static void drop(const Shapes& shapes) {
        for (const auto& [shape, times] : shapes) release(shape);
    }
    static void drop(const std::vector<Keys>& wordings) {
        for (const Keys& wording : wordings)
            for (const Symbol* key : wording) release(key);
    }

    void trim() {
        other_.trim([](const Teaching& teaching, int64_t) { drop(teaching); });
        same_.trim([](const Teaching& teaching, const Shapes& shapes) {
            drop(teaching);
            drop(shapes);
        });
        word_same_.trim([](const Symbol* word, double) { release(word); });
        word_other_.trim([](const Symbol* word, double) { release(word); });
        wordings_.trim([](const Symbol* shape, const std::vector<Keys>& wordings) {
            release(shape);
            drop(wordings);
        });
    }

    std::unordered_map<const Symbol*, Said> vocabulary_;
    std::vector<Spelt> spelt_;
    Neighbourhood near_;
    std::unordered_map<const Symbol*, int64_t> containing_;
    std::unordered_map<Keys, Form, KeysHash> forms_;
    Bounded<Teaching, int64_t, TeachingHash> other_;
    Bounded<Teaching, Shapes, TeachingHash> same_;
    Bounded<const Symbol*, double> word_same_, word_other_;
    Bounded<const Symbol*, std::vector<Keys>> wordings_;
    int64_t questions_ = 0;
    uint64_t age_ = 0;
};

inline Evidence::~Evidence() {
    for (const auto& [word, said] : vocabulary_) release(word);
    for (const auto& [key, times] : containing_) release(key);
    for (const auto& [keys, held] : forms_) {
        for (const Symbol* key : keys) release(key);
        for (const auto& [shape, times] : held.shapes) release(shape);
    }
    for (const auto& [teaching, times] : other_) drop(teaching);
    for (const auto& [teaching, shapes] : same_) {
        drop(teaching);
        drop(shapes);
    }
    for (const auto& [word, record] : word_same_) release(word);
    for (const auto& [word, record] : word_other_) release(word);
    for (const auto& [shape, wordings] : wordings_) {
        release(shape);
        drop(wordings);
    }
}

}  // namespace medha::guard
