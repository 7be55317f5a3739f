// SPDX-License-Identifier: Apache-2.0
// What tests that switch stacks owe to the sanitizers.
#pragma once

#include <sanitizer/asan_interface.h>

#include <cstddef>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifndef TEST_ASAN
#define TEST_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#endif
#endif
#ifndef TEST_TSAN
#define TEST_TSAN 0
#endif

// A sanitizer replaces libc's malloc with its own.
#define TEST_LIBC_MALLOC (!TEST_ASAN && !TEST_TSAN)

namespace test {

inline volatile bool always = true;

// Heads the loop of a context that never ends. Before a call that cannot return AddressSanitizer clears its marks from
// the kernel thread's stack, which is not the one it stands on; so the compiler must not know that an entry does not
// return.
inline bool Always() {
  return always;
}

// Ends a context that nobody resumes.
inline void NeverResumed() {
  if (always) abort();
}

// Frames that were abandoned have left AddressSanitizer's marks on a stack.
inline void MakeFresh(void* base, size_t size) {
  ASAN_UNPOISON_MEMORY_REGION(base, size);
  static_cast<void>(base);
  static_cast<void>(size);
}

}  // namespace test
