// The tokens and literals of a query text in ASCII. The rules are those of medha_core/reading/literals.py: each
// alternative of its pattern is one function here, tried in the same order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "text.hpp"

namespace medha::query {

enum class Kind : uint8_t { SPACE, COMMENT, SINGLE, DOUBLE, QUOTED_NAME, NUMBER, NAME, OPERATOR };

struct Token {
    Kind kind;
    uint32_t start, end;
};

struct Literal {
    std::string value, column;
    bool is_number, is_pattern;
    uint32_t start, end;
    bool is_matched;
};

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_letter(char c) { return static_cast<uint8_t>((c | 0x20) - 'a') < 26; }
inline bool is_word(char c) { return text::is_ascii_word(c); }
inline bool is_space(char c) { return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31); }

class Scanner {
  public:
    explicit Scanner(std::string_view text) : s_(text), n_(text.size()) {}

    // All tokens but spaces and comments, in order.
    std::vector<Token> run() const {
        std::vector<Token> found;
        found.reserve(n_ / 5 + 4);
        for (size_t i = 0; i < n_;) {
            const Token token = next(i);
            if (token.kind != Kind::SPACE && token.kind != Kind::COMMENT) found.push_back(token);
            i = token.end;
        }
        return found;
    }

  private:
    bool is_at(size_t i, char c) const { return i < n_ && s_[i] == c; }
    bool digit_at(size_t i) const { return i < n_ && is_digit(s_[i]); }
    bool word_at(size_t i) const { return i < n_ && is_word(s_[i]); }
    template <class Test>
    size_t run_of(size_t i, Test test) const {
        while (i < n_ && test(s_[i])) ++i;
        return i;
    }
    static Token made(Kind kind, size_t start, size_t end) {
        return {kind, static_cast<uint32_t>(start), static_cast<uint32_t>(end)};
    }

    Token next(size_t i) const {
        const char c = s_[i];
        size_t end = 0;
        if (is_space(c)) return made(Kind::SPACE, i, run_of(i, is_space));
        if ((end = comment(i))) return made(Kind::COMMENT, i, end);
        if (c == '\'' && (end = string(i))) return made(Kind::SINGLE, i, end);
        if (c == '"' && (end = string(i))) return made(Kind::DOUBLE, i, end);
        if ((end = quoted_name(i))) return made(Kind::QUOTED_NAME, i, end);
        if ((end = number(i))) return made(Kind::NUMBER, i, end);
        if ((end = name(i))) return made(Kind::NAME, i, end);
        return made(Kind::OPERATOR, i, i + operator_length(i));
    }

    size_t comment(size_t i) const {
        const char c = s_[i];
        if ((c == '-' || c == '/') && is_at(i + 1, c)) return run_of(i, [](char x) { return x != '\n'; });
        if (c != '/' || !is_at(i + 1, '*')) return 0;
        const size_t close = s_.find("*/", i + 2);
        return close == std::string_view::npos ? n_ : close + 2;
    }

    // A string with doubled or escaped quotes inside; one that is not closed goes to the end of the text.
    size_t string(size_t start) const {
        const char quote = s_[start];
        size_t doubled = 0;
        for (size_t i = start + 1; i < n_;) {
            if (s_[i] == '\\') {
                if (i + 1 == n_) return doubled;  // nothing to escape: the last doubled quote closes it
                i += 2;
            } else if (s_[i] == quote) {
                if (!is_at(i + 1, quote)) return i + 1;
                doubled = i + 1;
                i += 2;
            } else {
                ++i;
            }
        }
        return n_;
    }

    size_t quoted_name(size_t i) const {
        if (s_[i] == '`') {
            const size_t close = s_.find('`', i + 1);
            return close == std::string_view::npos ? n_ : close + 1;
        }
        if (s_[i] != '[' || i + 1 >= n_ || !(is_letter(s_[i + 1]) || s_[i + 1] == '_')) return 0;
        const size_t end = run_of(i + 2, [](char c) { return c != ']' && c != '\'' && c != '"'; });
        return is_at(end, ']') ? end + 1 : 0;
    }

