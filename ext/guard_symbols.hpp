// The texts a guard compares: words, and compared keys such as `w:flight`. Each is held once, so that two
// texts are equal exactly when they are the same object. What a word means is told or asked once.
#pragma once

#include <Python.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "guard_lexicon.hpp"
#include "guard_relatable.hpp"
#include "text.hpp"

namespace medha::guard {

class Symbol;

struct Phrase {
    std::vector<const Symbol*> words;
    const Symbol* key;  // null: the phrase says nothing
};

struct Facts {
    uint64_t flags = 0;
    bool settled = false;               // the key of the word does not depend on its place
    const Symbol* key = nullptr;        // that key, null for a word that says nothing; else the plain word
    const Symbol* ordinal = nullptr;    // the key where something follows
    const Symbol* superlative = nullptr;
    const Symbol* comparative = nullptr;  // the key before `than`
    const Symbol* around = nullptr;       // the key before a number
    const Symbol* compared = nullptr;     // the key of the attribute a comparative compares
    const Symbol* compared_way = nullptr; // the key of the `than` behind it
    const Symbol* stem = nullptr;
    const Symbol* lemma_stem = nullptr;   // the stem of the dictionary form
    const Symbol* number = nullptr;     // of a number word: its digits
    std::vector<Phrase> phrases;        // longest first
    std::vector<const Symbol*> parts;   // what a word is short for; empty: itself
};

class Symbols;

class Symbol {
  public:
    Symbol(std::string text, Symbols& owner) : text_(std::move(text)), owner_(owner) {}

    const std::string& text() const { return text_; }
    char kind() const { return text_.empty() ? '\0' : text_[0]; }
    size_t length() const;              // code points
    std::string_view body() const { return std::string_view(text_).substr(std::min<size_t>(2, text_.size())); }

    const std::string& letters() const;  // letters and digits alone

    // Of a word: what the lexicon says. Of a key: what it says of the word in it.
    const Facts& facts() const;
    const Facts& body_facts() const;
    // Of an operator: its meaning before a quantity, or null; whether it is said of a price only; whether it sums
    // up. Of a preposition: whether it changes the answer where only one question has it.
    const Symbol* magnitude() const;
    bool is_priced() const;
    bool is_summing() const;
    bool is_telling() const;
    // Whether one of two words is the other behind a prefix that makes its opposite.
    bool negates(const Symbol& other) const;
    bool has(Flag flag) const { return facts().flags & flag; }
    bool body_has(Flag flag) const { return body_facts().flags & flag; }

    bool loose = false;                 // of an operator: it belongs to the whole question
    bool grave = false;                 // of an operator: no stored pair excuses it
    bool ranking = false;               // of an operator: it is a superlative

    mutable uint32_t uses = 0;          // questions and evidence that hold it
    mutable bool marked = false;

