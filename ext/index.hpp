// The vector index: slots in two tiers behind one lock.
//
//   slots [0, joined)      in the graph; a removed one is a tombstone until compact()
//   slots [joined, count)  not yet in it; a removed one is filled by the last
//
// A scan can look at all slots. Each search decides for the first range: a scan finds everything and costs little
// where few vectors are near; a walk through the graph costs the same wherever it goes.
//
// What is shared and who may touch it: rows_, slots_, graph_ and count_ are read under the shared lock and
// changed under the exclusive one. Who wants the exclusive one takes the mutex changing_ first, and save() takes
// that mutex alone: nothing changes while it writes, and no waiting writer closes the door to searches.
// join() looks for neighbours under the shared lock and links under the exclusive one; changes_ tells it whether
// a slot it looked at meant something else in between.
//
// A label table from a file that nobody verified may give any slot: only slot_of() asks it.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <shared_mutex>
#include <thread>

#include "index_graph.hpp"
#include "index_labels.hpp"
#include "index_lock.hpp"
#include "index_scan.hpp"

namespace medha {

enum class Tier { kAuto = 0, kScan = 1, kGraph = 2 };

// Runs work(i) for i in [0, n) on up to `threads` threads, and throws what the first failing one threw.
template <class Work>
void parallel(size_t n, size_t threads, Work work) {
    threads = std::min(threads, n);
    if (threads <= 1) {
        for (size_t i = 0; i < n; i++) work(i);
        return;
    }
    std::atomic<size_t> next{0};
    std::exception_ptr failure;
    std::mutex failing;
    auto run = [&] {
        try {
            for (size_t i; (i = next.fetch_add(1)) < n;) work(i);
        } catch (...) {
            std::lock_guard<std::mutex> guard(failing);
            if (!failure) failure = std::current_exception();
        }
    };
    std::vector<std::thread> helpers;
    helpers.reserve(threads - 1);
    try {
        while (helpers.size() < threads - 1) helpers.emplace_back(run);
    } catch (const std::exception&) {
        // The system gives no more threads: those that run do the work.
    }
    run();
    for (std::thread& helper : helpers) helper.join();
    if (failure) std::rethrow_exception(failure);
}

struct IndexInfo {
    size_t graph, scan, tombstones, capacity;
};
struct IndexMemory {
    size_t rows, graph, labels;
};

class Index {
  public:
    // `graph_from`: with that many entries Tier::kAuto lets join() move vectors into the graph.
    Index(size_t dimension, size_t capacity, size_t M, size_t ef_construction, Quantization quantization, Tier tier,
          size_t graph_from)
        : rows_(dimension, *active_kernels()),
          space_(make_space(rows_, quantization)),
          graph_(*space_, M, ef_construction),
          tier_(tier),
          graph_from_(graph_from) {
        reserve(capacity);
    }

    const Kernels& kernels() const { return rows_.kernels; }
    uint32_t bits() const { return rows_.hash.bits(); }

    // What the sign bits of `b` that differ from those of the query `a` weigh; false if either has no direction.
    bool bit_distance(const float* a, const float* b, uint32_t& distance) const {
        Encoded x, y;
        if (!rows_.encode(a, x) || !rows_.encode(b, y)) return false;
        distance = rows_.kernels.weigh(y.probe.bits, x.probe, rows_.hash.words());
        return true;
    }

    // The first row without a direction (zero, or not all numbers), or n.
    size_t first_unusable(const float* vectors, size_t n) const {
        size_t row = 0;
        while (row < n && rows_.norm(vectors + row * rows_.dimension()) > 0) row++;
        return row;
    }

    // Every vector must be usable. Later rows win over earlier ones of the same label.
    void add(const uint64_t* labels, const float* vectors, size_t n, size_t threads) {
        const size_t step = 64 * std::max<size_t>(threads, 1);
        std::vector<Encoded> encoded(std::min(n, step));
        for (size_t start = 0; start < n; start += step) {
            const size_t rows = std::min(step, n - start);
            parallel(rows, n > 256 ? threads : 1, [&](size_t i) {
                rows_.encode(vectors + (start + i) * rows_.dimension(), encoded[i]);
            });
            Alone alone(*this);
            make_room(count_ + rows);
            for (size_t i = 0; i < rows; i++) put(labels[start + i], encoded[i]);
        }
        if (tier_ == Tier::kGraph) join(SIZE_MAX, threads);
    }

