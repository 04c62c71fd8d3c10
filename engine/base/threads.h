// SPDX-License-Identifier: Apache-2.0
// The one thread pool of a process.
//
// Workers spin for at most 50 us after their last job, then park. One job runs at a time; a job that finds the pool
// busy (another thread of the process is running one) runs on the calling thread alone, so nothing ever waits for a
// stranger's job. After fork() the child starts a pool of its own.
#ifndef BITLENS_BASE_THREADS_H_
#define BITLENS_BASE_THREADS_H_

#include <cstdint>

namespace bitlens {

constexpr int kMostThreads = 64;

// Threads worth starting: processors of the affinity mask, and no more than the cgroup's quota.
int available_threads();

using ParallelFunction = void (*)(void* context, int64_t item, int worker);

// Calls function(context, item, worker) once for every item in 0..items-1, on up to `threads` threads; worker < threads
// tells them apart. Returns when all calls have.
void parallel_for(int64_t items, int threads, ParallelFunction function, void* context);

// The same for a callable.
template <typename F>
void parallel_for(int64_t items, int threads, F&& f) {
  parallel_for(
      items, threads, [](void* context, int64_t item, int worker) { (*static_cast<F*>(context))(item, worker); }, &f);
}

}  // namespace bitlens

#endif  // BITLENS_BASE_THREADS_H_
