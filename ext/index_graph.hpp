// The graph tier: hnswlib's level-0 blocks, links and neighbour heuristic over memory of our own.
//
// A point's internal id is its slot, so no label table is needed. Inserting is split: `find` only reads and
// runs beside searches; `place`, `link` and `raise` write and need the index alone. Our walk reads a point's links,
// fetches all its neighbours ahead, and takes any filter.
//
// Links may come from a file that nobody verified: what they say is compared with the points there are wherever
// they are read. What only writers need (levels, link addresses, locks) is made by the first of them.
#pragma once

#include <queue>

#include "index_spaces.hpp"
#include "index_upper.hpp"

namespace medha {

class Graph : public hnswlib::HierarchicalNSW<float> {
  public:
    using Candidate = std::pair<float, hnswlib::tableint>;
    using Candidates = std::priority_queue<Candidate, std::vector<Candidate>, CompareByFirst>;

    // Where a new point goes: its neighbours on each of its levels that exist already.
    struct Place {
        uint32_t slot = 0;
        int level = 0;
        std::vector<char> data;
        std::vector<Candidates> neighbours;
    };

    Graph(Space& space, size_t M, size_t ef_construction) : HierarchicalNSW(&space), space_(space) {
        M_ = maxM_ = M;
        maxM0_ = 2 * M;
        ef_construction_ = std::max(ef_construction, M);
        mult_ = 1 / std::log(static_cast<double>(M));
        revSize_ = 1 / mult_;
        data_size_ = space.get_data_size();
        fstdistfunc_ = space.get_dist_func();
        dist_func_param_ = space.get_dist_func_param();
        // The codes come first, so that each block's codes start a cache line; the links follow.
        offsetData_ = 0;
        offsetLevel0_ = label_offset_ = (data_size_ + 3) / 4 * 4;
        size_links_level0_ = (maxM0_ + 1) * sizeof(hnswlib::tableint);
        size_links_per_element_ = (maxM_ + 1) * sizeof(hnswlib::tableint);
        size_data_per_element_ = (offsetLevel0_ + size_links_level0_ + 63) / 64 * 64;
        enterpoint_node_ = static_cast<hnswlib::tableint>(-1);
        maxlevel_ = -1;
    }

    // The base class would free what the regions own.
    ~Graph() override {
        free_upper_links();
        data_level0_memory_ = nullptr;
        linkLists_ = nullptr;
        cur_element_count = 0;
    }

    size_t size() const { return cur_element_count; }
    // Points that can be joined, those of a file among them once there is one more.
    size_t capacity() const { return element_levels_.size(); }
    size_t tombstones() const { return num_deleted_; }
    bool alive(uint32_t slot) const { return slot >= cur_element_count || !isMarkedDeleted(slot); }
    size_t block_bytes() const { return size_data_per_element_; }
    size_t list_bytes() const { return size_links_per_element_; }
    size_t bytes() const {
        const size_t writers = link_list_locks_.size() * (sizeof(std::mutex) + sizeof(int) + sizeof(char*));
        return blocks_.size() + upper_bytes_ + opened_.bytes() + writers;
    }

    // Needs the index alone, as does everything below that is not const, except `find`.
    void reserve(size_t slots) {
        const size_t known = capacity();
        if (slots <= known) return;
        slots = std::max(slots, std::max<size_t>(1024, known + known / 2));
        blocks_.grow(slots * size_data_per_element_, std::max(slots, kSlotsAhead) * size_data_per_element_);
        upper_.grow(slots * sizeof(char*), std::max(slots, kSlotsAhead) * sizeof(char*));
        element_levels_.resize(slots);
        std::vector<std::mutex>(slots).swap(link_list_locks_);
        linkLists_ = reinterpret_cast<char**>(upper_.data());
        if (known == 0) settle();
        use_blocks(slots);
    }

    void write_to(SectionWriter& out) const {
        std::vector<uint32_t> starts(size() + 1);
        std::vector<char> lists;
        for (uint32_t slot = 0; slot < size(); slot++) {
            for (int level = 1; level <= top_level(slot); level++) {
                const auto* list = reinterpret_cast<const char*>(upper_list(slot, level));
                lists.insert(lists.end(), list, list + size_links_per_element_);
            }
            starts[slot + 1] = static_cast<uint32_t>(lists.size() / size_links_per_element_);
        }
        out.write(kBlocks, blocks_.data(), size() * size_data_per_element_);
        out.write(kUpperStarts, starts.data(), starts.size() * sizeof(uint32_t));
        out.write(kUpperLinks, lists.data(), lists.size());
    }