    size_t remove(const uint64_t* labels, size_t n) {
        Alone alone(*this);
        size_t removed = 0;
        for (size_t i = 0; i < n; i++) removed += remove_one(labels[i]);
        return removed;
    }

    // False if the query has no direction. Hits come best first, equal scores by label. An ef of 0: by size.
    bool search(const float* vector, size_t k, size_t ef, float min_score, const Allowed& allowed,
                std::vector<Hit>& hits) const {
        static thread_local Encoded query;
        static thread_local ScanSpace space;
        if (!rows_.encode(vector, query)) return false;
        std::shared_lock<FairLock> reading(lock_);
        k = std::min(k, std::max<size_t>(slots_.size(), 1));
        Best best(hits, k, min_score);
        const size_t permitted = allowed.everything() ? SIZE_MAX : allowed.count();
        if (permitted <= few()) {
            score_each(query, allowed, best);
        } else {
            if (ef == 0) ef = breadth();
            ef = std::max(ef, k);
            const bool walks = prefers_graph(query, ef, min_score, space);
            // A walk that ends before it has enough is cut off by tombstones, or what it may give is not in the graph.
            const bool walked = walks && walk(query, k, ef, allowed, permitted, best);
            scan(query, walked ? graph_.size() : 0, count_, allowed, space, best);
        }
        best.finish();
        return true;
    }

    // A search for each of n queries; the first row without a direction, or n.
    size_t search_many(const float* vectors, size_t n, size_t k, size_t ef, float min_score, const Allowed& allowed,
                       size_t threads, std::vector<std::vector<Hit>>& hits) const {
        const size_t usable = first_unusable(vectors, n);
        hits.resize(n);
        if (usable == n)
            parallel(n, threads, [&](size_t i) {
                search(vectors + i * rows_.dimension(), k, ef, min_score, allowed, hits[i]);
            });
        return usable;
    }

    bool get(uint64_t label, float* out) const {
        std::shared_lock<FairLock> reading(lock_);
        const uint32_t slot = slot_of(label);
        if (slot == kNoSlot) return false;
        std::memcpy(out, rows_.vector(slot), rows_.dimension() * sizeof(float));
        return true;
    }

    bool contains(uint64_t label) const {
        std::shared_lock<FairLock> reading(lock_);
        return slot_of(label) != kNoSlot;
    }

    size_t size() const {
        std::shared_lock<FairLock> reading(lock_);
        return slots_.size();
    }

    void labels(std::vector<uint64_t>& out) const {
        std::shared_lock<FairLock> reading(lock_);
        out.clear();
        for (size_t slot = 0; slot < count_; slot++)
            if (graph_.alive(static_cast<uint32_t>(slot))) out.push_back(rows_.label(slot));
        std::sort(out.begin(), out.end());
    }

    // Lays the sections into the file from `start` on. Searches go on meanwhile, changes wait.
    IndexCounts save(const File& file, uint64_t start, Stretch* stretches) const {
        std::lock_guard<std::mutex> unchanging(changing_);
        SectionWriter out(file, start, stretches);
        rows_.write_to(out, count_);
        graph_.write_to(out);
        slots_.write_to(out);
        return {count_, graph_.size(), graph_.tombstones(), graph_.entry_point(), graph_.highest_level()};
    }

    // Only for an index made with no capacity, before anybody else has it. Lengths fit the counts; the counts, the
    // parameters of the index. If it throws, the index is not to be used.
    void load(const File& file, const Stretch* stretches, const IndexCounts& counts, Access access) {
        rows_.load(file, stretches, counts.entries, access);
        graph_.load(file, stretches, counts, access);
        slots_.load(file, stretches, counts.entries - counts.tombstones, access);
        count_ = counts.entries;
    }

    // Bytes of a point in the graph, and of its links on one level above the lowest.
    size_t block_bytes() const { return graph_.block_bytes(); }
    size_t list_bytes() const { return graph_.list_bytes(); }

    void reserve(size_t capacity) {
        Alone alone(*this);
        rows_.reserve(capacity);
        slots_.reserve(capacity);
    }