  private:
    friend class Symbols;
    std::string text_;
    Symbols& owner_;
    mutable std::vector<std::unique_ptr<Facts>> facts_;  // by language
    mutable const Symbol* body_ = nullptr;
    mutable std::unique_ptr<std::string> letters_;
};

// What there is to know of single keys in one language.
struct Language {
    std::unordered_map<const Symbol*, const Symbol*> magnitudes;
    std::vector<const Symbol*> priced, summing, telling;
    Relatable relatable;
    OpenWords open;
};

// Asks the lexicon of a language: fills the facts, or leaves a Python error.
using Asker = void (*)(void* lexicons, int language, Symbols& symbols, const Symbol& word, Facts& facts);
enum Relation { SYNONYMS, ANTONYMS, RELATED, RELATIONS };

// Whether the words of two keys stand in a relation; may leave a Python error.
using Relater = int (*)(void* lexicons, int language, const Symbol& a, const Symbol& b, int relation);

// A Python error is set; the glue lets it through.
struct PythonError : std::exception {
    const char* what() const noexcept override { return "a Python error"; }
};

inline void check_python() {
    if (PyErr_Occurred()) throw PythonError();
}

class Symbols {
  public:
    Symbols(void* lexicon, Asker ask, Relater relate) : lexicon_(lexicon), ask_(ask), relate_(relate) {
        p_between = pin("p:between");
        p_from = pin("p:from");
        p_to = pin("p:to");
        p_by = pin("p:by");
        p_through = pin("p:through");
        o_not = pin("o:not");
        o_every = pin("o:every");
        a_where = pin("a:where");
        a_who = pin("a:who");
        a_much = pin("a:much");
        a_when = pin("a:when");
        w_name = pin("w:name");
        open_number = pin("v:#");
        n_one = pin("n:1");
        o_each = pin("o:each");
        o_all = pin("o:all");
        o_than = pin("o:than");
        o_count = pin("o:count");
        o_other = pin("o:other");
        o_most = pin("o:most");
        o_extreme = pin("o:extreme");
        o_total = pin("o:total");
        o_average = pin("o:average");
        o_gt = pin("o:gt");
        o_lt = pin("o:lt");
        o_ge = pin("o:ge");
        o_le = pin("o:le");
        w_mean = pin("w:mean");
        for (int i = 0; i < SLOTS; ++i) {
            slot_texts[i] = pin("?" + std::to_string(i));
            slot_keys[i] = pin("v:?" + std::to_string(i));
        }
        i_ = pin("i");
        please = pin("please");
        am = pin("am");
        name = pin("name");
        to = pin("to");
        you = pin("you");
        like = pin("like");
        no = pin("no");
        than = pin("than");
        percent = pin("percent");
        dollar = pin("dollar");
        the = pin("the");
        and_ = pin("and");
        or_ = pin("or");
        of = pin("of");
        empty = pin("");
    }
    Symbols(const Symbols&) = delete;
    Symbols& operator=(const Symbols&) = delete;

    Symbol* intern(std::string_view text) {
        const auto found = table_.find(text);
        if (found != table_.end()) return found->second.get();
        auto made = std::make_unique<Symbol>(std::string(text), *this);
        Symbol* symbol = made.get();
        table_.emplace(symbol->text(), std::move(made));
        bytes_ += weight(*symbol);
        return symbol;
    }
    Symbol* intern(std::string_view prefix, std::string_view text) {
        scratch_.assign(prefix);
        scratch_.append(text);
        return intern(scratch_);
    }
    const Symbol* find(std::string_view text) const {
        const auto found = table_.find(text);
        return found == table_.end() ? nullptr : found->second.get();
    }

    Symbol* pin(std::string_view text) {
        Symbol* symbol = intern(text);
        ++symbol->uses;
        return symbol;
    }

    bool related(const Symbol* a, const Symbol* b, Relation relation);
    bool may_relate(std::string_view a, std::string_view b, Relation relation) const {
        const Relatable& words = languages[language].relatable;
        return words.pair(a, b) || (relation == ANTONYMS && (words.negates(a) || words.negates(b)));
    }

    size_t size() const { return table_.size(); }

    // Forget texts that nobody holds, when there are many. Only between calls: `busy` counts those under way.
    void tidy() {
        if (busy == 0 && bytes_ > limit_) sweep();
    }
    void sweep();

    static constexpr int SLOTS = 6;
    const Symbol *p_between, *p_from, *p_to, *p_by, *p_through, *o_not, *o_every;
    const Symbol *a_where, *a_who, *a_much, *a_when, *w_name, *open_number, *n_one, *o_each, *o_all, *o_than;
    const Symbol *o_count, *o_other, *o_most, *o_extreme, *o_total, *o_average, *o_gt, *o_lt, *o_ge, *o_le, *w_mean;
    const Symbol *slot_texts[SLOTS], *slot_keys[SLOTS];
    const Symbol *i_, *please, *am, *name, *to, *you, *like, *no, *than, *percent, *dollar, *the, *and_, *or_, *of, *empty;
    // Operators that mean the same, and prepositions that may stand for each other.
    std::vector<std::pair<const Symbol*, const Symbol*>> near_operators, one_part;
    int busy = 0;
    int language = 0;  // whose lexicon is asked
    std::vector<Language> languages;