    // Fills the empty graph, without a look at any point.
    void load(const File& file, const Stretch* stretches, const IndexCounts& counts, Access access) {
        const size_t points = counts.joined;
        blocks_.load(file, stretches[kBlocks], std::max(2 * points, kSlotsAhead) * size_data_per_element_, access);
        opened_.load(file, stretches, points, size_links_per_element_, access);
        if (points > 0) use_blocks(points);
        cur_element_count = points;
        num_deleted_ = counts.tombstones;
        enterpoint_node_ = points ? counts.entry_point : static_cast<hnswlib::tableint>(-1);
        maxlevel_ = points ? counts.top_level : -1;
    }

    uint32_t entry_point() const { return maxlevel_ < 0 ? 0 : enterpoint_node_; }
    int highest_level() const { return maxlevel_; }

    void bury(uint32_t slot) { markDeletedInternal(slot); }

    void clear_points() {
        free_upper_links();
        opened_.forget();
        cur_element_count = num_deleted_ = 0;
        enterpoint_node_ = static_cast<hnswlib::tableint>(-1);
        maxlevel_ = -1;
    }

    // Neighbours for a new point. Reads links only; several threads may search at the same time.
    void find(uint32_t slot, const Rows& rows, Place& place) {
        place.slot = slot;
        place.level = level_of(slot);
        place.data.resize(data_size_);
        place.neighbours.assign(static_cast<size_t>(std::max(0, std::min(place.level, maxlevel_) + 1)), Candidates());
        space_.encode(rows.vector(slot), rows.bits(slot), place.data.data());
        if (maxlevel_ < 0) return;
        hnswlib::tableint at = descend(place.data.data(), place.level);
        for (int level = std::min(place.level, maxlevel_); level >= 0; level--)
            at = choose_neighbours(at, place, level);
    }

    // A found point becomes part of the graph in four steps, each for all points found together before the next.
    // 1. It gets its block: slot == size().
    void place(const Place& place) {
        std::memcpy(getDataByInternalId(place.slot), place.data.data(), data_size_);
        std::memset(get_linklist0(place.slot), 0, size_links_level0_);
        element_levels_[place.slot] = place.level;
        linkLists_[place.slot] = place.level > 0 ? new_upper_links(place.level) : nullptr;
        cur_element_count = place.slot + 1;
    }

    // 2. It and its neighbours get links to each other; several threads may do this, for different points.
    void link(Place& place) {
        for (size_t level = place.neighbours.size(); level-- > 0;)
            if (!place.neighbours[level].empty())
                mutuallyConnectNewElement(place.data.data(), place.slot, place.neighbours[level], static_cast<int>(level),
                                      false);
    }

    // 3. Points found together have not seen each other: those closer than a neighbour become neighbours.
    void introduce(const Place& place, const std::vector<Place>& together, size_t n) {
        const hnswlib::linklistsizeint* links = get_linklist0(place.slot);
        const auto* links_end = links + 1 + getListCount(const_cast<hnswlib::linklistsizeint*>(links));
        Candidates near;
        for (const auto* id = links + 1; id < links_end; id++) near.emplace(distance(place.data.data(), *id), *id);
        const size_t known = near.size();
        const float farthest = known ? near.top().first : std::numeric_limits<float>::max();
        for (size_t i = 0; i < n; i++) {
            const uint32_t other = together[i].slot;
            if (other == place.slot || std::find(links + 1, links_end, other) != links_end) continue;
            const float d = distance(place.data.data(), other);
            if (d < farthest) near.emplace(d, other);
        }
        if (near.size() > known) mutuallyConnectNewElement(place.data.data(), place.slot, near, 0, true);
    }

    // 4. The highest point is where searches enter.
    void raise(const Place& place) {
        if (place.level <= maxlevel_) return;
        maxlevel_ = place.level;
        enterpoint_node_ = place.slot;
    }

