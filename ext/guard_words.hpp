// A question in ASCII as words, numbers, quoted strings and identifiers. The rules are those of
// medha_core/reading/words.py: each alternative of its pattern is one function here, tried in the same order.
// What is rare is not read at all: the caller then asks the Python reader.
#pragma once

#include "guard_question.hpp"

namespace medha::guard {

class Tokenizer {
  public:
    Tokenizer(Symbols& symbols, std::string_view text, std::vector<Word>& words)
        : symbols_(symbols), s_(text), n_(text.size()), words_(words) {}

    // Whether all words were read; false where the Python reader has to.
    bool run() {
        for (size_t i = 0; i < n_;) {
            size_t end = 0;
            if ((end = quoted(i)))
                add_quoted(i, end);
            else if ((end = date(i)))
                add_date(i, end);
            else if ((end = address(i)))
                add('i', folded(i, end), i, end);
            else if ((end = number(i))) {
                const size_t before = words_.size();
                if (!add_number(i, end)) return false;
                if (has_sign(i) && words_[before].kind == 'n')
                    words_[before].text = symbols_.intern("-", words_[before].text->text());
            } else if ((end = identifier(i)))
                add('i', folded(i, end), i, end);
            else if ((end = word(i)))
                add_word(i, end);
            else if ((end = sign(i)))
                add_sign(i, end);
            i = end ? end : i + 1;
        }
        return join_numbers();
    }

  private:
    static constexpr size_t LONGEST_NUMBER = 40;

    static bool is_digit(char c) { return c >= '0' && c <= '9'; }
    static bool is_letter(char c) { return static_cast<uint8_t>((c | 0x20) - 'a') < 26; }
    static bool is_word(char c) { return is_letter(c) || is_digit(c) || c == '_'; }
    // Python's `\s` and `str.split`.
    static bool is_space(char c) { return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31); }
    static bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

    bool digit_at(size_t i) const { return i < n_ && is_digit(s_[i]); }
    bool word_at(size_t i) const { return i < n_ && is_word(s_[i]); }
    bool is_at(size_t i, char c) const { return i < n_ && s_[i] == c; }
    size_t digits(size_t i) const {
        while (digit_at(i)) ++i;
        return i;
    }
    template <class Test>
    size_t run_of(size_t i, Test test) const {
        while (i < n_ && test(s_[i])) ++i;
        return i;
    }

    // Whether a minus stands before a number, and nothing that makes it a hyphen or a range.
    bool has_sign(size_t start) const {
        return start && s_[start - 1] == '-' && (start == 1 || is_one_of(s_[start - 2], " \t\n(=<>:,"));
    }

    // Each returns where its token ends, 0 where none begins.

    size_t quoted(size_t i) const {
        const char mark = s_[i];
        if (mark != '"' && mark != '\'') return 0;
        const size_t close = s_.find(mark, i + 1);
        if (close == std::string_view::npos) return 0;
        if (mark == '"') return close + 1;
        if (i && !is_space(s_[i - 1]) && !is_one_of(s_[i - 1], "(,=")) return 0;
        if (run_of(i + 1, is_space) >= close) return 0;
        if (close + 1 < n_ && !is_space(s_[close + 1]) && !is_one_of(s_[close + 1], ".,;:?!)")) return 0;
        return close + 1;
    }

    size_t date(size_t i) const {
        if (!digit_at(i) || digits(i) != i + 4 || !is_at(i + 4, '-')) return 0;
        const size_t month = digits(i + 5);
        if (month == i + 5 || month > i + 7 || !is_at(month, '-')) return 0;
        size_t day = digits(month + 1);
        if (day == month + 1) return 0;
        if (day > month + 3) return 0;
        const auto ends = [&](size_t end) { return end >= n_ || (!is_word(s_[end]) && s_[end] != '-'); };
        if (day < n_ && (s_[day] == 'T' || is_space(s_[day]))) {
            const size_t hour = digits(day + 1);
            if (hour > day + 1 && hour <= day + 3 && is_at(hour, ':') && digit_at(hour + 1) && digit_at(hour + 2)) {
                const size_t minute = hour + 3;
                if (is_at(minute, ':') && digit_at(minute + 1) && digit_at(minute + 2) && ends(minute + 3))
                    return minute + 3;
                if (ends(minute)) return minute;
            }
        }
        return ends(day) ? day : 0;
    }