    size_t number(size_t i) const {
        const size_t whole = run_of(i, is_digit);
        if (whole == i) {
            if (!is_at(i, '.') || !digit_at(i + 1)) return 0;
            return behind_digits(run_of(i + 1, is_digit));
        }
        if (is_at(whole, '.'))
            if (const size_t end = behind_digits(run_of(whole + 1, is_digit))) return end;
        return behind_digits(whole);
    }
    size_t behind_digits(size_t i) const {
        if (is_at(i, 'e') || is_at(i, 'E')) {
            const size_t first = is_at(i + 1, '+') || is_at(i + 1, '-') ? i + 2 : i + 1;
            const size_t end = run_of(first, is_digit);
            if (end > first && !word_at(end)) return end;
        }
        return word_at(i) ? 0 : i;
    }

    size_t name(size_t i) const {
        if (is_word(s_[i])) return run_of(i, is_word);
        if (s_[i] != '@' && s_[i] != ':' && s_[i] != '$') return 0;
        const size_t end = run_of(i + 1, is_word);
        return end > i + 1 ? end : 0;
    }

    size_t operator_length(size_t i) const {
        static constexpr std::string_view PAIRS[] = {"<>", "!=", "<=", ">=", "=~", "==", "||", "::"};
        const std::string_view pair = s_.substr(i, 2);
        return std::find(std::begin(PAIRS), std::end(PAIRS), pair) != std::end(PAIRS) ? 2 : 1;
    }

    const std::string_view s_;
    const size_t n_;
};

// The words of query languages, in lower case.
struct Vocabulary {
    std::unordered_set<std::string> comparisons, clauses, keywords, matching, sql_starts;
};

inline std::string lowered(std::string_view text) {
    std::string made(text);
    std::transform(made.begin(), made.end(), made.begin(), text::lower);
    return made;
}

// Finds the literals of a query and the column each is compared with.
class LiteralReader {
  public:
    LiteralReader(std::string_view text, const std::vector<Token>& tokens, const Vocabulary& vocabulary)
        : s_(text), tokens_(tokens), vocabulary_(vocabulary) {}

    std::vector<Literal> run() {
        std::vector<Literal> found;
        for (size_t i = 0; i < tokens_.size(); ++i) {
            const Token& token = tokens_[i];
            if (is(i, "(")) opened_.push_back(i);
            if (is(i, ")") && !opened_.empty()) opened_.pop_back();
            if (!is_value(token.kind)) continue;
            if (lower_.empty()) prepare();
            std::string column = column_of(i);
            if (token.kind == Kind::DOUBLE && column.empty() && !is_value_place(i)) continue;
            const bool is_number = token.kind == Kind::NUMBER;
            const bool is_pattern = i > 0 && is_like(i - 1);
            found.push_back({is_number ? std::string(text_of(i)) : unquoted(text_of(i)), std::move(column), is_number,
                             is_pattern, token.start, token.end, is_matched(i)});
        }
        return found;
    }

  private:
    static constexpr size_t NONE = static_cast<size_t>(-1);

    static bool is_value(Kind kind) { return kind == Kind::SINGLE || kind == Kind::DOUBLE || kind == Kind::NUMBER; }
    static bool is_name(Kind kind) { return kind == Kind::NAME || kind == Kind::QUOTED_NAME; }

    std::string_view text_of(size_t i) const { return s_.substr(tokens_[i].start, tokens_[i].end - tokens_[i].start); }
    bool is(size_t i, std::string_view text) const { return text_of(i) == text; }
    bool is_keyword(size_t i) const { return vocabulary_.keywords.count(std::string(lower_[i])) != 0; }
    bool is_comparison(size_t i) const { return vocabulary_.comparisons.count(std::string(lower_[i])) != 0; }
    bool is_matching(size_t i) const { return vocabulary_.matching.count(std::string(lower_[i])) != 0; }
    bool is_like(size_t i) const { return lower_[i] == "like" || lower_[i] == "ilike"; }