    // The `ef` nearest accepted points, nearest first. `query` is what the space encoded.
    template <class Accept>
    void search(const char* query, size_t ef, Accept accept, std::vector<Candidate>& nearest) const {
        nearest.clear();
        if (maxlevel_ < 0) return;
        walk(query, descend(query, 0), 0, ef, accept, nearest);
        std::sort_heap(nearest.begin(), nearest.end());
    }

  private:
    static constexpr size_t kSlotsAhead = size_t{1} << 20;
    const Space& space_;
    Region blocks_, upper_;
    UpperLinks opened_;
    size_t upper_bytes_ = 0;

    // One of hnswlib's visited lists for the length of a search.
    class Visit {
      public:
        explicit Visit(const Graph& graph)
            : pool_(*graph.visited_list_pool_), list_(pool_.getFreeVisitedList()), mass(list_->mass), tag_(list_->curV) {}
        ~Visit() { pool_.releaseVisitedList(list_); }
        bool first_time(hnswlib::tableint id) {
            if (mass[id] == tag_) return false;
            mass[id] = tag_;
            return true;
        }

      private:
        hnswlib::VisitedListPool& pool_;
        hnswlib::VisitedList* list_;

      public:
        hnswlib::vl_type* const mass;

      private:
        hnswlib::vl_type tag_;
    };

    static bool farther(const Candidate& a, const Candidate& b) { return a.first > b.first; }
    float distance(const void* query, hnswlib::tableint id) const {
        return fstdistfunc_(query, getDataByInternalId(id), dist_func_param_);
    }

    void fetch_ahead(hnswlib::tableint id) const {
        const char* block = getDataByInternalId(id);
        for (size_t at = 0; at < data_size_ && at < 512; at += 64) MEDHA_PREFETCH(block + at);
    }

    struct Links {
        const hnswlib::tableint* ids;
        size_t count;
    };

    // The links that lead to a point. Those of one point are in order but for damage.
    Links links(hnswlib::tableint id, int level) const {
        if (level > 0 && level > top_level(id)) return {nullptr, 0};
        const hnswlib::linklistsizeint* list = level == 0 ? get_linklist0(id) : upper_list(id, level);
        const size_t count = getListCount(const_cast<hnswlib::linklistsizeint*>(list));
        return {list + 1, std::min(count, level == 0 ? maxM0_ : maxM_)};
    }

    int top_level(hnswlib::tableint id) const {
        return id < opened_.points() ? opened_.top_level(id) : element_levels_[id];
    }
    const hnswlib::linklistsizeint* upper_list(hnswlib::tableint id, int level) const {
        return id < opened_.points() ? opened_.list(id, level) : get_linklist(id, level);
    }

    // Whether hnswlib, which checks nothing, may read the links of the point.
    bool sound(hnswlib::tableint id, int level) const {
        if (id >= opened_.points()) return true;
        if (level > top_level(id)) return false;
        const Links known = links(id, level);
        const size_t said = getListCount(const_cast<hnswlib::linklistsizeint*>(known.ids - 1));
        const size_t points = cur_element_count;
        return said == known.count && std::all_of(known.ids, known.ids + said, [&](auto to) { return to < points; });
    }

    size_t unvisited(hnswlib::tableint id, int level, Visit& visit, hnswlib::tableint* out) const {
        const Links known = links(id, level);
        const size_t points = cur_element_count;
        for (size_t i = 0; i < known.count; i++) MEDHA_PREFETCH(visit.mass + known.ids[i]);
        size_t n = 0;
        for (size_t i = 0; i < known.count; i++) {
            const hnswlib::tableint to = known.ids[i];
            if (to >= points || !visit.first_time(to)) continue;
            fetch_ahead(to);
            out[n++] = to;
        }
        return n;
    }

