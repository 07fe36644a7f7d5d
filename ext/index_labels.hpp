// Which slot holds a label: a flat table with linear probing, at most two thirds full. Zeroed memory is an empty
// table, and a table in a file is used as it lies there.
#pragma once

#include "index_region.hpp"

namespace medha {

constexpr uint32_t kNoSlot = UINT32_MAX;

class LabelMap {
  public:
    size_t size() const { return size_; }
    size_t bytes() const { return cells_ * sizeof(Cell); }

    // A table from a damaged file may give any slot, and may have no empty cell.
    uint32_t find(uint64_t label) const {
        if (cells_ == 0) return kNoSlot;
        const Cell& cell = table()[at(label)];
        return cell.label == label ? cell.slot_and_one - 1 : kNoSlot;
    }

    void put(uint64_t label, uint32_t slot) {
        if (3 * (size_ + 1) > 2 * cells_) enlarge(2 * cells_);
        Cell& cell = table()[at(label)];
        size_ += cell.slot_and_one == 0;
        cell = {label, slot + 1, 0};
    }

    // Closes the gap by moving later cells of the same run forward, so that no probe ends too early.
    void erase(uint64_t label) {
        if (find(label) == kNoSlot) return;
        size_t gap = at(label);
        size_ -= size_ > 0;
        for (size_t i = next(gap), left = cells_; table()[i].slot_and_one != 0 && left > 0; i = next(i), left--) {
            size_t home = hash(table()[i].label) & mask();
            if (((i - home) & mask()) >= ((i - gap) & mask())) {
                table()[gap] = table()[i];
                gap = i;
            }
        }
        table()[gap] = {};
    }

    void reserve(size_t labels) {
        size_t cells = kFewest;
        while (2 * cells < 3 * labels) cells *= 2;
        if (cells > cells_) enlarge(cells);
    }

    void write_to(SectionWriter& out) const { out.write(kLabelTable, table_.data(), bytes()); }

    // Fills the empty map. The stretch holds a power of two of cells, more than `labels`.
    void load(const File& file, const Stretch* stretches, size_t labels, Access access) {
        table_.load(file, stretches[kLabelTable], 0, access);
        cells_ = stretches[kLabelTable].length / sizeof(Cell);
        size_ = labels;
    }

  private:
    struct Cell {
        uint64_t label = 0;
        uint32_t slot_and_one = 0;  // 0: no label
        uint32_t unused = 0;
    };
    static constexpr size_t kFewest = 64;
    Region table_;
    size_t cells_ = 0, size_ = 0;

    Cell* table() const { return reinterpret_cast<Cell*>(table_.data()); }
    size_t mask() const { return cells_ - 1; }
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
        for (size_t left = cells_; left > 0 && table()[i].slot_and_one != 0 && table()[i].label != label; left--)
            i = next(i);
        return i;
    }

    void enlarge(size_t cells) {
        LabelMap larger;
        larger.cells_ = std::max(cells, kFewest);
        larger.table_.grow(larger.bytes(), larger.bytes());
        for (size_t i = 0; i < cells_; i++) {
            const Cell& cell = table()[i];
            if (cell.slot_and_one == 0) continue;
            larger.table()[larger.at(cell.label)] = cell;
            larger.size_++;
        }
        larger.table_.swap(table_);
        cells_ = larger.cells_;
        size_ = larger.size_;
    }
};

}  // namespace medha
