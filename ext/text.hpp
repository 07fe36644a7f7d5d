// Normalising a question in one pass over its UTF-8 bytes, and finding its quoted literals.
// The rules are those of medha_core/_twin/text.py, where they are written as regular expressions.
#pragma once

#include <Python.h>

#include <cstdint>
#include <cstring>
#include <memory>

#include "xxh3.hpp"

namespace medha {

// Bytes that live on the stack unless a question is unusually long.
class Scratch {
  public:
    explicit Scratch(size_t capacity) : heap_(capacity > sizeof(inline_) ? new char[capacity] : nullptr) {}
    char* data() { return heap_ ? heap_.get() : inline_; }

  private:
    char inline_[2048];
    std::unique_ptr<char[]> heap_;
};

namespace text {

struct Code {
    Py_UCS4 value;
    size_t width;
};

inline bool is_continuation(char c) { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

// The code point at `i` of valid UTF-8 (encoded lone surrogates included).
inline Code decode(const char* s, size_t i) {
    const auto byte = [&](size_t k) { return static_cast<Py_UCS4>(static_cast<uint8_t>(s[i + k])); };
    const Py_UCS4 lead = byte(0);
    if (lead < 0x80) return {lead, 1};
    if (lead < 0xE0) return {((lead & 0x1F) << 6) | (byte(1) & 0x3F), 2};
    if (lead < 0xF0) return {((lead & 0x0F) << 12) | ((byte(1) & 0x3F) << 6) | (byte(2) & 0x3F), 3};
    return {((lead & 0x07) << 18) | ((byte(1) & 0x3F) << 12) | ((byte(2) & 0x3F) << 6) | (byte(3) & 0x3F), 4};
}

inline bool is_ascii_word(char c) {
    return static_cast<uint8_t>((c | 0x20) - 'a') < 26 || static_cast<uint8_t>(c - '0') < 10 || c == '_';
}

// `\w` of a Python regular expression.
inline bool is_word(Py_UCS4 c) { return c < 0x80 ? is_ascii_word(static_cast<char>(c)) : Py_UNICODE_ISALNUM(c); }

inline bool word_at(const char* s, size_t n, size_t i) {
    if (i >= n) return false;
    return static_cast<uint8_t>(s[i]) < 0x80 ? is_ascii_word(s[i]) : is_word(decode(s, i).value);
}

inline bool word_before(const char* s, size_t i) {
    if (i == 0) return false;
    if (static_cast<uint8_t>(s[i - 1]) < 0x80) return is_ascii_word(s[i - 1]);
    do --i;
    while (is_continuation(s[i]));
    return is_word(decode(s, i).value);
}

// Printable ASCII without two spaces in a row: lower-casing is all there is to do. Written
// without branches so that compilers turn it into vector instructions.
inline bool is_tidy(const char* s, size_t n) {
    if (n == 0 || s[0] == ' ' || s[n - 1] == ' ') return false;
    unsigned untidy = 0;
    for (size_t i = 0; i + 1 < n; ++i)
        untidy |= unsigned(static_cast<signed char>(s[i]) < 32) | (unsigned(s[i] == ' ') & unsigned(s[i + 1] == ' '));
    return !untidy && static_cast<signed char>(s[n - 1]) >= 32;
}

inline char lower(char c) { return static_cast<char>(c | (static_cast<uint8_t>(c - 'A') < 26 ? 0x20 : 0)); }

// Lower-case ASCII and make each run of whitespace one space, none at the ends. `out` may be `s`.
inline size_t collapse(const char* s, size_t n, char* out) {
    size_t written = 0;
    bool pending = false;
    for (size_t i = 0; i < n;) {
        const Code code = decode(s, i);
        if (Py_UNICODE_ISSPACE(code.value)) {
            pending = written > 0;
            i += code.width;
            continue;
        }
        if (pending) out[written++] = ' ';
        pending = false;
        for (const size_t end = i + code.width; i < end;) out[written++] = lower(s[i++]);
    }
    return written;
}

// What stands at a place of the text: which rewriting, and how far it reaches.
struct Match {
    const char* replacement;
    size_t end;  // 0: nothing
};

class Rewriter {
  public:
    Rewriter(char* s, size_t n) : s_(s), n_(n) {}

    // Rewrites in place (no replacement is longer than what it stands for); returns the new length.
    size_t run() {
        size_t copied = 0, written = 0;
        bool inside_word = false;
        for (size_t i = 0; i < n_;) {
            const bool word = is_ascii_word(s_[i]);
            const Match match = word && !inside_word ? match_at(i) : Match{nullptr, 0};
            inside_word = word || match.end;
            if (!match.end) {
                ++i;
                continue;
            }
            written = move(copied, i, written);
            for (const char* c = match.replacement; *c; ++c) s_[written++] = *c;
            copied = i = match.end;
        }
        return copied ? move(copied, n_, written) : n_;
    }

    bool dropped_a_word() const { return dropped_; }

  private:
    char* s_;
    size_t n_;
    bool dropped_ = false;

    size_t move(size_t from, size_t to, size_t written) {
        std::memmove(s_ + written, s_ + from, to - from);
        return written + (to - from);
    }

    // The end of `words` when it stands at `i` and no word character follows, else 0.
    template <size_t N>
    size_t at(size_t i, const char (&words)[N]) const {
        const size_t end = i + N - 1;
        return end <= n_ && std::memcmp(s_ + i, words, N - 1) == 0 && !word_at(s_, n_, end) ? end : 0;
    }

    template <size_t N>
    size_t skip(size_t i, const char (&words)[N]) const {
        const size_t end = at(i, words);
        return end ? end : i;
    }

    // The rules that shorten a verb run after those that produce it, longest phrase first.
    Match get(size_t end) const { return {"get", skip(skip(end, " me the"), " me")}; }
    Match show(size_t end) const { return {"show", skip(skip(end, " me the"), " me")}; }
    Match list(size_t end) const { return {"list", skip(skip(end, " all the"), " all")}; }
    Match find(size_t end) const { return {"find", skip(end, " out")}; }

    Match could_you(size_t verb) const {
        if (size_t end = at(verb, "can you tell me")) return get(end);
        if (size_t end = at(verb, "get")) return get(end);
        if (size_t end = at(verb, "show")) return show(end);
        if (size_t end = at(verb, "find")) return find(end);
        if (size_t end = at(verb, "list")) return list(end);
        return {nullptr, 0};
    }

    Match match_at(size_t i) {
        // A word that begins inside a longer one is none: `é` before `get` makes one word.
        if (!is_head(s_[i]) || word_before(s_, i)) return {nullptr, 0};
        Match match{nullptr, 0};
        switch (s_[i]) {
            case 'c':
                if (size_t end = at(i, "can you tell me")) return get(end);
                if (size_t end = at(i, "could you")) return end < n_ && s_[end] == ' ' ? could_you(end + 1) : match;
                return match;
            case 'i':
                if (size_t end = at(i, "i want to know")) return get(end);
                return match;
            case 'w':
                if (size_t end = at(i, "who are the")) return {"list", end};
                if (size_t end = at(i, "what are the")) return {"list", end};
                return match;
            case 't':
                if (size_t end = at(i, "tell me about")) return {"get", end};
                return match;
            case 'p':
                match = {"", at(i, "please")};
                dropped_ |= match.end > 0;
                return match;
            case 'g':
                return changed(at(i, "get"), &Rewriter::get);
            case 's':
                return changed(at(i, "show"), &Rewriter::show);
            case 'l':
                return changed(at(i, "list"), &Rewriter::list);
            default:
                return changed(at(i, "find"), &Rewriter::find);
        }
    }

    Match changed(size_t end, Match (Rewriter::*verb)(size_t) const) const {
        const Match match = end ? (this->*verb)(end) : Match{nullptr, 0};
        return match.end > end ? match : Match{nullptr, 0};
    }

    static bool is_head(char c) {
        constexpr uint32_t heads = 1u << ('c' - 'a') | 1u << ('f' - 'a') | 1u << ('g' - 'a') | 1u << ('i' - 'a') |
                                   1u << ('l' - 'a') | 1u << ('p' - 'a') | 1u << ('s' - 'a') | 1u << ('t' - 'a') |
                                   1u << ('w' - 'a');
        const unsigned letter = static_cast<uint8_t>(c - 'a');
        return letter < 26 && (heads >> letter & 1);
    }
};

inline size_t strip_end(char* s, size_t n, bool dropped_a_word) {
    const size_t before = n;
    while (n && (s[n - 1] == '.' || s[n - 1] == '!' || s[n - 1] == '?')) --n;
    return dropped_a_word || n < before ? collapse(s, n, s) : n;
}

// Normalise `n` bytes into `out`, which has room for `n`. Text beyond ASCII comes lower-cased.
inline size_t normalize(const char* s, size_t n, char* out) {
    if (is_tidy(s, n)) {
        for (size_t i = 0; i < n; ++i) out[i] = lower(s[i]);
    } else {
        n = collapse(s, n, out);
    }
    Rewriter rewriter(out, n);
    n = rewriter.run();
    return strip_end(out, n, rewriter.dropped_a_word());
}

// The quotes that make a literal. An ASCII apostrophe or ’ inside or after a word closes none.
struct Quote {
    const char* open;
    const char* close;
    bool apostrophe;  // the closing mark also serves as an apostrophe
};

constexpr Quote QUOTES[] = {
    {"\"", "\"", false},
    {"'", "'", true},
    {"`", "`", false},
    {"\xE2\x80\x9C", "\xE2\x80\x9D", false},  // U+201C, U+201D
    {"\xE2\x80\x98", "\xE2\x80\x99", true},   // U+2018, U+2019
    {"\xC2\xAB", "\xC2\xBB", false},          // U+00AB, U+00BB
};
constexpr size_t QUOTE_KINDS = sizeof(QUOTES) / sizeof(QUOTES[0]);

inline bool may_open(char c) {
    return unsigned(c == '"') | unsigned(c == '\'') | unsigned(c == '`') | unsigned(c == '\xE2') | unsigned(c == '\xC2');
}

inline bool may_hold_quotes(const char* s, size_t n) {
    unsigned found = 0;
    for (size_t i = 0; i < n; ++i) found |= unsigned(may_open(s[i]));
    return found != 0;
}

inline bool stands_at(const char* s, size_t n, size_t i, const char* mark) {
    const size_t width = std::strlen(mark);
    return i + width <= n && std::memcmp(s + i, mark, width) == 0;
}

// Where the closing mark of `quote` begins at or after `i`; n when there is none.
inline size_t find_close(const char* s, size_t n, size_t i, const Quote& quote) {
    while (const void* first = i < n ? std::memchr(s + i, quote.close[0], n - i) : nullptr) {
        i = static_cast<size_t>(static_cast<const char*>(first) - s);
        const bool closes = stands_at(s, n, i, quote.close);
        if (closes && !(quote.apostrophe && word_at(s, n, i + std::strlen(quote.close)))) return i;
        ++i;
    }
    return n;
}

inline bool opens(const char* s, size_t n, size_t i, const Quote& quote) {
    return stands_at(s, n, i, quote.open) && !(quote.open[0] == '\'' && word_before(s, i));
}

// Calls `visit(begin, end)` for the inside of each quoted literal, left to right.
template <class Visit>
void each_literal(const char* s, size_t n, Visit visit) {
    bool unclosed[QUOTE_KINDS] = {};  // a mark without an end is looked for once, not at each opening
    for (size_t i = 0; i < n;) {
        size_t next = i + 1;
        for (size_t kind = 0; kind < QUOTE_KINDS && may_open(s[i]); ++kind) {
            const Quote& quote = QUOTES[kind];
            if (unclosed[kind] || !opens(s, n, i, quote)) continue;
            const size_t begin = i + std::strlen(quote.open);
            const size_t end = find_close(s, n, begin, quote);
            unclosed[kind] = end == n;
            if (end == n) break;
            visit(begin, end);
            next = end + std::strlen(quote.close);
            break;
        }
        i = next;
    }
}

inline bool is_upper(char c) { return static_cast<uint8_t>(c - 'A') < 26; }
inline bool is_capital(char c) { return is_upper(c) || static_cast<uint8_t>(c - '0') < 10; }

// Whether some word may be written in capitals ("US") while the whole is not.
inline bool may_hold_capitals(const char* s, size_t n) {
    unsigned pairs = 0, small = 0;
    for (size_t i = 0; i + 1 < n; ++i) pairs |= unsigned(is_upper(s[i])) & unsigned(is_capital(s[i + 1]));
    for (size_t i = 0; i < n; ++i) small |= unsigned(static_cast<uint8_t>(s[i] - 'a') < 26);
    return pairs & small;
}

// Calls `visit(begin, end)` for each word of two or more capitals and digits that begins with a capital.
template <class Visit>
void each_capital_word(const char* s, size_t n, Visit visit) {
    for (size_t i = 0; i < n;) {
        size_t end = i + 1;
        if (is_upper(s[i]) && !word_before(s, i)) {
            while (end < n && is_capital(s[end])) ++end;
            if (end > i + 1 && !word_at(s, n, end)) visit(i, end);
        }
        i = end;
    }
}

inline size_t append_length(char* out, size_t at, uint64_t length) {
    std::memcpy(out + at, &length, 8);
    return at + 8;
}

inline size_t append(char* out, size_t at, const char* part, size_t n) {
    std::memcpy(out + append_length(out, at, n), part, n);
    return at + 8 + n;
}

struct Bytes {
    const char* data;
    size_t size;
};

// The hash of scope, normalised question, literals and words in capitals, each behind its length.
// Literals are taken as written: what stands inside quotes is never normalised away. `lowered` is
// `question` when ASCII.
inline Key128 question_key(Bytes scope, Bytes question, Bytes lowered) {
    const bool quotes = may_hold_quotes(question.data, question.size);
    const bool capitals = may_hold_capitals(question.data, question.size);
    // A literal takes two bytes of marks at least, so there are at most size / 2 of them; a word in
    // capitals takes two and a space, so at most size / 3 + 1.
    const size_t extra = (quotes ? 5 * question.size : 0) + (capitals ? 4 * question.size + 8 : 0);
    Scratch scratch(16 + scope.size + lowered.size + extra);
    char* out = scratch.data();
    size_t end = append(out, 0, scope.data, scope.size);
    const size_t size = normalize(lowered.data, lowered.size, out + end + 8);
    end = append_length(out, end, size) + size;
    if (quotes)
        each_literal(question.data, question.size, [&](size_t from, size_t to) {
            end = append(out, end, question.data + from, to - from);
        });
    if (capitals)
        each_capital_word(question.data, question.size, [&](size_t from, size_t to) {
            end = append(out, end, question.data + from, to - from);
        });
    return xxh3::hash(out, end);
}

}  // namespace text
}  // namespace medha
