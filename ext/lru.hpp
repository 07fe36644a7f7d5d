// The bookkeeping of a bounded cache: which key has which slot, which slot was used last, which
// slots share a tag. Values are not here: the caller keeps them in a list under the slot's number,
// so nothing in this file can run Python code. Not safe across threads by itself (see README.md).
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "xxh3.hpp"

namespace medha {

using Slot = uint32_t;
constexpr Slot NO_SLOT = std::numeric_limits<Slot>::max();

// A doubly linked list through the slots.
struct Link {
    Slot previous = NO_SLOT;
    Slot next = NO_SLOT;
};

struct Record {
    Key128 key;
    double expires_at = 0;
    uint64_t tag = 0;
    Link use;      // towards `next`: used longer ago
    Link sibling;  // the records with the same tag
};

inline uint64_t spread(uint64_t a, uint64_t b) { return xxh3::multiply_fold(a ^ xxh3::PRIME64_1, b ^ xxh3::PRIME64_2); }

struct ByKey {
    using Wanted = Key128;
    static uint64_t hash(const Key128& key) { return spread(key.low, key.high); }
    static const Key128& of(const Record& record) { return record.key; }
};

struct ByTag {
    using Wanted = uint64_t;
    static uint64_t hash(uint64_t tag) { return spread(tag, xxh3::PRIME64_3); }
    static uint64_t of(const Record& record) { return record.tag; }
};

// Open addressing with linear probing, at most half full. Cells hold slots; what a slot is found
// by stands in its record. Erasing moves later cells back, so that no tombstones gather.
template <class By>
class SlotTable {
  public:
    Slot find(const std::vector<Record>& records, const typename By::Wanted& wanted) const {
        if (cells_.empty()) return NO_SLOT;
        for (size_t i = By::hash(wanted) & mask();; i = (i + 1) & mask()) {
            if (cells_[i] == NO_SLOT || By::of(records[cells_[i]]) == wanted) return cells_[i];
        }
    }

    // After this, one `insert` cannot fail.
    void make_room(const std::vector<Record>& records) {
        if (2 * (count_ + 1) <= cells_.size()) return;
        std::vector<Slot> old(cells_.empty() ? 16 : 2 * cells_.size(), NO_SLOT);
        old.swap(cells_);
        for (Slot slot : old)
            if (slot != NO_SLOT) place(records, slot);
    }

    void insert(const std::vector<Record>& records, Slot slot) {
        place(records, slot);
        ++count_;
    }

    // Put `other` where `slot` stands; both are found by the same value.
    void replace(const std::vector<Record>& records, Slot slot, Slot other) { cells_[cell_of(records, slot)] = other; }

    void erase(const std::vector<Record>& records, Slot slot) {
        size_t hole = cell_of(records, slot);
        for (size_t i = (hole + 1) & mask(); cells_[i] != NO_SLOT; i = (i + 1) & mask()) {
            const size_t home = By::hash(By::of(records[cells_[i]])) & mask();
            // The cell may move back unless its home lies between the hole and itself.
            if (((i - home) & mask()) < ((i - hole) & mask())) continue;
            cells_[hole] = cells_[i];
            hole = i;
        }
        cells_[hole] = NO_SLOT;
        --count_;
    }

    void clear() {
        cells_.clear();
        count_ = 0;
    }

  private:
    std::vector<Slot> cells_;
    size_t count_ = 0;

    size_t mask() const { return cells_.size() - 1; }

    size_t cell_of(const std::vector<Record>& records, Slot slot) const {
        size_t i = By::hash(By::of(records[slot])) & mask();
        while (cells_[i] != slot) i = (i + 1) & mask();
        return i;
    }

    void place(const std::vector<Record>& records, Slot slot) {
        size_t i = By::hash(By::of(records[slot])) & mask();
        while (cells_[i] != NO_SLOT) i = (i + 1) & mask();
        cells_[i] = slot;
    }
};

class Lru {
  public:
    size_t size() const { return records_.size() - free_.size(); }
    size_t slots() const { return records_.size(); }
    double expires_at(Slot slot) const { return records_[slot].expires_at; }
    Slot find(const Key128& key) const { return keys_.find(records_, key); }
    Slot find_tag(uint64_t tag) const { return tags_.find(records_, tag); }
    Slot oldest() const { return oldest_; }

    void touch(Slot slot) {
        if (slot == newest_) return;
        unlink_use(slot);
        link_use(slot);
    }

    // A slot for a key that is not there; it counts as the newest.
    Slot add(const Key128& key, double expires_at, uint64_t tag) {
        make_room();
        const Slot slot = take_slot();
        records_[slot].key = key;
        keys_.insert(records_, slot);
        link_use(slot);
        describe(slot, expires_at, tag);
        return slot;
    }

    void change(Slot slot, double expires_at, uint64_t tag) {
        tags_.make_room(records_);
        unlink_sibling(slot);
        describe(slot, expires_at, tag);
        touch(slot);
    }

    void remove(Slot slot) {
        unlink_sibling(slot);
        unlink_use(slot);
        keys_.erase(records_, slot);
        free_.push_back(slot);
    }

    void clear() {
        records_.clear();
        free_.clear();
        keys_.clear();
        tags_.clear();
        newest_ = oldest_ = NO_SLOT;
    }

  private:
    std::vector<Record> records_;
    std::vector<Slot> free_;
    SlotTable<ByKey> keys_;
    SlotTable<ByTag> tags_;  // the newest record of each tag
    Slot newest_ = NO_SLOT;
    Slot oldest_ = NO_SLOT;

    // Memory is taken before anything changes: running out of it leaves the cache as it was.
    void make_room() {
        if (free_.empty() && records_.size() == records_.capacity()) records_.reserve(2 * records_.size() + 16);
        free_.reserve(records_.capacity());
        keys_.make_room(records_);
        tags_.make_room(records_);
    }

    Slot take_slot() {
        if (free_.empty()) {
            records_.emplace_back();
            return static_cast<Slot>(records_.size() - 1);
        }
        const Slot slot = free_.back();
        free_.pop_back();
        return slot;
    }

    void link_use(Slot slot) {
        records_[slot].use = {NO_SLOT, newest_};
        (newest_ == NO_SLOT ? oldest_ : records_[newest_].use.previous) = slot;
        newest_ = slot;
    }

    void unlink_use(Slot slot) {
        const Link link = records_[slot].use;
        (link.previous == NO_SLOT ? newest_ : records_[link.previous].use.next) = link.next;
        (link.next == NO_SLOT ? oldest_ : records_[link.next].use.previous) = link.previous;
    }

    void describe(Slot slot, double expires_at, uint64_t tag) {
        Record& record = records_[slot];
        record.expires_at = expires_at;
        record.tag = tag;
        const Slot head = tags_.find(records_, tag);
        record.sibling = {NO_SLOT, head};
        if (head == NO_SLOT) {
            tags_.insert(records_, slot);
        } else {
            tags_.replace(records_, head, slot);
            records_[head].sibling.previous = slot;
        }
    }

    void unlink_sibling(Slot slot) {
        const Link link = records_[slot].sibling;
        if (link.next != NO_SLOT) records_[link.next].sibling.previous = link.previous;
        if (link.previous != NO_SLOT)
            records_[link.previous].sibling.next = link.next;
        else if (link.next != NO_SLOT)
            tags_.replace(records_, slot, link.next);
        else
            tags_.erase(records_, slot);
    }
};

}  // namespace medha