    // Moves up to `limit` slots into the graph and returns how many it moved.
    size_t join(size_t limit, size_t threads) {
        std::lock_guard<std::mutex> one_at_a_time(joining_);
        if (!worth_joining(size())) return 0;
        std::vector<Graph::Place> places(threads > 1 ? kJoinedPerThread * threads : 1);
        size_t joined = 0;
        while (joined < limit) {
            size_t n = join_some(places, limit - joined, threads);
            if (n == 0) break;
            joined += n;
        }
        return joined;
    }

    // Slots that join() would move now.
    size_t waiting() const {
        std::shared_lock<FairLock> reading(lock_);
        return worth_joining(slots_.size()) ? count_ - graph_.size() : 0;
    }

    // Drops the tombstones and builds the graph anew without them; searches go on by scan meanwhile.
    void compact() {
        size_t to_join;
        {
            std::lock_guard<std::mutex> one_at_a_time(joining_);
            Alone alone(*this);
            to_join = graph_.size() - graph_.tombstones();
            if (graph_.tombstones() == 0) return;
            close_gaps();
        }
        join(to_join, 1);
    }

    // For the moment of a fork: nobody is inside, and nobody comes in.
    void hold() {
        joining_.lock();
        changing_.lock();
        lock_.lock();
    }

    // In a forked child those who waited are gone: the locks there are new ones.
    void let_go(bool in_child) {
        if (in_child) {
            new (&lock_) FairLock;
            new (&changing_) std::mutex;
            new (&joining_) std::mutex;
            return;
        }
        lock_.unlock();
        changing_.unlock();
        joining_.unlock();
    }

    IndexInfo info() const {
        std::shared_lock<FairLock> reading(lock_);
        const size_t graph = graph_.size() - graph_.tombstones();
        return {graph, count_ - graph_.size(), graph_.tombstones(), rows_.capacity()};
    }

    IndexMemory memory() const {
        std::shared_lock<FairLock> reading(lock_);
        return {rows_.bytes(), graph_.bytes(), slots_.bytes()};
    }

  private:
    static constexpr size_t kJoinedPerThread = 16;
    static constexpr size_t kBreadth = 128, kBroadFrom = 100000;
    // Nanoseconds that a walk takes for each unit of ef, and more for each entry: memory is further away.
    static constexpr double kStepCost = 650, kStepCostByEntry = 0.0005;

    Rows rows_;
    std::unique_ptr<Space> space_;
    Graph graph_;
    const Tier tier_;
    const size_t graph_from_;
    LabelMap slots_;
    size_t count_ = 0;
    uint64_t changes_ = 0;
    mutable FairLock lock_;
    mutable std::mutex changing_;
    std::mutex joining_;

    struct Alone {
        std::lock_guard<std::mutex> changing;
        std::unique_lock<FairLock> alone;
        explicit Alone(Index& index) : changing(index.changing_), alone(index.lock_) {}
    };

    uint32_t slot_of(uint64_t label) const {
        const uint32_t slot = slots_.find(label);
        return slot < count_ ? slot : kNoSlot;
    }

    void bury(uint32_t slot) {
        if (graph_.alive(slot)) graph_.bury(slot);
    }

    void make_room(size_t slots) {
        slots_.reserve(slots);
        if (slots > rows_.capacity()) rows_.reserve(std::max(slots, 2 * rows_.capacity()));
    }

    void put(uint64_t label, const Encoded& row) {
        uint32_t slot = slot_of(label);
        if (slot != kNoSlot && slot >= graph_.size()) {
            changes_++;
        } else {
            if (slot != kNoSlot) bury(slot);
            slot = static_cast<uint32_t>(count_);
            slots_.put(label, slot);
            count_++;
        }
        rows_.write(slot, label, row);
    }

    bool remove_one(uint64_t label) {
        const uint32_t slot = slot_of(label);
        if (slot == kNoSlot) return false;
        slots_.erase(label);
        if (slot < graph_.size()) {
            bury(slot);
            return true;
        }
        changes_++;
        const uint32_t last = static_cast<uint32_t>(--count_);
        if (slot != last) {
            rows_.move(last, slot);
            slots_.put(rows_.label(slot), slot);
        }
        return true;
    }

    // At most this many permitted labels are scored one by one: random reads against what a search would cost.
    size_t few() const {
        const auto graph = static_cast<double>(graph_.size());
        return 64 + (count_ - graph_.size()) / 64 + static_cast<size_t>(std::sqrt(600 * graph));
    }

