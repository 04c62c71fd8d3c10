// SPDX-License-Identifier: Apache-2.0
#include "base/threads.h"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

namespace bitlens {
namespace {

constexpr auto kSpin = std::chrono::microseconds(50);

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Spins until done() or 50 us have gone by; returns done().
template <typename Done>
bool spin(Done done) {
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 64; ++i) {
      if (done()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() - start < kSpin);
  return done();
}

// A job is open while `state_` is odd. A worker enters by raising `inside_` and then finding the state unchanged; the
// caller leaves by closing the state and then finding `inside_` zero. Both orders are sequentially consistent, so a
// worker that is in is seen, and one that comes late never touches the job.
class ThreadPool {
 public:
  // False when another thread's job is running.
  bool try_run(int64_t items, int threads, ParallelFunction function, void* context) {
    std::unique_lock<std::mutex> one_job(job_mutex_, std::try_to_lock);
    if (!one_job) return false;
    const int helpers = start_workers(threads - 1);
    items_ = items;
    function_ = function;
    context_ = context;
    next_.store(0, std::memory_order_relaxed);
    epoch_ += 1;
    const uint64_t open = epoch_ << 9 | static_cast<uint64_t>(helpers) << 1 | 1;
    state_.store(open);
    if (parked_.load() > 0) {
      const std::lock_guard<std::mutex> lock(park_mutex_);
      wake_.notify_all();
    }
    work(0);
    state_.store(open & ~uint64_t{1});
    const auto empty = [this] { return inside_.load() == 0; };
    if (!spin(empty)) {
      std::unique_lock<std::mutex> lock(park_mutex_);
      waiting_.store(true);
      empty_.wait(lock, empty);
      waiting_.store(false);
    }
    return true;
  }

 private:
  int start_workers(int wanted) {
    while (workers_ < wanted) {
      try {
        std::thread(&ThreadPool::serve, this, workers_ + 1).detach();
      } catch (const std::system_error&) {
        return workers_;  // fewer threads are slower, not wrong
      }
      ++workers_;
    }
    return wanted;
  }

  void work(int worker) {
    for (;;) {
      const int64_t item = next_.fetch_add(1, std::memory_order_relaxed);
      if (item >= items_) return;
      function_(context_, item, worker);
    }
  }

  void serve(int worker) {
    uint64_t seen = 0;
    for (;;) {
      uint64_t state = seen;
      const auto changed = [&] { return (state = state_.load()) != seen; };
      if (!spin(changed)) {
        std::unique_lock<std::mutex> lock(park_mutex_);
        parked_.fetch_add(1);
        wake_.wait(lock, changed);
        parked_.fetch_sub(1);
      }
      seen = state;
      const int helpers = static_cast<int>(state >> 1 & 0xff);
      if ((state & 1) == 0 || worker > helpers) continue;
      inside_.fetch_add(1);
      if (state_.load() == state) work(worker);
      if (inside_.fetch_sub(1) == 1 && waiting_.load()) {
        const std::lock_guard<std::mutex> lock(park_mutex_);
        empty_.notify_one();
      }
    }
  }

  std::mutex job_mutex_;  // held while a job runs
  int workers_ = 0;
  uint64_t epoch_ = 0;
  int64_t items_ = 0;
  ParallelFunction function_ = nullptr;
  void* context_ = nullptr;

  std::atomic<int64_t> next_{0};
  std::atomic<uint64_t> state_{0};  // epoch << 9 | helpers << 1 | open
  std::atomic<int> inside_{0};

  std::mutex park_mutex_;
  std::condition_variable wake_, empty_;
  std::atomic<int> parked_{0};
  std::atomic<bool> waiting_{false};
};

std::atomic<ThreadPool*> process_pool{nullptr};

// The pool is never destroyed: its workers may outlive every static object.
ThreadPool* pool() {
  ThreadPool* current = process_pool.load(std::memory_order_acquire);
  if (current != nullptr) return current;
  static const int registered = pthread_atfork(nullptr, nullptr, [] { process_pool.store(nullptr); });
  static_cast<void>(registered);
  auto* fresh = new ThreadPool;
  if (process_pool.compare_exchange_strong(current, fresh)) return fresh;
  delete fresh;
  return current;
}

}  // namespace

void parallel_for(int64_t items, int threads, ParallelFunction function, void* context) {
  threads = static_cast<int>(threads < items ? threads : items);
  if (threads > kMostThreads) threads = kMostThreads;
  if (threads > 1 && pool()->try_run(items, threads, function, context)) return;
  for (int64_t item = 0; item < items; ++item) function(context, item, 0);
}

}  // namespace bitlens