    static bool holds(const std::vector<std::pair<const Symbol*, const Symbol*>>& pairs, const Symbol* a,
                      const Symbol* b) {
        for (const auto& [x, y] : pairs)
            if ((x == a && y == b) || (x == b && y == a)) return true;
        return false;
    }

  private:
    friend class Symbol;
    static constexpr size_t KEPT = 1 << 16;          // relations
    static constexpr size_t KEPT_BYTES = 32u << 20;  // of symbols, roughly

    static size_t weight(const Symbol& symbol) { return 300 + 2 * symbol.text().size(); }

    struct PairHash {
        size_t operator()(const std::pair<const Symbol*, const Symbol*>& pair) const {
            return std::hash<const void*>()(pair.first) * 31 + std::hash<const void*>()(pair.second);
        }
    };
    using Relations = std::unordered_map<std::pair<const Symbol*, const Symbol*>, bool, PairHash>;

    const Facts& ask(const Symbol& word) {
        // The lexicon is Python code: other threads may call in meanwhile, for another language.
        const int asked = language;
        auto facts = std::make_unique<Facts>();
        if (!tell_open(word, *facts)) {
            ask_(lexicon_, asked, *this, word, *facts);
            language = asked;
            check_python();
        }
        if (word.facts_.size() <= static_cast<size_t>(asked)) word.facts_.resize(asked + 1);
        // Another thread may have been faster; what it was given may be in use.
        if (!word.facts_[asked]) word.facts_[asked] = std::move(facts);
        return *word.facts_[asked];
    }

    // The facts of a word of which the word list says everything; false for any other.
    bool tell_open(const Symbol& word, Facts& facts) {
        OpenWord told;
        if (!languages[language].open.tell(word.text(), told)) return false;
        facts.flags = told.flags;
        facts.key = intern("w:", told.lemma);
        facts.stem = intern(OpenWords::stem(word.text()));
        facts.lemma_stem = intern(OpenWords::stem(told.lemma));
        if (!told.superlative_of.empty()) facts.superlative = intern("o:most ", told.superlative_of);
        if (!told.comparative_of.empty()) facts.comparative = intern("o:more ", told.comparative_of);
        return true;
    }

    static void mark(const Symbol* symbol, std::vector<const Symbol*>& pending) {
        if (symbol && !symbol->marked) {
            symbol->marked = true;
            pending.push_back(symbol);
        }
    }

    static void mark_facts(const Facts& facts, std::vector<const Symbol*>& pending) {
        for (const Symbol* key :
             {facts.key, facts.ordinal, facts.superlative, facts.comparative, facts.around, facts.compared,
              facts.compared_way, facts.stem, facts.lemma_stem, facts.number})
            mark(key, pending);
        for (const Symbol* part : facts.parts) mark(part, pending);
        for (const Phrase& phrase : facts.phrases) {
            mark(phrase.key, pending);
            for (const Symbol* word : phrase.words) mark(word, pending);
        }
    }

