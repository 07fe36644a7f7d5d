// The graph tier: hnswlib's level-0 blocks, links and neighbour heuristic over memory of our own.
//
// A point's internal id is its slot, so no label table is needed. Inserting is split: `find` only reads and
// runs beside searches; `place`, `link` and `raise` write and need the index alone. Our search reads a block's links, fetches
// all its neighbours ahead, and takes any filter.
#pragma once

#include <queue>

#include "index_spaces.hpp"

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
    size_t capacity() const { return max_elements_; }
    size_t tombstones() const { return num_deleted_; }
    bool alive(uint32_t slot) const { return slot >= cur_element_count || !isMarkedDeleted(slot); }
    size_t bytes() const {
        return blocks_.size() + upper_.size() + max_elements_ * (sizeof(std::mutex) + sizeof(int)) + upper_bytes_;
    }

    // Needs the index alone, as does everything below that is not const, except `find`.
    void reserve(size_t slots) {
        if (slots <= max_elements_) return;
        slots = std::max(slots, std::max<size_t>(1024, max_elements_ + max_elements_ / 2));
        blocks_.grow((slots + 1) * size_data_per_element_, std::max(slots, kSlotsAhead) * size_data_per_element_);
        upper_.grow(slots * sizeof(char*), std::max(slots, kSlotsAhead) * sizeof(char*));
        element_levels_.resize(slots);
        std::vector<std::mutex>(slots).swap(link_list_locks_);
        visited_list_pool_ = std::make_unique<hnswlib::VisitedListPool>(1, static_cast<int>(slots));
        data_level0_memory_ = blocks_.data();
        linkLists_ = reinterpret_cast<char**>(upper_.data());
        max_elements_ = slots;
    }

    void bury(uint32_t slot) { markDeletedInternal(slot); }

    void clear_points() {
        free_upper_links();
        if (cur_element_count) std::memset(blocks_.data(), 0, cur_element_count * size_data_per_element_);
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
    // 1. It gets its block: slot == size(), and the block is untouched or cleared.
    void place(const Place& place) {
        std::memcpy(getDataByInternalId(place.slot), place.data.data(), data_size_);
        element_levels_[place.slot] = place.level;
        linkLists_[place.slot] = place.level > 0 ? new_upper_links(place.level) : nullptr;
        cur_element_count = place.slot + 1;
    }

    // 2. It and its neighbours get links to each other; several threads may do this, for different points.
    void link(Place& place) {
        for (size_t level = place.neighbours.size(); level-- > 0;)
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
        Visit visit(*this);
        std::vector<Candidate> open;  // a heap, nearest on top; `nearest` is a heap, farthest on top
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
        hnswlib::tableint entry = descend(query, 0);
        visit.first_time(entry);
        meet(entry);
        while (!open.empty()) {
            Candidate closest = open.front();
            if (nearest.size() == ef && closest.first > nearest.front().first) break;
            std::pop_heap(open.begin(), open.end(), farther);
            open.pop_back();
            size_t n = unvisited(closest.second, visit, fresh.data());
            for (size_t i = 0; i < n; i++) meet(fresh[i]);
        }
        std::sort_heap(nearest.begin(), nearest.end());
    }

  private:
    static constexpr size_t kSlotsAhead = size_t{1} << 20;
    const Space& space_;
    Region blocks_, upper_;
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

    size_t unvisited(hnswlib::tableint id, Visit& visit, hnswlib::tableint* out) const {
        const hnswlib::linklistsizeint* links = get_linklist0(id);
        const size_t count = getListCount(const_cast<hnswlib::linklistsizeint*>(links));
        for (size_t i = 1; i <= count; i++) MEDHA_PREFETCH(visit.mass + links[i]);
        size_t n = 0;
        for (size_t i = 1; i <= count; i++) {
            if (!visit.first_time(links[i])) continue;
            fetch_ahead(links[i]);
            out[n++] = links[i];
        }
        return n;
    }

    // Greedy walk from the entry point down to just above `level`.
    hnswlib::tableint descend(const void* query, int level) const {
        hnswlib::tableint at = enterpoint_node_;
        float best = distance(query, at);
        for (int above = maxlevel_; above > level; above--) {
            for (bool moved = true; moved;) {
                moved = false;
                const hnswlib::linklistsizeint* links = get_linklist(at, above);
                const size_t count = getListCount(const_cast<hnswlib::linklistsizeint*>(links));
                for (size_t i = 1; i <= count; i++) fetch_ahead(links[i]);
                for (size_t i = 1; i <= count; i++) {
                    float d = distance(query, links[i]);
                    if (d < best) {
                        best = d;
                        at = links[i];
                        moved = true;
                    }
                }
            }
        }
        return at;
    }

    hnswlib::tableint choose_neighbours(hnswlib::tableint from, Place& place, int level) {
        Candidates found = searchBaseLayer(from, place.data.data(), level);
        // Where every point in reach is a tombstone, the way in still leads on.
        if (found.empty()) found.emplace(distance(place.data.data(), from), from);
        getNeighborsByHeuristic2(found, M_);
        place.neighbours[static_cast<size_t>(level)] = found;
        while (found.size() > 1) found.pop();
        return found.top().second;
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
        // hnswlib fetches ahead from one link past the last.
        auto* links = static_cast<char*>(std::calloc(1, bytes + sizeof(hnswlib::tableint)));
        if (!links) throw std::bad_alloc();
        upper_bytes_ += bytes;
        return links;
    }

    void free_upper_links() {
        for (size_t i = 0; i < cur_element_count; i++) {
            std::free(linkLists_[i]);
            linkLists_[i] = nullptr;
        }
        upper_bytes_ = 0;
    }
};

}  // namespace medha
