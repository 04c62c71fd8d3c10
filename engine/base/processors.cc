// SPDX-License-Identifier: Apache-2.0
// How many processors this process may use.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "base/threads.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace bitlens {
namespace {

#if defined(__linux__)
std::string read_line(const std::string& path) {
  char text[512] = "";
  if (std::FILE* file = std::fopen(path.c_str(), "r")) {
    if (std::fgets(text, sizeof text, file) == nullptr) text[0] = '\0';
    std::fclose(file);
  }
  return text;
}

// Processors of "quota period" in microseconds; 0 for "max" or nothing.
double quota_of(const std::string& line) {
  double quota = 0, period = 0;
  if (std::sscanf(line.c_str(), "%lf %lf", &quota, &period) != 2 || quota <= 0 || period <= 0) return 0;
  return quota / period;
}

// The smallest quota from this process's cgroup (version 2) up to the root, or of version 1; 0 when there is none.
double cgroup_quota() {
  double least = 0;
  const auto take = [&least](double quota) {
    if (quota > 0) least = least > 0 ? std::min(least, quota) : quota;
  };
  std::string path = read_line("/proc/self/cgroup");
  if (path.compare(0, 3, "0::") == 0) {
    path = path.substr(3, path.find('\n') - 3);
    for (;;) {
      take(quota_of(read_line("/sys/fs/cgroup" + path + "/cpu.max")));
      const size_t slash = path.rfind('/');
      if (slash == std::string::npos || path.empty()) break;
      path.resize(slash);
    }
  }
  const std::string quota = read_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  take(quota_of(quota + " " + read_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us")));
  return least;
}
#endif

}  // namespace

int available_threads() {
  int count = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) count = CPU_COUNT(&allowed);
  const double quota = cgroup_quota();
  if (quota > 0) count = std::min(count, static_cast<int>(std::ceil(quota)));
#endif
  return std::clamp(count, 1, kMostThreads);
}

}  // namespace bitlens
