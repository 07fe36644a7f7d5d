// What a query in ASCII says of the English question it is stored with. The rules are those of medha_core/reading:
// mentions.py, slots.py, features.py (`query_facts`) and, as far as a query is taken apart there, sense.py.
#pragma once

#include "guard_builder.hpp"
#include "query.hpp"

namespace medha::guard {

// The parts of a SELECT that `read_sense` looks at.
class SelectReader {
  public:
    explicit SelectReader(std::string_view query) : s_(query), n_(query.size()) {}

    bool selects = false;       // whether it is a SELECT ... FROM of a length that is read
    std::string_view selected;  // its columns as they stand
    std::string tables;         // own names of the tables they are selected from, with a space between
    bool may_have_extreme = false;
    bool groups = false;

    // False where the Python reader has to look.
    bool run() {
        size_t i = spaces(0);
        if (n_ > LONGEST || !word_at(i, "select") || spaces(i + 6) == i + 6) return true;
        i = spaces(i + 6);
        if (word_at(i, "distinct") && spaces(i + 8) > i + 8) i = spaces(i + 8);
        if (word_at(i, "from")) return false;
        const size_t end = columns_end(i);
        if (end == n_) return true;
        selects = true;
        selected = s_.substr(i, end - i);
        find_owners();
        find_tables(end);
        may_have_extreme = names_extreme();
        groups = names_groups();
        return true;
    }

  private:
    static constexpr size_t LONGEST = 4000;

    static bool is_space(char c) { return query::is_space(c); }
    static bool is_name(char c) {
        return query::is_word(c) || c == '.' || c == '$' || c == '`' || c == '"' || c == '[' || c == ']';
    }
    size_t spaces(size_t i) const {
        while (i < n_ && is_space(s_[i])) ++i;
        return i;
    }
    size_t name(size_t i) const {
        while (i < n_ && is_name(s_[i])) ++i;
        return i;
    }
    size_t letters(size_t i) const {
        while (i < n_ && query::is_word(s_[i])) ++i;
        return i;
    }
    // Whether a word in lower case begins at `i`, in whatever case; it may go on.
    bool word_at(size_t i, std::string_view word) const {
        if (i + word.size() > n_) return false;
        for (size_t k = 0; k < word.size(); ++k)
            if (text::lower(s_[i + k]) != word[k]) return false;
        return true;
    }
    bool whole_word_at(size_t i, std::string_view word) const {
        return word_at(i, word) && (i + word.size() == n_ || !query::is_word(s_[i + word.size()]));
    }
    bool begins_word(size_t i) const { return i == 0 || !query::is_word(s_[i - 1]); }

    // Where the columns end: before the first `from` between spaces; the end of the query where there is none.
    size_t columns_end(size_t i) const {
        while (i < n_) {
            if (!is_space(s_[i])) {
                ++i;
                continue;
            }
            const size_t next = spaces(i);
            if (word_at(next, "from") && next + 4 < n_ && is_space(s_[next + 4])) return i;
            i = next;
        }
        return n_;
    }

    // What stands before the names of the columns, in lower case; nothing where one is more than a name.
    void find_owners() {
        for (size_t i = 0; i <= selected.size();) {
            const size_t comma = std::min(selected.find(',', i), selected.size());
            size_t first = i, last = comma;
            while (first < last && is_space(selected[first])) ++first;
            while (last > first && is_space(selected[last - 1])) --last;
            const std::string_view column = selected.substr(first, last - first);
            if (column.empty() || !std::all_of(column.begin(), column.end(), is_name)) {
                owners_.clear();
                return;
            }
            const size_t dot = column.rfind('.');
            owners_.push_back(query::lowered(column.substr(0, dot == std::string_view::npos ? 0 : dot)));
            i = comma + 1;
        }
    }
    bool owns(std::string_view name) const {
        return std::find(owners_.begin(), owners_.end(), query::lowered(name)) != owners_.end();
    }

