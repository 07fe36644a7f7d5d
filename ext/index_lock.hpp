// A shared/exclusive lock under which neither side starves: a waiting writer closes the door to new readers, and
// a writer that leaves lets every reader waiting at that moment in before the next writer ("phase-fair").
// std::shared_mutex leaves this choice to the platform, and glibc's prefers readers for ever.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace medha {

class FairLock {
  public:
    void lock_shared() {
        std::unique_lock<std::mutex> guard(mutex_);
        if (writing_ || waiting_writers_ > 0) {
            waiting_readers_++;
            const uint64_t phase = phase_;
            reader_door_.wait(guard, [&] { return phase != phase_; });
            return;  // the leaving writer has counted us in
        }
        readers_++;
    }

    void unlock_shared() {
        std::lock_guard<std::mutex> guard(mutex_);
        if (--readers_ == 0 && waiting_writers_ > 0) writer_door_.notify_one();
    }

    void lock() {
        std::unique_lock<std::mutex> guard(mutex_);
        waiting_writers_++;
        writer_door_.wait(guard, [&] { return !writing_ && readers_ == 0; });
        waiting_writers_--;
        writing_ = true;
    }

    void unlock() {
        std::lock_guard<std::mutex> guard(mutex_);
        writing_ = false;
        if (waiting_readers_ > 0) {
            readers_ += waiting_readers_;
            waiting_readers_ = 0;
            phase_++;
            reader_door_.notify_all();
        } else if (waiting_writers_ > 0) {
            writer_door_.notify_one();
        }
    }

  private:
    std::mutex mutex_;
    std::condition_variable reader_door_, writer_door_;
    // Changed under mutex_ only.
    uint64_t phase_ = 0;
    uint32_t readers_ = 0, waiting_readers_ = 0, waiting_writers_ = 0;
    bool writing_ = false;
};

}  // namespace medha