    // Leaves a heap of the `ef` nearest accepted points in reach of `entry`, farthest on top.
    template <class Accept>
    void walk(const char* query, hnswlib::tableint entry, int level, size_t ef, Accept accept,
              std::vector<Candidate>& nearest) const {
        nearest.clear();
        Visit visit(*this);
        std::vector<Candidate> open;  // a heap, nearest on top
        std::vector<hnswlib::tableint> fresh(maxM0_);
        auto meet = [&](hnswlib::tableint id) {
            float d = distance(query, id);
            if (nearest.size() == ef && d >= nearest.front().first) return;
            open.emplace_back(d, id);
            std::push_heap(open.begin(), open.end(), farther);
            if (isMarkedDeleted(id) || !accept(id)) return;
            nearest.emplace_back(d, id);
            std::push_heap(nearest.begin(), nearest.end());
            if (nearest.size() > ef) {
                std::pop_heap(nearest.begin(), nearest.end());
                nearest.pop_back();
            }
        };
        visit.first_time(entry);
        meet(entry);
        while (!open.empty()) {
            Candidate closest = open.front();
            if (nearest.size() == ef && closest.first > nearest.front().first) break;
            std::pop_heap(open.begin(), open.end(), farther);
            open.pop_back();
            size_t n = unvisited(closest.second, level, visit, fresh.data());
            for (size_t i = 0; i < n; i++) meet(fresh[i]);
        }
    }

    // Greedy walk from the entry point down to just above `level`.
    hnswlib::tableint descend(const void* query, int level) const {
        const size_t points = cur_element_count;
        hnswlib::tableint at = enterpoint_node_;
        float best = distance(query, at);
        for (int above = maxlevel_; above > level; above--) {
            for (bool moved = true; moved;) {
                moved = false;
                const Links known = links(at, above);
                for (size_t i = 0; i < known.count; i++)
                    if (known.ids[i] < points) fetch_ahead(known.ids[i]);
                for (size_t i = 0; i < known.count; i++) {
                    if (known.ids[i] >= points) continue;
                    float d = distance(query, known.ids[i]);
                    if (d < best) {
                        best = d;
                        at = known.ids[i];
                        moved = true;
                    }
                }
            }
        }
        return at;
    }

    hnswlib::tableint choose_neighbours(hnswlib::tableint from, Place& place, int level) {
        std::vector<Candidate> nearest;
        walk(place.data.data(), from, level, ef_construction_, [](uint32_t) { return true; }, nearest);
        // Where every point in reach is a tombstone, the way in still leads on.
        if (nearest.empty()) nearest.emplace_back(distance(place.data.data(), from), from);
        auto damaged = [&](const Candidate& c) { return !sound(c.second, level); };
        nearest.erase(std::remove_if(nearest.begin(), nearest.end(), damaged), nearest.end());
        if (nearest.empty()) return from;
        Candidates found(CompareByFirst(), std::move(nearest));
        getNeighborsByHeuristic2(found, M_);
        place.neighbours[static_cast<size_t>(level)] = found;
        while (found.size() > 1) found.pop();
        return found.top().second;
    }

    void use_blocks(size_t slots) {
        visited_list_pool_ = std::make_unique<hnswlib::VisitedListPool>(1, static_cast<int>(slots));
        data_level0_memory_ = blocks_.data();
        max_elements_ = slots;
    }

    // hnswlib finds levels and upper links of points by address.
    void settle() {
        for (uint32_t slot = 0; slot < opened_.points(); slot++) {
            element_levels_[slot] = opened_.top_level(slot);
            if (element_levels_[slot] > 0) linkLists_[slot] = reinterpret_cast<char*>(opened_.list(slot, 1));
        }
    }

    // Levels fall off by a factor of M (Malkov and Yashunin 2018); drawn from the slot, so builds repeat.
    int level_of(uint32_t slot) const {
        uint64_t x = (slot + 1) * 0x9e3779b97f4a7c15ull;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
        double uniform = (static_cast<double>((x ^ (x >> 31)) >> 11) + 1) / 9007199254740993.0;
        return static_cast<int>(-std::log(uniform) * mult_);
    }

    char* new_upper_links(int level) {
        size_t bytes = size_links_per_element_ * static_cast<size_t>(level);
        auto* links = static_cast<char*>(std::calloc(1, bytes));
        if (!links) throw std::bad_alloc();
        upper_bytes_ += bytes;
        return links;
    }

    void free_upper_links() {
        if (!linkLists_) return;
        for (size_t i = opened_.points(); i < cur_element_count; i++) std::free(linkLists_[i]);
        std::fill_n(linkLists_, cur_element_count.load(), nullptr);
        upper_bytes_ = 0;
    }
};

}  // namespace medha