    // The tables behind `from`, `join` or a comma that own a selected column, by their name or by what they are called.
    void find_tables(size_t i) {
        const bool any = owns("");
        while (i < n_ && !owners_.empty()) {
            const size_t lead = behind_lead(i);
            const size_t first = spaces(lead), end = lead == i ? first : name(first);
            if (end == first) {
                ++i;
                continue;
            }
            const std::string_view table = s_.substr(first, end - first);
            const std::string_view own = table.substr(table.rfind('.') + 1);
            const std::string_view called = alias(end);
            if (owns(called) || owns(own) || any) {
                if (!tables.empty()) tables.push_back(' ');
                tables.append(own);
                if (any) return;
            }
            i = called.empty() ? end : static_cast<size_t>(called.data() - s_.data()) + called.size();
        }
    }
    // Where what leads to a table ends; `i` itself where nothing leads to one.
    size_t behind_lead(size_t i) const {
        if (s_[i] == ',') return i + 1;
        const char c = text::lower(s_[i]);
        if (c != 'f' && c != 'j') return i;
        return word_at(i, c == 'f' ? "from" : "join") && begins_word(i) ? i + 4 : i;
    }
    // What the table before `i` is called here, or nothing.
    std::string_view alias(size_t i) const {
        size_t first = spaces(i);
        if (first == i) return {};
        const size_t behind_as = word_at(first, "as") ? spaces(first + 2) : 0;
        if (behind_as > first + 2 && !is_clause(behind_as) && letters(behind_as) > behind_as) first = behind_as;
        if (is_clause(first)) return {};
        return s_.substr(first, letters(first) - first);
    }
    bool is_clause(size_t i) const {
        for (const std::string_view word :
             {"where", "join", "on", "left", "inner", "natural", "cross", "order", "group"})
            if (whole_word_at(i, word)) return true;
        return false;
    }

    // Whether the query may take an extreme: `max (`, `min (` or `limit 1` stands in it.
    bool names_extreme() const {
        for (size_t i = 0; i < n_; ++i) {
            if (text::lower(s_[i]) == 'm' && (word_at(i, "max") || word_at(i, "min"))) {
                const size_t next = spaces(i + 3);
                if (next < n_ && s_[next] == '(') return true;
            } else if (text::lower(s_[i]) == 'l' && word_at(i, "limit")) {
                const size_t next = spaces(i + 5);
                if (next > i + 5 && next < n_ && s_[next] == '1') return true;
            }
        }
        return false;
    }

    bool names_groups() const {
        for (size_t i = 0; i < n_; ++i) {
            if (text::lower(s_[i]) != 'g' || !word_at(i, "group") || !begins_word(i)) continue;
            const size_t next = spaces(i + 5);
            if (next > i + 5 && whole_word_at(next, "by")) return true;
        }
        return false;
    }

    const std::string_view s_;
    const size_t n_;
    std::vector<std::string> owners_;
};

// A value of the query that the question names.
struct Mentioned {
    const Symbol* text;
    Keys parts;
    uint32_t first, last;
    std::vector<uint32_t> literals;
};

class StoredReader {
  public:
    StoredReader(Symbols& symbols, const Question& said, std::string_view query, const query::Vocabulary& words)
        : symbols_(symbols), said_(said), query_(query), tokens_(query::Scanner(query).run()), select(query) {
        literals_ = query::LiteralReader(query, tokens_, words).run();
    }

    // False where the Python reader has to look: at values that are said in ways it alone reads, and at queries that
    // dialects may read differently.
    bool run() { return !is_ambiguous() && find_mentions() && select.run(); }

    // The query with `?column` where a mentioned value stood, and single spaces.
    std::string shape() const {
        std::string opened;
        size_t end = 0;
        for (size_t which = 0; which < literals_.size(); ++which) {
            if (!named_[which]) continue;
            opened.append(query_.substr(end, literals_[which].start - end)).append("?").append(literals_[which].column);
            end = literals_[which].end;
        }
        opened.append(query_.substr(end));
        std::string made;
        for (size_t i = 0; i < opened.size(); ++i) {
            if (!query::is_space(opened[i]))
                made.push_back(opened[i]);
            else if (!made.empty() && i + 1 < opened.size() && !query::is_space(opened[i + 1]))
                made.push_back(' ');
        }
        return made;
    }