    // Whether the literal at `i` is a regular expression, or part of an expression that makes a pattern.
    bool is_matched(size_t i) const {
        if (i > 0 && is_matching(i - 1)) return true;
        if (opened_.empty()) return false;
        const size_t place = opened_.back();
        for (size_t k = place < 2 ? 0 : place - 2; k < place; ++k)
            if (is_matching(k) || is_like(k)) return true;
        return false;
    }

    void prepare() {
        lowered_ = lowered(s_);
        lower_.reserve(tokens_.size());
        for (const Token& token : tokens_)
            lower_.push_back(std::string_view(lowered_).substr(token.start, token.end - token.start));
        find_aliases();
    }

    // `alias -> table` for `table AS alias`, `table alias` and Cypher's `(alias:Label`.
    void find_aliases() {
        for (size_t i = 0; i + 2 < tokens_.size(); ++i) {
            const Kind a = tokens_[i].kind, b = tokens_[i + 1].kind, c = tokens_[i + 2].kind;
            if (a == Kind::NAME && c == Kind::NAME && lower_[i + 1] == "as")
                name_table(i + 2, lower_[i]);
            else if (is(i, "(") && b == Kind::NAME && text_of(i + 2)[0] == ':')
                name_table(i + 1, lower_[i + 2].substr(1));
            else if ((lower_[i] == "from" || lower_[i] == "join" || lower_[i] == ",") && b == Kind::NAME &&
                     c == Kind::NAME && !is_keyword(i + 2))
                name_table(i + 2, lower_[i + 1]);
        }
    }
    void name_table(size_t alias, std::string_view table) { tables_[lower_[alias]] = table; }

    static std::string unquoted(std::string_view text) {
        const char quote = text[0];
        const bool closed = text.size() > 1 && text.back() == quote;
        const std::string_view inner = text.substr(1, text.size() - 1 - closed);
        std::string single, made;
        for (size_t i = 0; i < inner.size(); ++i) {
            single.push_back(inner[i]);
            if (inner[i] == quote && i + 1 < inner.size() && inner[i + 1] == quote) ++i;
        }
        for (size_t i = 0; i < single.size(); ++i) {
            if (single[i] == '\\' && i + 1 < single.size()) ++i;
            made.push_back(single[i]);
        }
        return made;
    }

    bool is_value_place(size_t i) const { return i > 0 && is_comparison(i - 1) && !followed_by_dot(i); }
    bool followed_by_dot(size_t i) const { return i + 1 < tokens_.size() && is(i + 1, "."); }

    // The column or clause the literal at `i` belongs to.
    std::string column_of(size_t i) const {
        if (i == 0) return "";
        size_t j = i - 1;
        if (is(j, "-") || is(j, "+")) {
            if (j == 0) return "";
            --j;
        }
        j = before_list(j);
        const std::string word(lower_[j]);
        if (vocabulary_.clauses.count(word)) return word;
        if (word == "and" || word == "between") return column_of_between(j);
        if (!is_comparison(j) || followed_by_dot(i)) return "";
        return name_before(j);
    }

    // Step back over `IN (a, b,` and `[a, b,` to the comparison itself.
    size_t before_list(size_t j) const {
        for (size_t k = j; k > 0; --k) {
            if (is(k, "(") || is(k, "[")) return k - 1;
            if (!is(k, ",") && !is_value(tokens_[k].kind)) break;
        }
        return j;
    }

    std::string column_of_between(size_t j) const {
        if (lower_[j] == "and") {
            if (j < 2 || lower_[j - 2] != "between") return "";
            j -= 2;
        }
        return name_before(j);
    }

    // The column left of the comparison at `j`; a function call gives `function(column)`'s parts.
    std::string name_before(size_t j) const {
        size_t k = j - 1;  // NONE before the first token
        while (k != NONE && (lower_[k] == "not" || lower_[k] == "starts" || lower_[k] == "ends" || lower_[k] == "is")) --k;
        std::string function;
        if (k != NONE && is(k, ")")) k = call(k, function);
        if (k == NONE || !(is_name(tokens_[k].kind) || tokens_[k].kind == Kind::DOUBLE)) return function;
        std::string name = bare(k);
        if (k >= 2 && is(k - 1, ".")) {
            const std::string owner = bare(k - 2);
            const auto table = tables_.find(owner);
            name = (table == tables_.end() ? owner : std::string(table->second)) + "." + name;
        }
        static constexpr std::string_view SUMS[] = {"count", "sum", "avg", "min", "max"};
        if (std::find(std::begin(SUMS), std::end(SUMS), function) == std::end(SUMS)) return name;
        return function + "(" + name + ")";
    }