    void score_each(const Encoded& query, const Allowed& allowed, Best& best) const {
        allowed.each([&](uint64_t label) {
            const uint32_t slot = slot_of(label);
            if (slot != kNoSlot) best.offer({score(query, slot), label});
        });
    }

    void scan(const Encoded& query, size_t first, size_t last, const Allowed& allowed, ScanSpace& space,
              Best& best) const {
        Scan scan(rows_, query, space);
        if (allowed.everything() && first >= graph_.size())
            scan.run(first, last, [](uint32_t) { return true; }, best);
        else
            scan.run(first, last, [&](uint32_t slot) { return graph_.alive(slot) && allowed(rows_.label(slot)); }, best);
    }

    // How broad a walk must be to find 99 of 100 nearest entries. With 128 it found 85 to 94 among a million.
    size_t breadth() const { return std::max(kBreadth, kBreadth * graph_.size() / kBroadFrom); }

    // Whether walking the graph costs less than scanning the slots in it.
    bool prefers_graph(const Encoded& query, size_t ef, float bar, ScanSpace& space) const {
        if (graph_.size() == 0 || tier_ == Tier::kGraph) return true;
        const double step = kStepCost + kStepCostByEntry * static_cast<double>(graph_.size());
        return !Scan(rows_, query, space).costs_less(step * static_cast<double>(ef), 0, graph_.size(), bar);
    }

    // Offers the best of the `ef` nearest entries that a walk meets; false, and nothing, if it meets fewer.
    bool walk(const Encoded& query, size_t k, size_t ef, const Allowed& allowed, size_t permitted, Best& best) const {
        const size_t live = graph_.size() - graph_.tombstones();
        if (live == 0) return true;
        static thread_local std::vector<Graph::Candidate> nearest;
        static thread_local std::vector<char> code;
        code.resize(space_->get_data_size());
        space_->encode(query.vector.data(), query.probe.bits, code.data());
        graph_.search(code.data(), ef, [&](uint32_t slot) { return allowed(rows_.label(slot)); }, nearest);
        if (nearest.size() < std::min({ef, live, permitted})) return false;
        nearest.resize(std::min(nearest.size(), space_->candidates(k, ef)));
        for (const Graph::Candidate& c : nearest) best.offer({score(query, c.second), rows_.label(c.second)});
        return true;
    }

    float score(const Encoded& query, uint32_t slot) const {
        return rows_.kernels.dot(query.vector.data(), rows_.vector(slot), rows_.width());
    }

    bool worth_joining(size_t entries) const {
        if (tier_ == Tier::kScan) return false;
        return tier_ == Tier::kGraph || entries >= graph_from_;
    }

    // Joins one slot for each place at most, and returns how many.
    size_t join_some(std::vector<Graph::Place>& places, size_t limit, size_t threads) {
        size_t first, n;
        uint64_t seen;
        make_graph_room(places.size());
        {
            std::shared_lock<FairLock> reading(lock_);
            first = graph_.size();
            seen = changes_;
            // Points found together know little of each other: only a much larger graph takes several.
            n = std::min({places.size(), limit, count_ - first, 1 + first / 64});
            find_places(places, first, n, threads);
        }
        Alone alone(*this);
        if (changes_ != seen) {
            n = std::min(n, count_ - first);
            find_places(places, first, n, threads);
        }
        for (size_t i = 0; i < n; i++) graph_.place(places[i]);
        parallel(n, threads, [&](size_t i) { graph_.link(places[i]); });
        for (size_t i = 0; i < n; i++) graph_.introduce(places[i], places, n);
        for (size_t i = 0; i < n; i++) graph_.raise(places[i]);
        return n;
    }

    void find_places(std::vector<Graph::Place>& places, size_t first, size_t n, size_t threads) {
        parallel(n, threads, [&](size_t i) { graph_.find(static_cast<uint32_t>(first + i), rows_, places[i]); });
    }

    void make_graph_room(size_t more) {
        Alone alone(*this);
        if (graph_.size() + more > graph_.capacity()) graph_.reserve(std::max(count_, graph_.size() + more));
    }

    void close_gaps() {
        size_t to = 0;
        for (size_t from = 0; from < count_; from++) {
            if (!graph_.alive(static_cast<uint32_t>(from))) continue;
            rows_.move(from, to);
            slots_.put(rows_.label(to), static_cast<uint32_t>(to));
            to++;
        }
        count_ = to;
        changes_++;
        graph_.clear_points();
    }
};

}  // namespace medha
