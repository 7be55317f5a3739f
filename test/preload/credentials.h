// SPDX-License-Identifier: Apache-2.0
// What setuid and its family have changed, as the kernel says it of each kernel thread of the process.
#ifndef TEST_PRELOAD_CREDENTIALS_H_
#define TEST_PRELOAD_CREDENTIALS_H_

#include <dirent.h>
#include <grp.h>
#include <sched.h>

#include <fstream>
#include <set>
#include <string>
#include <utility>

#include "util.h"

namespace test {

inline constexpr uid_t kOther = 12'345;

// The credentials of all kernel threads that have not ended, each once: one entry, if all have the same.
inline std::set<std::string> CredentialsOfAll() {
  std::set<std::string> all;
  DIR* tasks = opendir("/proc/self/task");
  EXPECT_NE(tasks, nullptr);
  while (const dirent* task = readdir(tasks)) {
    std::ifstream status("/proc/self/task/" + std::string(task->d_name) + "/status");
    std::string its;
    bool ended = false;
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("State:"))
        ended = line.find('Z') != std::string::npos || line.find('X') != std::string::npos;
      if (line.starts_with("Uid:") || line.starts_with("Gid:") || line.starts_with("Groups:")) its += line + "\n";
    }
    if (!its.empty() && !ended) all.insert(its);
  }
  closedir(tasks);
  return all;
}

// Whether all kernel threads have `user` as their effective user, and the same credentials otherwise. One that libc
// ends runs no code of the program's any more, is not asked, natively either, and is seen for a moment.
inline bool AllHave(uid_t user) {
  Eventually([] { return CredentialsOfAll().size() == 1; });
  const auto all = CredentialsOfAll();
  const std::string users = all.begin()->substr(0, all.begin()->find('\n'));
  const bool same =
      all.size() == 1 && users.find("\t" + std::to_string(user) + "\t", users.find('\t') + 1) != users.npos;
  if (!same)
    for (const auto& its : all) fprintf(stderr, "not %u for all:\n%s", user, its.c_str());
  return same;
}

// Changes them, and back. False: a call failed, or not all kernel threads have what was asked for.
inline bool ChangeThereAndBack() {
  const gid_t groups[] = {1, 2, 3};
  for (int i = 0; i < 3; ++i) {
    if (setgroups(i, groups) != 0 || setegid(kOther) != 0) return false;
    if (seteuid(kOther) != 0 || !AllHave(kOther)) return false;
    if (seteuid(0) != 0 || !AllHave(0)) return false;
    if (setegid(0) != 0 || initgroups("root", 0) != 0 || !AllHave(0)) return false;
  }
  return true;
}

// The calling thread is a kernel thread from now on.
inline void BindToOneCpu() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  EXPECT_EQ(sched_getaffinity(0, sizeof cpus, &cpus), 0);
  int first = 0;
  while (!CPU_ISSET(first, &cpus)) ++first;
  CPU_ZERO(&cpus);
  CPU_SET(first, &cpus);
  EXPECT_EQ(pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus), 0);
}

}  // namespace test

#endif  // TEST_PRELOAD_CREDENTIALS_H_
