// What a search gives back, and which entries it may give back.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace medha {

struct Hit {
    float score;
    uint64_t label;
};

inline bool better(const Hit& a, const Hit& b) {
    return a.score > b.score || (a.score == b.score && a.label < b.label);
}

// The best k hits of at least a score; the worst of them stands on top of the heap.
class Best {
  public:
    Best(std::vector<Hit>& hits, size_t k, float min_score) : hits_(hits), k_(k), min_score_(min_score) {
        hits_.clear();
    }

    // What a hit must reach to matter.
    float bar() const { return hits_.size() < k_ ? min_score_ : std::max(min_score_, hits_.front().score); }

    void offer(Hit hit) {
        if (!(hit.score >= min_score_)) return;
        if (hits_.size() == k_) {
            if (!better(hit, hits_.front())) return;
            std::pop_heap(hits_.begin(), hits_.end(), better);
            hits_.pop_back();
        }
        hits_.push_back(hit);
        std::push_heap(hits_.begin(), hits_.end(), better);
    }

    void finish() { std::sort(hits_.begin(), hits_.end(), better); }

  private:
    std::vector<Hit>& hits_;
    size_t k_;
    float min_score_;
};

// The labels a search may return: all; those whose byte in `flags` is set; or the sorted, distinct `labels`.
struct Allowed {
    const uint8_t* flags = nullptr;
    const uint64_t* labels = nullptr;
    size_t size = 0;

    bool everything() const { return !flags && !labels; }

    size_t count() const {
        if (!flags) return size;
        size_t n = 0;
        for (size_t i = 0; i < size; i++) n += flags[i] != 0;
        return n;
    }

    bool operator()(uint64_t label) const {
        if (flags) return label < size && flags[label];
        return everything() || std::binary_search(labels, labels + size, label);
    }

    template <class Visit>
    void each(Visit visit) const {
        for (size_t i = 0; i < size; i++) {
            if (labels) visit(labels[i]);
            else if (flags[i]) visit(i);
        }
    }
};

}  // namespace medha
