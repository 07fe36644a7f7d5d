// The scan tier: everything above a score among the slots of a range, without a structure to build.
//
// Some thousand slots at a time: 1. what their prefixes of 128 bits weigh (256 where many are near); 2. of those within
// the radius of the worst score still wanted, all bits against theirs; 3. exact scores of what is left, nearest bits
// first, until the radius excludes the rest. The nearest prefixes are looked at first: what is found makes the radius
// of all others smaller. Where the radius excludes nothing, the same three steps are an exact scan.
#pragma once

#include <utility>

#include "index_result.hpp"
#include "index_rows.hpp"

namespace medha {

// Memory of a thread that lives on between searches.
struct ScanSpace {
    std::vector<uint8_t> weights;
    std::vector<uint32_t> near;
    std::vector<std::pair<uint32_t, uint32_t>> survivors, ordered;  // (weight of differing bits, slot)
};

class Scan {
  public:
    Scan(const Rows& rows, const Encoded& query, ScanSpace& space)
        : rows_(rows), query_(query), space_(space), all_bits_(RadiusTable::of(rows.hash.bits())),
          low_bits_(RadiusTable::of(128)) {}

    template <class Accept>
    void run(size_t first, size_t last, Accept accept, Best& best) {
        if (first >= last) return;
        const size_t end = (last + kGroupSlots - 1) / kGroupSlots;
        for (size_t g = first / kGroupSlots; g < end; g += kStep) {
            const size_t groups = std::min(end - g, kStep);
            weigh_prefixes(g, groups);
            auto consider = [&](size_t n) {
                keep_near(n, g * kGroupSlots, first, last, accept, best);
                order();
                rescore(best);
            };
            const uint32_t radius = low_bits_(best.bar());
            if (radius < kFar) {
                const size_t n = near(groups, radius / 2);
                consider(n);
                for (size_t i = 0; i < n; i++) space_.weights[space_.near[i]] = kFar;
            }
            size_t n = near(groups, low_bits_(best.bar()));
            if (n > groups * kGroupSlots / kCrowd) n = near_of_crowd(g, groups, n, best.bar());
            consider(n);
        }
    }

    // Whether run() would cost less than `limit` nanoseconds, judged by blocks spread evenly over the range.
    bool costs_less(double limit, size_t first, size_t last, float bar) {
        const size_t start = (first + kGroupSlots - 1) / kGroupSlots, groups = (last - first) / kGroupSlots;
        const size_t blocks = std::min(kBlocks, groups / kBlockGroups);
        if (blocks == 0) return true;
        const uint32_t radius = all_bits_(bar);
        const double slots = static_cast<double>(last - first);
        // What the blocks may cost, if the rest costs as much.
        double left = (limit - kPrefixCost * slots) * static_cast<double>(blocks * kBlockGroups * kGroupSlots) / slots;
        for (size_t b = 0; b < blocks && left > 0; b++) {
            const size_t g = start + b * (groups - kBlockGroups) / blocks;
            weigh_prefixes(g, kBlockGroups);
            const size_t n = near(kBlockGroups, low_bits_(bar));
            for (size_t i = 0; i < n; i++) {
                const size_t slot = g * kGroupSlots + space_.near[i];
                left -= kBitsCost + (apart(static_cast<uint32_t>(slot)) <= radius) * kScoreCost;
            }
        }
        return left > 0;
    }

  private:
    static constexpr size_t kBlocks = 16, kBlockGroups = 32;
    // Nanoseconds for a slot's prefix, for all its bits, for its score: measured, and no more than a rule of choice.
    static constexpr double kPrefixCost = 0.15, kBitsCost = 2, kScoreCost = 25;
    static constexpr size_t kStep = 2048;  // groups whose weights are held at the same time
    static constexpr uint8_t kFar = 255;   // a weight that is this or more
    static constexpr size_t kAhead = 16;  // rows fetched before they are looked at
    static constexpr size_t kCrowd = 32;  // one slot in this many within the radius of the short prefix is a crowd
    const Rows& rows_;
    const Encoded& query_;
    ScanSpace& space_;
    const RadiusTable &all_bits_, &low_bits_;

    uint32_t apart(uint32_t slot) const {
        return rows_.kernels.weigh(rows_.bits(slot), query_.probe, rows_.hash.words());
    }

    void weigh_prefixes(size_t first, size_t groups) {
        space_.weights.resize(kStep * kGroupSlots);
        space_.near.resize(kStep * kGroupSlots);
        rows_.kernels.weigh_groups(rows_.low_prefixes() + first * kGroupWords, groups, query_.probe, 0, false,
                                   space_.weights.data());
    }

    // How many of the slots that were weighed lie within the radius; which ones is in `near`.
    size_t near(size_t groups, uint32_t radius) {
        const auto limit = static_cast<uint8_t>(std::min<uint32_t>(radius, kFar));
        return rows_.kernels.at_most(space_.weights.data(), groups * kGroupSlots, limit, space_.near.data());
    }

    // Fewer of a crowd of n are near by 256 bits, which costs less than looking at all bits of so many.
    size_t near_of_crowd(size_t first, size_t groups, size_t n, float bar) {
        const uint32_t radius = RadiusTable::of(256)(bar);
        if (!rows_.high_prefixes() || radius >= kFar) return n;
        rows_.kernels.weigh_groups(rows_.high_prefixes() + first * kGroupWords, groups, query_.probe, 2, true,
                                   space_.weights.data());
        return near(groups, radius);
    }

    // Of the n near slots, counted from `start`, those whose bits all told are near.
    template <class Accept>
    void keep_near(size_t n, size_t start, size_t first, size_t last, Accept accept, const Best& best) {
        const uint32_t radius = all_bits_(best.bar());
        const uint32_t* near = space_.near.data();
        space_.survivors.clear();
        for (size_t i = 0; i < std::min(n, kAhead); i++) MEDHA_PREFETCH(rows_.bits(start + near[i]));
        for (size_t i = 0; i < n; i++) {
            if (i + kAhead < n) MEDHA_PREFETCH(rows_.bits(start + near[i + kAhead]));
            const auto slot = static_cast<uint32_t>(start + near[i]);
            const uint32_t weight = apart(slot);
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