    // In lower case, without quotes.
    std::string bare(size_t i) const {
        static constexpr std::string_view QUOTES = "`\"[]";
        std::string_view text = text_of(i);
        while (!text.empty() && QUOTES.find(text.front()) != std::string_view::npos) text.remove_prefix(1);
        while (!text.empty() && QUOTES.find(text.back()) != std::string_view::npos) text.remove_suffix(1);
        return lowered(text);
    }

    // The function whose call closes at `k`, and the place of the last name inside it.
    size_t call(size_t k, std::string& function) const {
        int64_t depth = 0;
        size_t inside = NONE;
        for (; k != NONE; --k) {
            depth += is(k, ")");
            depth -= is(k, "(");
            if (depth == 0) break;
            if (inside == NONE && is_name(tokens_[k].kind)) inside = k;
        }
        if (k != NONE && k > 0 && tokens_[k - 1].kind == Kind::NAME && !is_keyword(k - 1)) function = lower_[k - 1];
        return inside;
    }

    const std::string_view s_;
    const std::vector<Token>& tokens_;
    const Vocabulary& vocabulary_;
    std::string lowered_;
    std::vector<std::string_view> lower_;  // its tokens
    std::vector<size_t> opened_;  // places of the parentheses that a token stands in
    std::unordered_map<std::string_view, std::string_view> tables_;
};

// Whether a query begins like SQL, and is not Cypher that does.
inline bool is_sql(std::string_view text, const std::vector<Token>& tokens, const Vocabulary& vocabulary) {
    const auto word = [&](const Token& token) { return lowered(text.substr(token.start, token.end - token.start)); };
    return !tokens.empty() && vocabulary.sql_starts.count(word(tokens[0])) &&
           std::none_of(tokens.begin(), tokens.end(), [&](const Token& token) {
               return token.end - token.start == 5 && word(token) == "match";
           });
}

// Whether two queries have the same tokens, but for those of the first that begin at `starts` (sorted).
inline bool differ_only_at(std::string_view before, std::string_view after, const std::vector<uint32_t>& starts) {
    const std::vector<Token> a = Scanner(before).run(), b = Scanner(after).run();
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i) {
        if (a[i].kind != b[i].kind) return false;
        if (std::binary_search(starts.begin(), starts.end(), a[i].start)) continue;
        if (before.substr(a[i].start, a[i].end - a[i].start) != after.substr(b[i].start, b[i].end - b[i].start))
            return false;
    }
    return true;
}

// The parts of three letters and more of the names in a query, in lower case: `flight`, `fare` of `flightFare`.
inline std::vector<std::string> name_parts(std::string_view text, const std::vector<Token>& tokens) {
    const auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
    const auto is_lower = [](char c) { return c >= 'a' && c <= 'z'; };
    std::vector<std::string> found;
    for (const Token& token : tokens) {
        if (token.kind != Kind::NAME) continue;
        for (size_t i = token.start; i < token.end;) {
            size_t end = i;
            if (is_lower(text[i]) || (is_upper(text[i]) && i + 1 < token.end && is_lower(text[i + 1]))) {
                end = i + 1;
                while (end < token.end && is_lower(text[end])) ++end;
            } else if (is_upper(text[i])) {
                while (end < token.end && is_upper(text[end])) ++end;
                if (end < token.end && is_lower(text[end])) --end;
            }
            if (end > i + 2) {
                std::string part(text.substr(i, end - i));
                std::transform(part.begin(), part.end(), part.begin(), text::lower);
                if (std::find(found.begin(), found.end(), part) == found.end()) found.push_back(std::move(part));
            }
            i = std::max(end, i + 1);
        }
    }
    return found;
}

}  // namespace medha::query
