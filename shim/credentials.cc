// SPDX-License-Identifier: Apache-2.0
// Credentials of the process, and what a thread has for itself alone.
#include "runtime/thread/credentials.h"

#include <grp.h>
#include <limits.h>
#include <sys/fsuid.h>

#include "runtime/os/memory.h"
#include "runtime/thread/kernel_state.h"
#include "runtime/thread/thread.h"
#include "shim/shim.h"
#include "shim/wait.h"

using namespace mn;

namespace {

template <class Call>
int change(Call call) {
  return on() ? change_credentials(call) : call();
}

// A child of vfork is a kernel thread of its own.
template <class Call>
int change_own(Call call) {
  if (on()) keep_kernel_state(Kept::kOwn);
  return call();
}

}  // namespace

MN_SHIM int setuid(uid_t user) {
  return change([=] { return real.setuid(user); });
}
MN_SHIM int seteuid(uid_t user) {
  return change([=] { return real.seteuid(user); });
}
MN_SHIM int setreuid(uid_t user, uid_t effective) {
  return change([=] { return real.setreuid(user, effective); });
}
MN_SHIM int setresuid(uid_t user, uid_t effective, uid_t saved) {
  return change([=] { return real.setresuid(user, effective, saved); });
}
MN_SHIM int setgid(gid_t group) {
  return change([=] { return real.setgid(group); });
}
MN_SHIM int setegid(gid_t group) {
  return change([=] { return real.setegid(group); });
}
MN_SHIM int setregid(gid_t group, gid_t effective) {
  return change([=] { return real.setregid(group, effective); });
}
MN_SHIM int setresgid(gid_t group, gid_t effective, gid_t saved) {
  return change([=] { return real.setresgid(group, effective, saved); });
}
MN_SHIM int setgroups(size_t count, const gid_t* groups) {
  return change([=] { return real.setgroups(count, groups); });
}

// libc's looks the groups up, which takes libraries and locks, and sets them, which is ours.
MN_SHIM int initgroups(const char* user, gid_t group) {
  if (!scheduled()) return real.initgroups(user, group);
  constexpr size_t kBytes = NGROUPS_MAX * sizeof(gid_t);
  auto* groups = static_cast<gid_t*>(map_memory(kBytes));
  if (groups == nullptr) return errno_result(ENOMEM);
  int count = NGROUPS_MAX;
  if (real.getgrouplist(user, group, groups, &count) < 0) count = NGROUPS_MAX;  // as many as there is room for
  int result = ::setgroups(static_cast<size_t>(count), groups);
  int error = errno;
  unmap_memory(groups, kBytes);
  errno = error;
  return result;
}

MN_SHIM int setfsuid(uid_t user) {
  return change_own([=] { return real.setfsuid(user); });
}
MN_SHIM int setfsgid(gid_t group) {
  return change_own([=] { return real.setfsgid(group); });
}
MN_SHIM int unshare(int flags) {
  return change_own([=] { return real.unshare(flags); });
}
MN_SHIM int setns(int fd, int type) {
  return change_own([=] { return real.setns(fd, type); });
}
