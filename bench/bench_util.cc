// SPDX-License-Identifier: Apache-2.0
// The helpers of the thread benchmarks; it measures nothing itself.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <vector>

#include "bench.h"

namespace bench {

int64_t now_ns() {
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

int64_t loops_for_ns(int64_t ns) {
  static const double loops_per_ns = [] {
    constexpr int64_t kLoops = 20'000;
    int64_t best = std::numeric_limits<int64_t>::max();
    uint64_t x = 1;
    for (int i = 0; i < 100; i++) {
      const int64_t start = now_ns();
      x = spin(x, kLoops);
      best = std::min(best, now_ns() - start);
    }
    return static_cast<double>(kLoops) / static_cast<double>(std::max<int64_t>(best, 1));
  }();
  return static_cast<int64_t>(loops_per_ns * static_cast<double>(ns));
}

// ---- limits -----------------------------------------------------------------------------------

namespace {

// The number after "name" and an optional colon in a file of such lines, or -1.
int64_t field_of(const char* path, const std::string& name) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    if (word != name && word != name + ":") continue;
    int64_t value;
    return file >> value ? value : -1;
  }
  return -1;
}

void lower_to_file(const std::string& path, int64_t share, int64_t* limit) {
  std::ifstream file(path);
  int64_t value;
  if (file >> value) *limit = std::min(*limit, value / share);
}

// What the kernel's own limits leave for one process.
int64_t kernel_thread_limit() {
  int64_t limit = std::numeric_limits<int64_t>::max();
  lower_to_file("/proc/sys/kernel/pid_max", 1, &limit);
  lower_to_file("/proc/sys/kernel/threads-max", 1, &limit);
  lower_to_file("/proc/sys/vm/max_map_count", 2, &limit);  // a stack and its guard
  rlimit nproc;
  if (getrlimit(RLIMIT_NPROC, &nproc) == 0 && nproc.rlim_cur != RLIM_INFINITY) {
    limit = std::min(limit, static_cast<int64_t>(nproc.rlim_cur));
  }
  std::ifstream cgroups("/proc/self/cgroup");
  for (std::string line; std::getline(cgroups, line);) {  // "id:controllers:path", v2 names none
    const size_t names = line.find(':') + 1;
    const size_t path = line.find(':', names) + 1;
    if (names == 0 || path == 0) continue;
    const std::string controllers = line.substr(names, path - 1 - names);
    if (!controllers.empty() && controllers != "pids") continue;
    const std::string root = "/sys/fs/cgroup/" + controllers;
    for (std::string dir = line.substr(path);;) {
      lower_to_file(root + dir + "/pids.max", 1, &limit);
      const size_t slash = dir.rfind('/');
      if (slash == std::string::npos) break;
      dir.resize(slash);
    }
  }
  return limit;
}

struct Probe {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
  int waiting = 0;
  bool over = false;
};

void* probe_main(void* arg) {
  auto* probe = static_cast<Probe*>(arg);
  pthread_mutex_lock(&probe->lock);
  probe->waiting++;
  pthread_cond_broadcast(&probe->changed);
  while (!probe->over) pthread_cond_wait(&probe->changed, &probe->lock);
  pthread_mutex_unlock(&probe->lock);
  return nullptr;
}

// Whether a waiting thread costs a kernel thread: asks the kernel how many it sees.
bool threads_are_kernel_threads() {
  static const bool answer = [] {
    constexpr int kThreads = 512;  // more than a user-level scheduler has kernel threads
    Probe probe;
    std::vector<pthread_t> ids;
    for (int i = 0; i < kThreads; i++) {
      pthread_t id;
      if (pthread_create(&id, nullptr, probe_main, &probe) == 0) ids.push_back(id);
    }
    const int made = static_cast<int>(ids.size());
    pthread_mutex_lock(&probe.lock);
    while (probe.waiting < made) pthread_cond_wait(&probe.changed, &probe.lock);
    const int64_t seen = proc_status("Threads");
    probe.over = true;
    pthread_cond_broadcast(&probe.changed);
    pthread_mutex_unlock(&probe.lock);
    for (pthread_t id : ids) pthread_join(id, nullptr);
    return made < kThreads || seen < 0 || seen > made;
  }();
  return answer;
}

}  // namespace

int64_t proc_status(const char* field) {
  return field_of("/proc/self/status", field);
}

