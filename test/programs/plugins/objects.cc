// SPDX-License-Identifier: Apache-2.0
// A library with a thread_local object that has a destructor, and which says when it is unloaded.
namespace {

int* g_alive = nullptr;
int* g_unloaded = nullptr;

struct Object {
  Object() { __atomic_add_fetch(g_alive, 1, __ATOMIC_SEQ_CST); }
  ~Object() { __atomic_sub_fetch(g_alive, 1, __ATOMIC_SEQ_CST); }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  int touched = 0;
};

thread_local Object t_object;

__attribute__((destructor)) void Unload() {
  if (g_unloaded != nullptr) __atomic_add_fetch(g_unloaded, 1, __ATOMIC_SEQ_CST);
}

}  // namespace

extern "C" {

// Where to count.
void ObjectsWatch(int* alive, int* unloaded) {
  g_alive = alive;
  g_unloaded = unloaded;
}

// How often the thread has.
int ObjectsTouch() {
  return ++t_object.touched;
}
}
