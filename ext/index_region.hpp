// A growing stretch of memory, zeroed or starting with what a file holds. Address space is reserved ahead, so that
// growth seldom moves the data; when it must, only a writer that holds the index alone may call `grow`.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "index_file.hpp"

#if defined(_WIN32)
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#elif defined(__unix__) || defined(__APPLE__)
#define MEDHA_POSIX_MEMORY 1
#include <sys/mman.h>
#include <unistd.h>
#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif
#endif

namespace medha {

enum class Access { kRead, kWrite };

namespace pages {

// reserve: address space without memory, or null. commit: make its first `bytes` usable, zeroed where new; from
// `old` on they are new. map: lay a file's stretch over the start, shared until it is written to; false if this
// machine cannot.
#if defined(MEDHA_POSIX_MEMORY)
constexpr size_t kWorthHugePages = size_t{1} << 23;

inline char* reserve(size_t bytes) {
    void* p = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? nullptr : static_cast<char*>(p);
}
inline bool commit(char* p, size_t old, size_t bytes) {
    if (mprotect(p, bytes, PROT_READ | PROT_WRITE) != 0) return false;
#if defined(MADV_HUGEPAGE)
    // A wish: random reads of a large collection miss the translation cache less often. It may be refused.
    if (bytes - old >= kWorthHugePages) madvise(p + old, bytes - old, MADV_HUGEPAGE);
#else
    (void)old;
#endif
    return true;
}
inline bool map(char* p, size_t bytes, const File& file, uint64_t offset, Access access) {
    if (offset % static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) != 0) return false;
    const int may = PROT_READ | (access == Access::kWrite ? PROT_WRITE : 0);
    void* at = mmap(p, bytes, may, MAP_PRIVATE | MAP_FIXED, file.descriptor(), static_cast<off_t>(offset));
    return at != MAP_FAILED;
}
inline void release(char* p, size_t bytes) { munmap(p, bytes); }
#elif defined(_WIN32)
inline char* reserve(size_t bytes) {
    return static_cast<char*>(VirtualAlloc(nullptr, bytes, MEM_RESERVE, PAGE_NOACCESS));
}
inline bool commit(char* p, size_t, size_t bytes) {
    return VirtualAlloc(p, bytes, MEM_COMMIT, PAGE_READWRITE) != nullptr;
}
inline bool map(char*, size_t, const File&, uint64_t, Access) { return false; }
inline void release(char* p, size_t) { VirtualFree(p, 0, MEM_RELEASE); }
#else
inline char* reserve(size_t bytes) { return static_cast<char*>(std::calloc(1, bytes)); }
inline bool commit(char*, size_t, size_t) { return true; }
inline bool map(char*, size_t, const File&, uint64_t, Access) { return false; }
inline void release(char* p, size_t) { std::free(p); }
#endif

}  // namespace pages

class Region {
  public:
    Region() = default;
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;
    ~Region() { release(); }

    char* data() const { return data_; }
    size_t size() const { return size_; }

    void swap(Region& other) {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(reserved_, other.reserved_);
        std::swap(from_file_, other.from_file_);
    }

    // At least `bytes` are usable afterwards; throws std::bad_alloc and changes nothing if there is no memory.
    void grow(size_t bytes, size_t reserve_bytes) {
        bytes = whole_pages(bytes);
        if (bytes <= size_) return;
        if (bytes > reserved_) {
            move_to(bytes, std::max(std::min(whole_pages(reserve_bytes), kAheadAtMost), 2 * reserved_));
        } else if (!pages::commit(data_, from_file_, bytes)) {
            throw std::bad_alloc();
        }
        size_ = bytes;
    }

    // The empty region becomes what the file holds there, mapped if the machine can, and grows as any other.
    // What lies between the stretch and the end of its last page may hold anything.
    void load(const File& file, const Stretch& stretch, size_t reserve_bytes, Access access) {
        const size_t bytes = stretch.length;
        if (bytes == 0) return;
        reserved_ = whole_pages(std::max(bytes, std::min(reserve_bytes, kAheadAtMost)));
        data_ = pages::reserve(reserved_);
        if (!data_) data_ = pages::reserve(reserved_ = whole_pages(bytes));
        if (!data_) throw std::bad_alloc();
        if (pages::map(data_, bytes, file, stretch.offset, access)) {
            from_file_ = whole_pages(bytes);
        } else {
            if (!pages::commit(data_, 0, whole_pages(bytes))) throw std::bad_alloc();
            file.read(stretch.offset, data_, bytes);
        }
        size_ = bytes;
    }

  private:
    char* data_ = nullptr;
    size_t size_ = 0;
    size_t reserved_ = 0;
    size_t from_file_ = 0;
    static constexpr size_t kAheadAtMost = size_t{1} << 34;

    static size_t whole_pages(size_t bytes) {
        const size_t page = size_t{1} << 16;
        return (bytes + page - 1) / page * page;
    }

    void move_to(size_t bytes, size_t wished) {
        size_t reserved = std::max(bytes, wished);
        char* fresh = pages::reserve(reserved);
        if (!fresh && reserved > bytes) fresh = pages::reserve(reserved = bytes);
        if (!fresh) throw std::bad_alloc();
        if (!pages::commit(fresh, 0, bytes)) {
            pages::release(fresh, reserved);
            throw std::bad_alloc();
        }
        if (size_) std::memcpy(fresh, data_, size_);
        release();
        data_ = fresh;
        reserved_ = reserved;
        from_file_ = 0;
    }

    void release() {
        if (data_) pages::release(data_, reserved_);
        data_ = nullptr;
    }
};

}  // namespace medha