    size_t address(size_t i) const {
        size_t at = i;
        while (at < n_ && at <= i + 64 && (is_word(s_[at]) || is_one_of(s_[at], ".+-"))) ++at;
        if (at > i && at <= i + 64 && is_at(at, '@')) {
            const size_t host = run_of(at + 1, [](char c) { return is_word(c) || c == '-'; });
            if (host > at + 1 && is_at(host, '.')) {
                const size_t end = run_of(host + 1, [](char c) { return is_word(c) || c == '.' || c == '-'; });
                if (end > host + 1) return end;
            }
        }
        if (s_.compare(i, 4, "http") != 0) return 0;
        const size_t colon = is_at(i + 4, 's') ? i + 5 : i + 4;
        if (s_.compare(colon, std::min<size_t>(3, n_ - std::min(colon, n_)), "://") != 0) return 0;
        const size_t end = run_of(colon + 3, [](char c) { return !is_space(c); });
        return end > colon + 3 ? end : 0;
    }

    size_t number(size_t i) const {
        if (is_at(i, '$')) ++i;
        if (i < n_ && is_space(s_[i])) ++i;
        if (!digit_at(i)) return 0;
        const size_t whole = digits(i);
        if (whole <= i + 3) {
            size_t groups = 0;
            while (is_group(whole + 4 * groups)) ++groups;
            for (; groups; --groups)
                if (const size_t end = behind_whole(whole + 4 * groups)) return end;
        }
        return behind_whole(whole);
    }
    bool is_group(size_t i) const { return is_at(i, ',') && digit_at(i + 1) && digit_at(i + 2) && digit_at(i + 3); }
    size_t behind_whole(size_t i) const {
        if (is_at(i, '.') && digit_at(i + 1))
            if (const size_t end = behind_fraction(digits(i + 1))) return end;
        return behind_fraction(i);
    }
    size_t behind_fraction(size_t i) const {
        if (i < n_ && is_space(s_[i]))
            if (const size_t end = behind_space(i + 1)) return end;
        return behind_space(i);
    }
    size_t behind_space(size_t i) const {
        if (is_at(i, '%') && number_ends(i + 1)) return i + 1;
        const size_t unit = unit_end(i);
        if (unit && !word_at(unit)) {
            if (is_at(unit, '.') && number_ends(unit + 1)) return unit + 1;
            if (number_ends(unit)) return unit;
        }
        return number_ends(i) ? i : 0;
    }
    size_t unit_end(size_t i) const {
        if (is_at(i, 'k')) return i + 1;
        if (is_at(i, 'b') && is_at(i + 1, 'n')) return i + 2;
        if (!is_at(i, 'a') && !is_at(i, 'p')) return 0;
        const size_t m = is_at(i + 1, '.') ? i + 2 : i + 1;
        return is_at(m, 'm') ? m + 1 : 0;
    }
    bool number_ends(size_t i) const {
        return !word_at(i) && !(i < n_ && is_one_of(s_[i], "-/:.") && word_at(i + 1));
    }

