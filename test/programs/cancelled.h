// SPDX-License-Identifier: Apache-2.0
// Threads that are to be cancelled: each has an object on its stack, and says when it is about to do what it does.
#pragma once

#include "threads.h"

inline std::atomic<int> g_objects{0}, g_made{0};

struct Object {
  Object() {
    ++g_objects;
    ++g_made;
  }
  ~Object() { --g_objects; }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
};

inline void SetState(int state) {
  Expect(pthread_setcancelstate(state, nullptr) == 0, "pthread_setcancelstate");
}
inline void SetType(int type) {
  Expect(pthread_setcanceltype(type, nullptr) == 0, "pthread_setcanceltype");
}

inline void* Join(pthread_t thread, const char* what) {
  timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += 20;
  void* result = nullptr;
  const int error = pthread_timedjoin_np(thread, &result, &end);
  if (error != 0) Fail(what, error);
  return result;
}

inline void ExpectCancelled(pthread_t thread, const char* what) {
  Expect(Join(thread, what) == PTHREAD_CANCELED, what, 1);
  Expect(g_objects == 0, what, g_objects);
}

// A thread that has an object, and says when it is about to do what it does.
inline std::atomic<bool> g_ready{false}, g_go_on{false};
inline pthread_t Start(void (*act)(), bool await = true) {
  g_ready = g_go_on = false;
  pthread_t thread;
  const int error = pthread_create(
      &thread, nullptr,
      [](void* body) -> void* {
        const Object object;
        reinterpret_cast<void (*)()>(body)();
        return nullptr;
      },
      reinterpret_cast<void*>(act));
  Expect(error == 0, "pthread_create", error);
  if (await) Await([] { return g_ready.load(); }, "a thread begins");
  return thread;
}

inline void Cancel(pthread_t thread) {
  Expect(pthread_cancel(thread) == 0, "pthread_cancel");
}