    void* lexicon_;
    Asker ask_;
    Relater relate_;
    std::unordered_map<std::string_view, std::unique_ptr<Symbol>> table_;
    std::vector<Relations> relations_;  // by language and relation
    std::string scratch_;
    size_t bytes_ = 0, limit_ = KEPT_BYTES;
};

inline size_t code_points(std::string_view text) {
    size_t count = 0;
    for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    return count;
}

inline size_t Symbol::length() const { return code_points(text_); }

// Python's `str.isdigit`.
inline bool is_all_digits(std::string_view text) {
    for (size_t i = 0; i < text.size();) {
        const text::Code code = text::decode(text.data(), i);
        if (!Py_UNICODE_ISDIGIT(code.value)) return false;
        i += code.width;
    }
    return !text.empty();
}

inline const std::string& Symbol::letters() const {
    if (letters_) return *letters_;
    letters_ = std::make_unique<std::string>();
    for (size_t i = 0; i < text_.size();) {
        const text::Code code = text::decode(text_.data(), i);
        if (Py_UNICODE_ISALNUM(code.value)) letters_->append(text_, i, code.width);
        i += code.width;
    }
    return *letters_;
}

inline const Facts& Symbol::facts() const {
    const size_t language = static_cast<size_t>(owner_.language);
    return language < facts_.size() && facts_[language] ? *facts_[language] : owner_.ask(*this);
}

inline const Symbol* Symbol::magnitude() const {
    const auto& magnitudes = owner_.languages[owner_.language].magnitudes;
    const auto found = magnitudes.find(this);
    return found == magnitudes.end() ? nullptr : found->second;
}

inline bool Symbol::is_priced() const {
    const auto& keys = owner_.languages[owner_.language].priced;
    return std::find(keys.begin(), keys.end(), this) != keys.end();
}

inline bool Symbol::is_summing() const {
    const auto& keys = owner_.languages[owner_.language].summing;
    return std::find(keys.begin(), keys.end(), this) != keys.end();
}

inline bool Symbol::is_telling() const {
    const auto& keys = owner_.languages[owner_.language].telling;
    return std::find(keys.begin(), keys.end(), this) != keys.end();
}

inline bool Symbol::negates(const Symbol& other) const {
    return owner_.languages[owner_.language].relatable.are_negated(text_, other.text_);
}

inline const Facts& Symbol::body_facts() const {
    if (!body_) body_ = owner_.intern(std::string(body()));
    return body_->facts();
}

inline bool Symbols::related(const Symbol* a, const Symbol* b, Relation relation) {
    if (!may_relate(a->body(), b->body(), relation)) return false;
    const int asked = language;
    const size_t place = static_cast<size_t>(asked) * RELATIONS + relation;
    if (relations_.size() <= place) relations_.resize(place + 1);
    const auto pair = std::make_pair(a, b);
    const auto found = relations_[place].find(pair);
    if (found != relations_[place].end()) return found->second;
    const bool answer = relate_(lexicon_, asked, *a, *b, relation) != 0;
    language = asked;
    check_python();
    Relations& known = relations_[place];
    if (known.size() >= KEPT) known.clear();
    return known[pair] = answer;
}

inline void Symbols::sweep() {
    std::vector<const Symbol*> pending;
    for (const auto& entry : table_)
        if (entry.second->uses) mark(entry.second.get(), pending);
    while (!pending.empty()) {
        const Symbol* symbol = pending.back();
        pending.pop_back();
        mark(symbol->body_, pending);
        for (const auto& facts : symbol->facts_)
            if (facts) mark_facts(*facts, pending);
    }
    for (Relations& known : relations_) known.clear();
    for (auto entry = table_.begin(); entry != table_.end();) {
        if (!entry->second->marked) {
            bytes_ -= weight(*entry->second);
            entry = table_.erase(entry);
        } else {
            entry->second->marked = false;
            ++entry;
        }
    }
    limit_ = std::max(KEPT_BYTES, 2 * bytes_);
}

// Holds symbols for as long as it lives.
class Holder {
  public:
    Holder() = default;
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;
    ~Holder() {
        for (const Symbol* symbol : held_) --symbol->uses;
    }
    const Symbol* hold(const Symbol* symbol) {
        if (symbol) {
            held_.push_back(symbol);
            ++symbol->uses;
        }
        return symbol;
    }

  private:
    std::vector<const Symbol*> held_;
};

struct TextLess {
    bool operator()(const Symbol* a, const Symbol* b) const { return a != b && a->text() < b->text(); }
};

}  // namespace medha::guard
