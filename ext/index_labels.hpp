// Which slot holds a label: a flat table with linear probing, at most two thirds full.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace medha {

constexpr uint32_t kNoSlot = UINT32_MAX;

class LabelMap {
  public:
    size_t size() const { return size_; }
    size_t bytes() const { return table_.capacity() * sizeof(Cell); }

    uint32_t find(uint64_t label) const { return table_.empty() ? kNoSlot : table_[at(label)].slot; }

    void put(uint64_t label, uint32_t slot) {
        if (3 * (size_ + 1) > 2 * table_.size()) enlarge(2 * table_.size());
        Cell& cell = table_[at(label)];
        size_ += cell.slot == kNoSlot;
        cell = {label, slot};
    }

    // Closes the gap by moving later cells of the same run forward, so that no probe ends too early.
    void erase(uint64_t label) {
        if (table_.empty()) return;
        size_t gap = at(label);
        if (table_[gap].slot == kNoSlot) return;
        size_--;
        for (size_t i = next(gap); table_[i].slot != kNoSlot; i = next(i)) {
            size_t home = hash(table_[i].label) & mask();
            if (((i - home) & mask()) >= ((i - gap) & mask())) {
                table_[gap] = table_[i];
                gap = i;
            }
        }
        table_[gap].slot = kNoSlot;
    }

    void reserve(size_t labels) {
        size_t cells = 64;
        while (2 * cells < 3 * labels) cells *= 2;
        if (cells > table_.size()) enlarge(cells);
    }

    void clear() {
        for (Cell& cell : table_) cell.slot = kNoSlot;
        size_ = 0;
    }

  private:
    struct Cell {
        uint64_t label = 0;
        uint32_t slot = kNoSlot;
    };
    std::vector<Cell> table_;
    size_t size_ = 0;

    size_t mask() const { return table_.size() - 1; }
    size_t next(size_t i) const { return (i + 1) & mask(); }

    // The finaliser of splitmix64 (Steele, Lea, Flood, 2014): consecutive labels spread over the table.
    static uint64_t hash(uint64_t x) {
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
        return x ^ (x >> 31);
    }

    // The cell of the label, or the empty cell where it belongs.
    size_t at(uint64_t label) const {
        size_t i = hash(label) & mask();
        while (table_[i].slot != kNoSlot && table_[i].label != label) i = next(i);
        return i;
    }

    void enlarge(size_t cells) {
        std::vector<Cell> old(cells < 64 ? 64 : cells);
        old.swap(table_);
        for (const Cell& cell : old)
            if (cell.slot != kNoSlot) table_[at(cell.label)] = cell;
    }
};

}  // namespace medha