    // Put everything but the sense and the shape's digest into the question.
    void tell(Builder& builder, Question& made, std::string_view shape) {
        for (const Mentioned& one : mentions_) {
            const Symbol* column = symbols_.intern(literals_[one.literals[0]].column);
            const Keys parts = split(one.text->text(), ' ');
            builder.add_value(one.text, one.text, parts, column, column_words(column), one.first, one.last);
            for (const uint32_t which : one.literals)
                builder.add_literal(which, symbols_.intern(literals_[which].column), symbols_.intern(literals_[which].value));
        }
        add_slots(builder, made);
        for (size_t which = 0; which < literals_.size(); ++which) {
            const query::Literal& literal = literals_[which];
            if (named_[which]) continue;
            made.unnamed = made.unnamed || !(literal.column.empty() || literal.column == "limit");
            made.fixed_dates = made.fixed_dates || begins_like_a_date(literal.value);
        }
        made.selects_name = selects_name(shape);
    }

    // Stems of the words in the names the query uses.
    Keys names() {
        Keys found;
        for (const std::string& part : query::name_parts(query_, tokens_))
            found.push_back(symbols_.intern(part)->facts().lemma_stem);
        return found;
    }

    bool differs() const {
        return query_.find("<>") != std::string_view::npos || query_.find("!=") != std::string_view::npos;
    }

  private:
    static constexpr size_t MAX_SLOTS = 6;

    // Whether it is for the Python reader to say which literals are where they seem to be.
    bool is_ambiguous() const {
        if (query_.find("\"\"\"") != std::string_view::npos || query_.find("/*") != std::string_view::npos) return true;
        if (std::count(query_.begin(), query_.end(), '$') > 1) return true;
        return std::any_of(literals_.begin(), literals_.end(), [&](const query::Literal& one) {
            return !one.is_number && (one.end - one.start < 2 || query_[one.start] != query_[one.end - 1]);
        });
    }

    // The words of a value, without what a question does not say of it.
    bool speak(std::string_view value, Keys& said) const {
        while (!value.empty() && value.front() == '%') value.remove_prefix(1);
        while (!value.empty() && value.back() == '%') value.remove_suffix(1);
        std::string plain(value);
        std::replace(plain.begin(), plain.end(), '"', ' ');
        std::vector<Word> words;
        if (!Tokenizer(symbols_, plain, words).run()) return false;
        for (const Word& word : words) said.push_back(word.text);
        return true;
    }

    // Longer values come first, so that none hides in another; then all are put in the order of the question.
    bool find_mentions() {
        named_.assign(literals_.size(), false);
        std::vector<Mentioned> values;
        std::unordered_map<Keys, size_t, KeysHash> place;
        for (uint32_t which = 0; which < literals_.size(); ++which) {
            Keys value;
            if (!speak(literals_[which].value, value)) return false;
            if (value.empty()) continue;
            const auto [known, is_new] = place.try_emplace(value, values.size());
            if (is_new) values.push_back({joined(value), value, 0, 0, {}});
            values[known->second].literals.push_back(which);
        }
        std::stable_sort(values.begin(), values.end(),
                         [](const Mentioned& a, const Mentioned& b) { return a.parts.size() > b.parts.size(); });
        std::vector<bool> taken(said_.words.size(), false);
        for (Mentioned& value : values) {
            places(said_.words, value.parts, value.text, [&](uint32_t first, uint32_t last) {
                if (std::find(taken.begin() + first, taken.begin() + last, true) != taken.begin() + last) return;
                std::fill(taken.begin() + first, taken.begin() + last, true);
                value.first = first;
                value.last = last;
                for (const uint32_t which : value.literals) named_[which] = true;
                mentions_.push_back(value);
            });
        }
        std::sort(mentions_.begin(), mentions_.end(), [](const Mentioned& a, const Mentioned& b) { return a.first < b.first; });
        return true;
    }

