// The values stored queries name, by column, and where they stand in another question.
// The rules are those of medha_core/reading/values.py.
#pragma once

#include <map>
#include <unordered_set>

#include "guard_question.hpp"

namespace medha::guard {

// Counts uses of symbols that stand in tables: a symbol stays as long as a table names it.
inline void acquire(const Symbol* symbol) { ++symbol->uses; }
inline void release(const Symbol* symbol) { --symbol->uses; }

struct Spotted {
    const Symbol* text;
    uint32_t first, last;
};

class KnownValues {
  public:
    KnownValues() = default;
    KnownValues(const KnownValues&) = delete;
    KnownValues& operator=(const KnownValues&) = delete;
    ~KnownValues() {
        for (auto& [text, columns] : columns_) {
            release(text);
            for (auto& column : columns) {
                release(column.name);
                for (auto& [spelling, count] : column.spellings) release(spelling);
            }
        }
        for (auto& [first, length] : longest_) release(first);
        for (auto& [name, texts] : by_column_) release(name);
    }

    void saw(Symbols& symbols, const Symbol* column, const Symbol* text, const Symbol* spelling) {
        const auto [place, is_new] = columns_.try_emplace(text);
        if (is_new) acquire(text);
        Column& held = column_of(place->second, column);
        const auto [counted, first_time] = held.spellings.try_emplace(spelling, 0);
        if (first_time) acquire(spelling);
        ++counted->second;
        const auto [named, unseen] = by_column_.try_emplace(column);
        if (unseen) acquire(column);
        named->second.insert(text);
        const std::string& said = text->text();
        const Symbol* head = symbols.intern(std::string(said.substr(0, said.find(' '))));
        const auto [longest, fresh] = longest_.try_emplace(head, 0);
        if (fresh) acquire(head);
        longest->second = std::max<size_t>(longest->second, 1 + std::count(said.begin(), said.end(), ' '));
    }

    void forgot(const Symbol* column, const Symbol* text, const Symbol* spelling) {
        const auto place = columns_.find(text);
        if (place == columns_.end()) return;
        auto& columns = place->second;
        const auto held = std::find_if(columns.begin(), columns.end(), [&](auto& c) { return c.name == column; });
        if (held == columns.end()) return;
        const auto counted = held->spellings.find(spelling);
        if (counted == held->spellings.end()) return;
        if (--counted->second == 0) {
            held->spellings.erase(counted);
            release(spelling);
        }
        if (held->spellings.empty()) {
            by_column_[column].erase(text);
            columns.erase(held);
            release(column);
        }
        if (columns.empty()) {
            columns_.erase(place);
            release(text);
        }
    }

    bool knows(const Symbol* text) const { return columns_.count(text) != 0; }

    // The spelling of a value in a column, or in one of the same name that shares a value with it; or null.
    const Symbol* fitting(const Symbol* column, const Symbol* text) const {
        const auto place = columns_.find(text);
        if (place == columns_.end()) return nullptr;
        for (const Column& held : place->second)
            if (held.name == column) return most_frequent(held);
        for (const Column& other : place->second)
            if (tail(other.name) == tail(column) && share_a_value(column, other.name)) return most_frequent(other);
        return nullptr;
    }

    // The names of the columns in which a value was seen.
    template <class Use>
    void each_column(const Symbol* text, Use use) const {
        const auto place = columns_.find(text);
        if (place == columns_.end()) return;
        for (const Column& column : place->second) use(column.name);
    }

    // The known values in a row of words, the longest at each place; a word may hold a whole value.
    void spot(const Symbols& symbols, const Keys& words, std::vector<Spotted>& found) const {
        found.clear();
        if (columns_.empty()) return;
        std::string joined;
        for (uint32_t i = 0; i < words.size();) {
            const auto [text, length] = value_at(symbols, words, i, joined);
            if (length) found.push_back({text, i, i + length});
            i += std::max(length, 1u);
        }
    }

    static std::string_view tail(const Symbol* column) {
        const std::string_view name = column->text();
        const size_t dot = name.rfind('.');
        return dot == std::string_view::npos ? name : name.substr(dot + 1);
    }

  private:
    struct Column {
        const Symbol* name;
        std::map<const Symbol*, int64_t> spellings;
    };

    static Column& column_of(std::vector<Column>& columns, const Symbol* name) {
        for (Column& column : columns)
            if (column.name == name) return column;
        acquire(name);
        columns.push_back({name, {}});
        return columns.back();
    }

    static const Symbol* most_frequent(const Column& column) {
        const Symbol* best = nullptr;
        int64_t most = 0;
        for (const auto& [spelling, count] : column.spellings) {
            if (best && (count < most || (count == most && spelling->text() < best->text()))) continue;
            best = spelling;
            most = count;
        }
        return best;
    }

    bool share_a_value(const Symbol* column, const Symbol* other) const {
        const auto a = by_column_.find(column), b = by_column_.find(other);
        if (a == by_column_.end() || b == by_column_.end()) return false;
        const bool first = a->second.size() < b->second.size();
        const auto &small = first ? a->second : b->second, &large = first ? b->second : a->second;
        return std::any_of(small.begin(), small.end(), [&](const Symbol* text) { return large.count(text) != 0; });
    }

    std::pair<const Symbol*, uint32_t> value_at(const Symbols& symbols, const Keys& words, uint32_t i,
                                                std::string& joined) const {
        const auto longest = longest_.find(words[i]);
        if (longest != longest_.end()) {
            for (size_t length = std::min<size_t>(longest->second, words.size() - i); length > 1; --length) {
                joined = words[i]->text();
                for (size_t k = i + 1; k < i + length; ++k) joined.append(" ").append(words[k]->text());
                const Symbol* text = symbols.find(joined);
                if (text && knows(text)) return {text, static_cast<uint32_t>(length)};
            }
        }
        if (knows(words[i])) return {words[i], 1};
        return {nullptr, 0};
    }

    std::unordered_map<const Symbol*, std::vector<Column>> columns_;
    std::unordered_map<const Symbol*, std::unordered_set<const Symbol*>> by_column_;
    std::unordered_map<const Symbol*, size_t> longest_;
};

}  // namespace medha::guard