    size_t identifier(size_t i) const {
        if (!is_word(s_[i])) return 0;
        if (const size_t end = mixed_name(i)) return end;
        if (is_digit(s_[i])) {
            const size_t run = run_of(i + 1, [](char c) { return is_digit(c) || is_one_of(c, "/:.-"); });
            for (size_t last = run; last-- > i + 1;)
                if (is_digit(s_[last])) return last + 1;
        }
        const size_t run = run_of(i, is_word);
        const size_t mark = s_.rfind('_', run - 1);
        if (mark == std::string_view::npos || mark < i) return 0;
        // The last underscore may end the run; any earlier one then has a character behind it.
        return mark + 1 < run || s_.substr(i, mark - i).find('_') != std::string_view::npos ? run : 0;
    }
    // Letters, digits and marks in one, with a digit in it.
    size_t mixed_name(size_t i) const {
        size_t whole = i;
        while (whole < n_ && whole < i + 128 && (is_word(s_[whole]) || is_one_of(s_[whole], "./:#-"))) ++whole;
        const std::string_view run = s_.substr(i, whole - i);
        if (std::none_of(run.begin(), run.end(), is_digit)) return 0;
        size_t end = i + 1;
        while (end < n_ && (is_word(s_[end]) || is_one_of(s_[end], "/:#-") || (s_[end] == '.' && word_at(end + 1)))) ++end;
        for (size_t last = end; last-- > i + 1;)
            if (is_word(s_[last])) return last + 1;
        return 0;
    }

    size_t word(size_t i) const {
        if (!is_letter(s_[i])) return 0;
        size_t end = i + 1;
        while (end < n_ && (is_letter(s_[end]) || (s_[end] == '\'' && end + 1 < n_ && is_letter(s_[end + 1])))) ++end;
        if (is_at(end, '+') && is_at(end + 1, '+')) return end + 2;
        return is_at(end, '#') ? end + 1 : end;
    }

    size_t sign(size_t i) const {
        const char c = s_[i], next = i + 1 < n_ ? s_[i + 1] : '\0';
        if ((next == '=' && (c == '<' || c == '>' || c == '!')) || (c == '<' && next == '>')) return i + 2;
        // Of what follows a number: `5+`.
        if (c == '+') return i && is_digit(s_[i - 1]) && !word_at(i + 1) && next != '+' ? i + 1 : 0;
        return is_one_of(c, "<>=%") ? i + 1 : 0;
    }

    // What the tokens say.

    void add(char kind, const Symbol* text, size_t start, size_t end) {
        Word word;
        word.kind = kind;
        word.text = text;
        word.start = static_cast<uint32_t>(start);
        word.end = static_cast<uint32_t>(end);
        words_.push_back(word);
    }

    // In lower case, with single spaces and none at the ends.
    const std::string& fold(size_t start, size_t end) {
        scratch_.clear();
        bool pending = false;
        for (size_t i = start; i < end; ++i) {
            if (is_space(s_[i])) {
                pending = !scratch_.empty();
                continue;
            }
            if (pending) scratch_.push_back(' ');
            pending = false;
            scratch_.push_back(text::lower(s_[i]));
        }
        return scratch_;
    }
    const Symbol* folded(size_t start, size_t end) { return symbols_.intern(fold(start, end)); }

    void add_quoted(size_t start, size_t end) {
        add('q', folded(start + 1, end - 1), start, end);
        size_t first = start + 1, last = end - 1;
        while (first < last && is_space(s_[first])) ++first;
        while (last > first && is_space(s_[last - 1])) --last;
        if (first == last) return;
        Word& made = words_.back();
        const std::string_view written = s_.substr(first, last - first);
        made.quoted = symbols_.intern(written);
        std::string lower(written);
        std::transform(lower.begin(), lower.end(), lower.begin(), text::lower);
        made.quoted_is_lower = lower == written && std::any_of(lower.begin(), lower.end(), is_letter);
        made.quoted_lower = symbols_.intern(lower);
    }