std::string cannot_have(int64_t threads) {
  constexpr int64_t kKernelThreadKb = 40;
  constexpr int64_t kUserThreadKb = 14;
  const int64_t limit = kernel_thread_limit() / 2;
  const int64_t available = field_of("/proc/meminfo", "MemAvailable");
  const auto fits = [&](int64_t kb_each) { return available < 0 || threads * kb_each <= available; };
  if (threads <= limit && fits(kKernelThreadKb)) return "";  // whatever the threads are

  const bool kernel = threads_are_kernel_threads();
  if (kernel && threads > limit) {
    return "cannot: " + std::to_string(threads) + " threads, the limit here is " + std::to_string(limit);
  }
  const int64_t kb_each = kernel ? kKernelThreadKb : kUserThreadKb;
  if (fits(kb_each)) return "";
  return "skipped: " + std::to_string(threads) + " threads may need " + std::to_string(threads * kb_each / 1024) +
         " MiB, " + std::to_string(available / 1024) + " are available";
}

int64_t at_most(int64_t wanted) {
  const int64_t limit = kernel_thread_limit() / 2;
  return wanted <= limit || !threads_are_kernel_threads() ? wanted : limit;
}

// ---- crew -------------------------------------------------------------------------------------

namespace {

struct Crew;

struct Member {
  Crew* crew;
  int index;
  int64_t start;
  int64_t end;
};

struct Crew {
  enum class Phase { kGather, kGo, kGiveUp };

  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t all_here = PTHREAD_COND_INITIALIZER;
  pthread_cond_t let_go = PTHREAD_COND_INITIALIZER;
  Phase phase = Phase::kGather;
  int here = 0;
  int size = 0;
  const std::function<void(int)>* body = nullptr;
};

void* member_main(void* arg) {
  auto* member = static_cast<Member*>(arg);
  Crew* crew = member->crew;
  pthread_mutex_lock(&crew->lock);
  if (++crew->here == crew->size) pthread_cond_signal(&crew->all_here);
  while (crew->phase == Crew::Phase::kGather) pthread_cond_wait(&crew->let_go, &crew->lock);
  const bool go = crew->phase == Crew::Phase::kGo;
  pthread_mutex_unlock(&crew->lock);
  if (!go) return nullptr;
  member->start = now_ns();
  (*crew->body)(member->index);
  member->end = now_ns();
  return nullptr;
}

int64_t kernel_switches() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nvcsw + usage.ru_nivcsw;
}

}  // namespace

int64_t run_crew(int threads, const std::function<void(int)>& body) {
  Crew crew;
  crew.size = threads;
  crew.body = &body;
  std::vector<Member> members(static_cast<size_t>(threads));
  std::vector<pthread_t> ids;
  for (int i = 0; i < threads; i++) {
    Member& member = members[static_cast<size_t>(i)];
    member = {&crew, i, 0, 0};
    pthread_t id;
    if (pthread_create(&id, nullptr, member_main, &member) != 0) break;
    ids.push_back(id);
  }
  const bool complete = ids.size() == members.size();
  pthread_mutex_lock(&crew.lock);
  while (complete && crew.here < threads) pthread_cond_wait(&crew.all_here, &crew.lock);
  crew.phase = complete ? Crew::Phase::kGo : Crew::Phase::kGiveUp;
  pthread_cond_broadcast(&crew.let_go);
  pthread_mutex_unlock(&crew.lock);
  for (pthread_t id : ids) pthread_join(id, nullptr);
  if (!complete) return -1;

  int64_t first = std::numeric_limits<int64_t>::max();
  int64_t last = 0;
  for (const Member& member : members) {
    first = std::min(first, member.start);
    last = std::max(last, member.end);
  }
  return last - first;
}

void crew_benchmark(benchmark::State& state, int threads, int threads_per_op, int64_t least,
                    const std::function<void(int, int64_t)>& body) {
  const int64_t teams = threads / threads_per_op;
  const int64_t each = std::max<int64_t>(least, (state.max_iterations + teams - 1) / teams);
  while (state.KeepRunningBatch(teams * each)) {
    const int64_t switches = kernel_switches();
    const int64_t ns = run_crew(threads, [&](int index) { body(index, each); });
    if (ns < 0) {
      state.SkipWithError("cannot: pthread_create failed");
      break;
    }
    state.SetIterationTime(static_cast<double>(ns) * 1e-9);
    state.counters["kernel_switches"] =
        static_cast<double>(kernel_switches() - switches) / static_cast<double>(teams * each);
  }
}

}  // namespace bench