    // None where a value is said twice, or means two things.
    void add_slots(Builder& builder, Question& made) const {
        if (mentions_.size() > MAX_SLOTS) return;
        std::vector<Slot> found;
        for (uint32_t place = 0; place < mentions_.size(); ++place) {
            const std::vector<uint32_t>& own = mentions_[place].literals;
            const query::Literal& first = literals_[own[0]];
            for (uint32_t before = 0; before < place; ++before)
                if (mentions_[before].literals == own) return;
            Slot slot;
            slot.value = place;
            for (const uint32_t which : own) {
                const query::Literal& literal = literals_[which];
                const Symbol* column = symbols_.intern(literal.column);
                if (tail(literal.column) != tail(first.column) || literal.is_number != first.is_number) return;
                if (!contains(slot.columns, column)) slot.columns.push_back(column);
            }
            std::sort(slot.columns.begin(), slot.columns.end(), TextLess());
            slot.spelling = symbols_.intern(first.value);
            slot.is_number = first.is_number;
            slot.is_date = is_iso_date(first.value);
            slot.is_lower = is_lower(first.value);
            found.push_back(slot);
        }
        made.can_exchange = true;
        for (const Slot& slot : found) builder.add_slot(slot);
    }

    const Symbol* joined(const Keys& words) const {
        std::string whole;
        for (size_t i = 0; i < words.size(); ++i) whole.append(i ? " " : "").append(words[i]->text());
        return symbols_.intern(whole);
    }
    Keys split(std::string_view text, char mark) const {
        Keys found;
        for (size_t i = 0; i <= text.size();) {
            const size_t end = std::min(text.find(mark, i), text.size());
            found.push_back(symbols_.intern(text.substr(i, end - i)));
            i = end + 1;
        }
        return found;
    }
    Keys column_words(const Symbol* column) const {
        if (column->text().empty()) return {};
        std::string name = query::lowered(column->text());
        std::replace(name.begin(), name.end(), '.', '_');
        return split(name, '_');
    }
    static std::string_view tail(std::string_view column) { return column.substr(column.rfind('.') + 1); }

    static bool are_digits(std::string_view text, size_t first, size_t count) {
        for (size_t i = first; i < first + count; ++i)
            if (i >= text.size() || !query::is_digit(text[i])) return false;
        return true;
    }
    static bool begins_like_a_date(std::string_view text) {
        return are_digits(text, 0, 4) && text.size() > 5 && text[4] == '-' && query::is_digit(text[5]);
    }
    // `2023-03-05`, with a time behind a T or without.
    static bool is_iso_date(std::string_view text) {
        if (text.size() < 10 || !are_digits(text, 0, 4) || !are_digits(text, 5, 2) || !are_digits(text, 8, 2)) return false;
        if (text[4] != '-' || text[7] != '-') return false;
        const auto is_time = [](char c) { return query::is_digit(c) || c == ':'; };
        return text.size() == 10 || (text.size() > 11 && text[10] == 'T' && std::all_of(text.begin() + 11, text.end(), is_time));
    }
    // Python's `str.islower`.
    static bool is_lower(std::string_view text) {
        return std::any_of(text.begin(), text.end(), [](char c) { return c >= 'a' && c <= 'z'; }) &&
               std::none_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    }
    static bool selects_name(std::string_view shape) {
        const size_t place = std::min(shape.find(" from "), shape.size());
        const size_t end = place < shape.size() ? place : std::min(shape.find(" FROM "), shape.size());
        return end < shape.size() && query::lowered(shape.substr(0, end)).find("name") != std::string::npos;
    }

    Symbols& symbols_;
    const Question& said_;
    const std::string_view query_;
    const std::vector<query::Token> tokens_;
    std::vector<query::Literal> literals_;
    std::vector<Mentioned> mentions_;
    std::vector<bool> named_;  // whether the question names a literal

  public:
    SelectReader select;
};

}  // namespace medha::guard