    void add_date(size_t start, size_t end) {
        std::string iso(s_.substr(start, 5));
        size_t i = start + 5;
        for (const char mark : {'-', '\0'}) {
            const size_t stop = digits(i);
            if (stop == i + 1) iso.push_back('0');
            iso.append(s_.substr(i, stop - i));
            if (mark) iso.push_back(mark);
            i = stop + (mark != 0);
        }
        if (i < end) iso.append("T").append(s_.substr(i + 1, end - i - 1));
        add('d', symbols_.intern(iso), start, end);
    }

    bool add_number(size_t start, size_t end) {
        std::string text = fold(start, end);
        text.erase(std::remove(text.begin(), text.end(), ','), text.end());
        if (text.size() > LONGEST_NUMBER) {
            add('i', symbols_.intern(text), start, end);
            return true;
        }
        const bool dollar = text[0] == '$';
        size_t first = dollar ? 1 : 0;
        if (text[first] == ' ') ++first;
        size_t last = first;
        while (last < text.size() && (is_digit(text[last]) || text[last] == '.')) ++last;
        // A dot may be the unit's: only `5.` before nothing is left of it here.
        const std::string value = plain(std::string_view(text).substr(first, last - first));
        if (last < text.size() && text[last] == ' ') ++last;
        const char unit = last < text.size() ? text[last] : '\0';
        if (unit == 'k' || unit == 'b') return false;
        if (unit == 'a' || unit == 'p') {
            add('d', symbols_.intern(value + unit + "m"), start, end);
            return true;
        }
        add('n', symbols_.intern(value), start, end);
        if (text.back() == '%') add('w', symbols_.percent, start, end);
        if (dollar) add('w', symbols_.dollar, start, end);
        return true;
    }
    // `010.50` as `10.5`.
    static std::string plain(std::string_view value) {
        const size_t dot = value.find('.');
        std::string_view whole = value.substr(0, dot);
        while (whole.size() > 1 && whole[0] == '0') whole.remove_prefix(1);
        std::string_view fraction = dot == std::string_view::npos ? std::string_view() : value.substr(dot + 1);
        while (!fraction.empty() && fraction.back() == '0') fraction.remove_suffix(1);
        std::string made(whole.empty() ? "0" : whole);
        if (!fraction.empty()) made.append(".").append(fraction);
        return made;
    }

    void add_word(size_t start, size_t end) {
        if (end == start + 1 && text::lower(s_[start]) == 's' && start && s_[start - 1] == '\'') return;
        const Symbol* said = folded(start, end);
        const Keys& parts = said->facts().parts;
        if (parts.empty()) add('w', said, start, end);
        for (const Symbol* part : parts) add('w', part, start, end);
    }

    void add_sign(size_t start, size_t end) {
        static constexpr std::pair<std::string_view, std::string_view> MEANINGS[] = {
            {"<", "@lt"}, {">", "@gt"}, {"<=", "@le"}, {">=", "@ge"},
            {"!=", "@not"}, {"<>", "@not"}, {"=", "@eq"}, {"%", "@percent"}, {"+", "@ge"}};
        for (const auto& [mark, meaning] : MEANINGS)
            if (mark == s_.substr(start, end - start)) add('s', symbols_.intern(meaning), start, end);
    }

    // Make single number words numbers; false where several words make one.
    bool join_numbers() {
        for (size_t i = 0; i < words_.size(); ++i) {
            Word& word = words_[i];
            const bool followed = i + 1 < words_.size();
            if (word.kind == 'n' && followed && words_[i + 1].text->has(MULTIPLIER)) return false;
            if (word.kind != 'w') continue;
            const Symbol* value = word.text->facts().number;
            if (!value) continue;
            if (followed && words_[i + 1].kind == 'w') {
                const Symbol* next = words_[i + 1].text;
                if (next->facts().number || next->has(MULTIPLIER)) return false;
            }
            word.kind = 'n';
            word.text = value;
        }
        return true;
    }

    Symbols& symbols_;
    const std::string_view s_;
    const size_t n_;
    std::vector<Word>& words_;
    std::string scratch_;
};

}  // namespace medha::guard
