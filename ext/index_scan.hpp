// The scan tier: everything above a score among the slots of a range, without a structure to build.
//
// 1. Prefixes of 128 bits (256 where many pass), eight per step, against the radius of the score asked for; 2. all
// bits of the few that pass, against theirs; 3. exact scores of what is left, nearest bits first, until the radius of the worst score
// still wanted excludes the rest. Where the radius excludes nothing, the same three steps are an exact scan.
#pragma once

#include <utility>

#include "index_result.hpp"
#include "index_rows.hpp"

namespace medha {

// Memory of a thread that lives on between searches.
struct ScanSpace {
    std::vector<uint32_t> near;
    std::vector<std::pair<uint32_t, uint32_t>> survivors, ordered;  // (Hamming distance, slot)
};

class Scan {
  public:
    Scan(const Rows& rows, const Encoded& query, ScanSpace& space)
        : rows_(rows), query_(query), space_(space), all_bits_(RadiusTable::of(rows.hash.bits())) {}

    template <class Accept>
    void run(size_t first, size_t last, Accept accept, Best& best) {
        if (first >= last) return;
        collect(first, last, accept, best);
        order();
        rescore(best);
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
        space_.near.resize((kGroupsPerStep + 1) * kGroupSlots);
        for (size_t b = 0; b < blocks && left > 0; b++) {
            const size_t g = start + b * (groups - kBlockGroups) / blocks;
            const size_t n = rows_.kernels.near_prefixes(rows_.low_prefixes(), nullptr, g, g + kBlockGroups, query_.bits,
                                                         low_radius, space_.near.data());
            for (size_t i = 0; i < n; i++) {
                const uint64_t* bits = rows_.bits(space_.near[i]);
                const bool survives = rows_.kernels.hamming(bits, query_.bits, rows_.hash.words()) <= radius;
                left -= kBitsCost + survives * kScoreCost;
            }
        }
        return left > 0;
    }

  private:
    static constexpr size_t kBlocks = 16, kBlockGroups = 32;
    // Nanoseconds for a slot's prefix, for all its bits, for its score: measured, and no more than a rule of choice.
    static constexpr double kPrefixCost = 0.15, kBitsCost = 2, kScoreCost = 25;
    static constexpr size_t kGroupsPerStep = 512;
    static constexpr size_t kAhead = 16;  // rows fetched before they are looked at
    static constexpr size_t kCrowd = 32;  // one slot in this many passing the short prefix is a crowd
    const Rows& rows_;
    const Encoded& query_;
    ScanSpace& space_;
    const RadiusTable& all_bits_;

    template <class Accept>
    void collect(size_t first, size_t last, Accept accept, const Best& best) {
        const uint32_t radius = all_bits_(best.bar());
        const uint32_t low_radius = RadiusTable::of(128)(best.bar()), both_radius = RadiusTable::of(256)(best.bar());
        const uint64_t* high = nullptr;
        space_.survivors.clear();
        space_.near.resize((kGroupsPerStep + 1) * kGroupSlots);
        const size_t groups = (last + kGroupSlots - 1) / kGroupSlots;
        for (size_t g = first / kGroupSlots; g < groups; g += kGroupsPerStep) {
            size_t n = rows_.kernels.near_prefixes(rows_.low_prefixes(), high, g, std::min(groups, g + kGroupsPerStep),
                                                   query_.bits, high ? both_radius : low_radius, space_.near.data());
            // Twice the prefix costs less than looking at all bits of so many.
            if (n > kGroupsPerStep * kGroupSlots / kCrowd) high = rows_.high_prefixes();
            for (size_t i = 0; i < std::min(n, kAhead); i++) MEDHA_PREFETCH(rows_.bits(space_.near[i]));
            for (size_t i = 0; i < n; i++) {
                if (i + kAhead < n) MEDHA_PREFETCH(rows_.bits(space_.near[i + kAhead]));
                uint32_t slot = space_.near[i];
                uint32_t apart = rows_.kernels.hamming(rows_.bits(slot), query_.bits, rows_.hash.words());
                if (apart <= radius && slot >= first && slot < last && accept(slot))
                    space_.survivors.emplace_back(apart, slot);
            }
        }
    }

    // Nearest bits first: by comparison when few, by counting when many.
    void order() {
        auto& survivors = space_.survivors;
        if (survivors.size() < 256) {
            std::sort(survivors.begin(), survivors.end());
            return;
        }
        size_t starts[513] = {};
        for (const auto& s : survivors) starts[s.first]++;
        size_t start = 0;
        for (size_t& count : starts) start += std::exchange(count, start);
        space_.ordered.resize(survivors.size());
        for (const auto& s : survivors) space_.ordered[starts[s.first]++] = s;
        survivors.swap(space_.ordered);
    }

    void rescore(Best& best) {
        const auto& survivors = space_.survivors;
        float bar = best.bar();
        uint32_t radius = all_bits_(bar);
        for (size_t i = 0; i < survivors.size() && survivors[i].first <= radius; i++) {
            if (i + 1 < survivors.size()) fetch_ahead(survivors[i + 1].second);
            uint32_t slot = survivors[i].second;
            float score = rows_.kernels.dot(query_.vector.data(), rows_.vector(slot), rows_.width());
            best.offer({score, rows_.label(slot)});
            if (best.bar() != bar) radius = all_bits_(bar = best.bar());
        }
    }

    void fetch_ahead(uint32_t slot) const {
        const char* vector = reinterpret_cast<const char*>(rows_.vector(slot));
        const size_t bytes = std::min<size_t>(rows_.width() * sizeof(float), 2048);
        for (size_t at = 0; at < bytes; at += 64) MEDHA_PREFETCH(vector + at);
    }
};

}  // namespace medha
