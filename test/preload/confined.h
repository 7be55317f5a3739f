// SPDX-License-Identifier: Apache-2.0
// Seccomp filters as a program installs them on itself.
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <vector>

namespace test {

// kDirectly: by a system call instruction of the program's own, past libc.
enum class How { kPrctl, kSeccomp, kEveryThread, kDirectly };

inline bool Install(std::vector<sock_filter> filter, How how) {
  sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
  if (how == How::kPrctl) return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
  if (how == How::kDirectly) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(SYS_seccomp), "D"(SECCOMP_SET_MODE_FILTER), "S"(0), "d"(&program)
                     : "rcx", "r11", "memory");
    return result == 0;
  }
  unsigned flags = how == How::kEveryThread ? SECCOMP_FILTER_FLAG_TSYNC : 0;
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) == 0;
}

// What is listed gets `listed`, all else `other`.
inline std::vector<sock_filter> FilterOf(const std::vector<long>& calls, uint32_t listed, uint32_t other) {
  std::vector<sock_filter> filter{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (long nr : calls) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(nr), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, listed));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, other));
  return filter;
}

inline std::vector<sock_filter> AllowOnly(const std::vector<long>& calls, uint32_t other) {
  return FilterOf(calls, SECCOMP_RET_ALLOW, other);
}
inline std::vector<sock_filter> RefuseOnly(const std::vector<long>& calls, int error) {
  return FilterOf(calls, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error), SECCOMP_RET_ALLOW);
}

}  // namespace test
