// The scan tier: everything above a score among the slots of a range, without a structure to build.
//
// Some thousand slots at a time: 1. prefixes of 128 bits (256 where many pass), eight at once, against the radius of
// the worst score still wanted; 2. all bits of the few that pass, against theirs; 3. exact scores of what is left,
// nearest bits first, until the radius excludes the rest. What was found makes the radius of the next slots smaller.
// Where the radius excludes nothing, the same three steps are an exact scan.
#pragma once

#include <utility>

#include "index_result.hpp"
#include "index_rows.hpp"

namespace medha {

// Memory of a thread that lives on between searches.
struct ScanSpace {
    std::vector<uint32_t> near;
    std::vector<std::pair<uint32_t, uint32_t>> survivors, ordered;  // (weight of differing bits, slot)
};

class Scan {
  public:
    Scan(const Rows& rows, const Encoded& query, ScanSpace& space)
        : rows_(rows), query_(query), space_(space), all_bits_(RadiusTable::of(rows.hash.bits())) {}

    template <class Accept>
    void run(size_t first, size_t last, Accept accept, Best& best) {
        if (first >= last) return;
        const uint64_t* high = nullptr;
        const size_t groups = (last + kGroupSlots - 1) / kGroupSlots;
        space_.near.resize((kMostGroups + 1) * kGroupSlots);
        size_t step = kFirstGroups;
        for (size_t g = first / kGroupSlots; g < groups; g += step, step = std::min(2 * step, kMostGroups)) {
            const uint32_t radius = RadiusTable::of(high ? 256 : 128)(best.bar());
            const size_t n = rows_.kernels.near_prefixes(rows_.low_prefixes(), high, g, std::min(groups, g + step),
                                                         query_.probe, radius, space_.near.data());
            // Twice the prefix costs less than looking at all bits of so many.
            if (n > step * kGroupSlots / kCrowd) high = rows_.high_prefixes();
            keep_near(n, first, last, accept, best);
            order();
            // With a smaller radius fewer pass.
            if (rescore(best)) high = nullptr;
        }
    }

    // Whether run() would cost less than `limit` nanoseconds, judged by blocks spread evenly over the range.
    bool costs_less(double limit, size_t first, size_t last, float bar) {
        const size_t start = (first + kGroupSlots - 1) / kGroupSlots, groups = (last - first) / kGroupSlots;
        const size_t blocks = std::min(kBlocks, groups / kBlockGroups);
        if (blocks == 0) return true;
        const uint32_t radius = all_bits_(bar), low_radius = RadiusTable::of(128)(bar);
        const double slots = static_cast<double>(last - first);
        // What the blocks may cost, if the rest costs as much.
        double left = (limit - kPrefixCost * slots) * static_cast<double>(blocks * kBlockGroups * kGroupSlots) / slots;
        space_.near.resize((kBlockGroups + 1) * kGroupSlots);
        for (size_t b = 0; b < blocks && left > 0; b++) {
            const size_t g = start + b * (groups - kBlockGroups) / blocks;
            const size_t n = rows_.kernels.near_prefixes(rows_.low_prefixes(), nullptr, g, g + kBlockGroups, query_.probe,
                                                         low_radius, space_.near.data());
            for (size_t i = 0; i < n; i++) {
                left -= kBitsCost + (apart(space_.near[i]) <= radius) * kScoreCost;
            }
        }
        return left > 0;
    }

  private:
    static constexpr size_t kBlocks = 16, kBlockGroups = 32;
    // Nanoseconds for a slot's prefix, for all its bits, for its score: measured, and no more than a rule of choice.
    static constexpr double kPrefixCost = 0.15, kBitsCost = 2, kScoreCost = 25;
    // Steps grow: what the first find makes the rest cheap.
    static constexpr size_t kFirstGroups = 64, kMostGroups = 512;
    static constexpr size_t kAhead = 16;  // rows fetched before they are looked at
    static constexpr size_t kCrowd = 32;  // one slot in this many passing the short prefix is a crowd
    const Rows& rows_;
    const Encoded& query_;
    ScanSpace& space_;
    const RadiusTable& all_bits_;

    uint32_t apart(uint32_t slot) const {
        return rows_.kernels.weigh(rows_.bits(slot), query_.probe, rows_.hash.words());
    }

    // Of the n slots whose prefixes are near, those whose bits all told are.
    template <class Accept>
    void keep_near(size_t n, size_t first, size_t last, Accept accept, const Best& best) {
        const uint32_t radius = all_bits_(best.bar());
        space_.survivors.clear();
        for (size_t i = 0; i < std::min(n, kAhead); i++) MEDHA_PREFETCH(rows_.bits(space_.near[i]));
        for (size_t i = 0; i < n; i++) {
            if (i + kAhead < n) MEDHA_PREFETCH(rows_.bits(space_.near[i + kAhead]));
            const uint32_t slot = space_.near[i], weight = apart(slot);
            if (weight <= radius && slot >= first && slot < last && accept(slot))
                space_.survivors.emplace_back(weight, slot);
        }
    }

    // Nearest bits first: by comparison when few, by counting when many.
    void order() {
        auto& survivors = space_.survivors;
        if (survivors.size() < 256) {
            std::sort(survivors.begin(), survivors.end());
            return;
        }
        size_t starts[kMostWeight * 512 + 1] = {};
        for (const auto& s : survivors) starts[s.first]++;
        size_t start = 0;
        for (size_t& count : starts) start += std::exchange(count, start);
        space_.ordered.resize(survivors.size());
        for (const auto& s : survivors) space_.ordered[starts[s.first]++] = s;
        survivors.swap(space_.ordered);
    }

    // Whether the worst score still wanted rose.
    bool rescore(Best& best) {
        const auto& survivors = space_.survivors;
        const float before = best.bar();
        float bar = before;
        uint32_t radius = all_bits_(bar);
        for (size_t i = 0; i < survivors.size() && survivors[i].first <= radius; i++) {
            if (i + 1 < survivors.size()) fetch_ahead(survivors[i + 1].second);
            uint32_t slot = survivors[i].second;
            float score = rows_.kernels.dot(query_.vector.data(), rows_.vector(slot), rows_.width());
            best.offer({score, rows_.label(slot)});
            if (best.bar() != bar) radius = all_bits_(bar = best.bar());
        }
        return bar > before;
    }

    void fetch_ahead(uint32_t slot) const {
        const char* vector = reinterpret_cast<const char*>(rows_.vector(slot));
        const size_t bytes = std::min<size_t>(rows_.width() * sizeof(float), 2048);
        for (size_t at = 0; at < bytes; at += 64) MEDHA_PREFETCH(vector + at);
    }
};

}  // namespace medha
