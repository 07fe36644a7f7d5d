// The links above level 0 of points that came from a file: the lists of point p are those from starts[p] to
// starts[p + 1], level 1 first. Nothing is built when they are opened, and nothing in them is believed.
#pragma once

#include "hnswlib/hnswlib.h"
#include "index_region.hpp"

namespace medha {

class UpperLinks {
  public:
    size_t points() const { return points_; }
    size_t bytes() const { return starts_.size() + lists_.size(); }

    void load(const File& file, const Stretch* stretches, size_t points, size_t list_bytes, Access access) {
        points_ = points;
        list_bytes_ = list_bytes;
        count_ = stretches[kUpperLinks].length / list_bytes;
        starts_.load(file, stretches[kUpperStarts], 0, Access::kRead);
        lists_.load(file, stretches[kUpperLinks], 0, access);
    }

    void forget() { points_ = 0; }

    int top_level(uint32_t point) const {
        const uint64_t first = start(point), end = start(point + 1);
        return first <= end && end <= count_ && end - first <= kHighest ? static_cast<int>(end - first) : 0;
    }

    // Needs 0 < level <= top_level(point).
    hnswlib::linklistsizeint* list(uint32_t point, int level) const {
        char* at = lists_.data() + (start(point) + static_cast<uint64_t>(level) - 1) * list_bytes_;
        return reinterpret_cast<hnswlib::linklistsizeint*>(at);
    }

  private:
    static constexpr uint64_t kHighest = 64;
    Region starts_, lists_;
    size_t points_ = 0, list_bytes_ = 0, count_ = 0;

    uint64_t start(size_t point) const { return reinterpret_cast<const uint32_t*>(starts_.data())[point]; }
};

}  // namespace medha
