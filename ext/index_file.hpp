// The sections of an index file: written in one go, read or mapped in one go. What the header says, and
// whether it can be believed, is medha_core/index_file.py; here every offset and length is already checked.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <string>

#if defined(_WIN32)
#include <io.h>
#else
#include <unistd.h>
#endif

#include "xxh3.hpp"

namespace medha {

// Stands in files as a number: never change one, only add.
enum Section : uint32_t {
    kLabels,
    kVectors,
    kSignBits,
    kLowPrefixes,
    kHighPrefixes,
    kBlocks,
    kUpperStarts,
    kUpperLinks,
    kLabelTable,
    kSections
};

// Sections start at whole pages of every machine whose pages are no larger than this; elsewhere they are read.
constexpr uint64_t kSectionAlignment = 16384;

struct Stretch {
    uint64_t offset = 0, length = 0;
    Key128 checksum{0, 0};
};

// What a file says beside its sections.
struct IndexCounts {
    uint64_t entries = 0;  // slots, tombstones included
    uint64_t joined = 0;
    uint64_t tombstones = 0;
    uint32_t entry_point = 0;
    int32_t top_level = -1;
};

// The operating system refused to read or write.
class FileError : public std::exception {
  public:
    explicit FileError(const char* act, int error) : text_(std::string(act) + ": " + std::strerror(error)) {}
    const char* what() const noexcept override { return text_.c_str(); }

  private:
    std::string text_;
};

enum class Failure { kMemory, kFile, kOther };

// Which failure is being handled, and what it says.
inline Failure current_failure(std::string& what) {
    try {
        throw;
    } catch (const std::bad_alloc&) {
        return Failure::kMemory;
    } catch (const FileError& error) {
        what = error.what();
        return Failure::kFile;
    } catch (const std::exception& error) {
        what = error.what();
        return Failure::kOther;
    }
}

// An open file descriptor that somebody else closes.
class File {
  public:
    explicit File(int descriptor) : descriptor_(descriptor) {}
    int descriptor() const { return descriptor_; }

    void write(uint64_t offset, const char* data, size_t bytes) const {
        seek(offset);
        while (bytes > 0) {
            const auto n = write_some(data, bytes);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) throw FileError("cannot be written", errno);
            data += n;
            bytes -= static_cast<size_t>(n);
        }
    }

    void read(uint64_t offset, char* data, size_t bytes) const {
        seek(offset);
        while (bytes > 0) {
            const auto n = read_some(data, bytes);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) throw FileError("cannot be read", n < 0 ? errno : EIO);
            data += n;
            bytes -= static_cast<size_t>(n);
        }
    }

  private:
    static constexpr size_t kAtOnce = size_t{1} << 26;
    int descriptor_;

#if defined(_WIN32)
    void seek(uint64_t offset) const {
        if (_lseeki64(descriptor_, static_cast<int64_t>(offset), SEEK_SET) < 0) throw FileError("cannot be sought", errno);
    }
    int write_some(const char* data, size_t n) const {
        return _write(descriptor_, data, static_cast<unsigned>(n < kAtOnce ? n : kAtOnce));
    }
    int read_some(char* data, size_t n) const {
        return _read(descriptor_, data, static_cast<unsigned>(n < kAtOnce ? n : kAtOnce));
    }
#else
    void seek(uint64_t offset) const {
        if (lseek(descriptor_, static_cast<off_t>(offset), SEEK_SET) < 0) throw FileError("cannot be sought", errno);
    }
    ssize_t write_some(const char* data, size_t n) const { return ::write(descriptor_, data, n < kAtOnce ? n : kAtOnce); }
    ssize_t read_some(char* data, size_t n) const { return ::read(descriptor_, data, n < kAtOnce ? n : kAtOnce); }
#endif
};

// Lays sections one after the other into a file, from `start` on.
class SectionWriter {
  public:
    SectionWriter(File file, uint64_t start, Stretch* stretches) : file_(file), at_(start), stretches_(stretches) {}

    void write(Section section, const void* data, size_t bytes) {
        at_ = (at_ + kSectionAlignment - 1) / kSectionAlignment * kSectionAlignment;
        file_.write(at_, static_cast<const char*>(data), bytes);
        stretches_[section] = {at_, bytes, xxh3::hash(data, bytes)};
        at_ += bytes;
    }

  private:
    File file_;
    uint64_t at_;
    Stretch* stretches_;
};

}  // namespace medha
