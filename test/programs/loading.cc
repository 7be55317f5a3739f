// SPDX-License-Identifier: Apache-2.0
// Libraries that are loaded and unloaded while two thousand threads exist and wait, each of which then finds its own
// fresh copy of the library's thread-local variables: of all models of access, aligned, and large; libraries with
// thread_local objects, and with threads of their own (plugins/); dlopen by many threads at once, in a forked child,
// and while others look at what is loaded; and the functions that dlsym finds.
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "chaos.h"

namespace {

constexpr int kThreads = 2000, kFewThreads = 40, kChildSeconds = 60, kStackSize = 128 * 1024;

std::string Path(const char* name) {
  char path[PATH_MAX] = {};
  Check(static_cast<int>(readlink("/proc/self/exe", path, sizeof path - 1)), "readlink");
  const std::string program = path;
  return program.substr(0, program.rfind('/')) + "/plugins/" + name + ".so";
}

class Library {
 public:
  explicit Library(const char* name, int flags = RTLD_NOW) : handle_(dlopen(Path(name).c_str(), flags)) {
    if (handle_ == nullptr) Fail(dlerror());
  }
  ~Library() { Close(); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  template <class Function>
  Function* Find(const char* name) const {
    void* found = dlsym(handle_, name);
    if (found == nullptr) Fail(dlerror());
    return reinterpret_cast<Function*>(found);
  }
  void Close() {
    if (handle_ != nullptr && dlclose(handle_) != 0) Fail(dlerror());
    handle_ = nullptr;
  }

 private:
  void* handle_;
};

// Threads that wait, and all do the same when they are told.
class Crew {
 public:
  explicit Crew(int threads) : threads_(static_cast<size_t>(threads)) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kStackSize);
    for (pthread_t& thread : threads_)
      if (const int error = pthread_create(&thread, &attributes, Live, this); error != 0) Fail("pthread_create", error);
    pthread_attr_destroy(&attributes);
    Do([](int) {});
  }
  ~Crew() { End(); }
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // Every thread does it, with its number, from 1.
  void Do(const std::function<void(int)>& task) {
    pthread_mutex_lock(&mutex_);
    task_ = &task;
    done_ = 0;
    ++round_;
    pthread_cond_broadcast(&next_);
    while (done_ < static_cast<int>(threads_.size())) pthread_cond_wait(&all_done_, &mutex_);
    pthread_mutex_unlock(&mutex_);
  }
  void End() {
    pthread_mutex_lock(&mutex_);
    task_ = nullptr;
    ++round_;
    pthread_cond_broadcast(&next_);
    pthread_mutex_unlock(&mutex_);
    for (const pthread_t thread : threads_)
      if (pthread_join(thread, nullptr) != 0) Fail("pthread_join");
    threads_.clear();
  }

 private:
  static void* Live(void* argument) {
    static_cast<Crew*>(argument)->Work();
    return nullptr;
  }
  void Work() {
    pthread_mutex_lock(&mutex_);
    const int me = ++number_;
    for (int seen = 0;;) {
      while (round_ == seen) pthread_cond_wait(&next_, &mutex_);
      seen = round_;
      if (task_ == nullptr) break;
      pthread_mutex_unlock(&mutex_);
      (*task_)(me);
      pthread_mutex_lock(&mutex_);
      if (++done_ == static_cast<int>(threads_.size())) pthread_cond_signal(&all_done_);
    }
    pthread_mutex_unlock(&mutex_);
  }

  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t next_ = PTHREAD_COND_INITIALIZER, all_done_ = PTHREAD_COND_INITIALIZER;
  const std::function<void(int)>* task_ = nullptr;
  int round_ = 0, done_ = 0, number_ = 0;
  std::vector<pthread_t> threads_;
};

// --- a library's thread-local variables

class Values : public Library {
 public:
  explicit Values(const char* name = "values") : Library(name) {}

  // What a thread finds that comes to the library for the first time.
  void UseFresh(int mark) const {
    if (*number_() != 1234) Fail("not the number that it was linked with", *number_(), mark);
    if (strcmp(aligned_(), "as it was linked") != 0) Fail("not the text that it was linked with", mark);
    ExpectFilled(0);
    *number_() = mark;
    unsigned size = 0;
    char* const large = large_(&size);
    memset(large, mark & 0x7f, size);
    strcpy(aligned_(), "used");
  }
  void UseAgain(int mark) const {
    if (*number_() != mark) Fail("another's number", *number_(), mark);
    if (strcmp(aligned_(), "used") != 0) Fail("another's text", mark);
    ExpectFilled(mark & 0x7f);
  }

 private:
  void ExpectFilled(int byte) const {
    unsigned size = 0;
    const char* large = large_(&size);
    for (unsigned i = 0; i < size; ++i)
      if (large[i] != byte) Fail("another's bytes", large[i], byte);
    if (reinterpret_cast<uintptr_t>(aligned_()) % 64 != 0) Fail("not aligned");
  }

  int* (*number_)() = Find<int*()>("ValuesNumber");
  char* (*large_)(unsigned*) = Find<char*(unsigned*)>("ValuesLarge");
  char* (*aligned_)() = Find<char*()>("ValuesAligned");
};

// Loaded again and again while the threads exist; new ones come, too.
void LoadAndUnload(const char* name, int threads) {
  Crew crew(threads);
  for (int round = 1; round <= 2; ++round) {
    const Values values(name);
    values.UseFresh(round);
    crew.Do([&](int me) { values.UseFresh(me + round); });
    Crew late(threads / 10);
    late.Do([&](int me) { values.UseFresh(me - round); });
    crew.Do([&](int me) { values.UseAgain(me + round); });
    late.Do([&](int me) { values.UseAgain(me - round); });
    values.UseAgain(round);
  }
}

// Several at once, which threads come to in different orders, and that are unloaded in another.
void SeveralLibraries() {
  Crew crew(kThreads / 4);
  Values first("values"), other("values_other");
  crew.Do([&](int me) { me % 3 == 0 ? first.UseFresh(me) : other.UseFresh(me); });
  {
    const Values large("values_large");
    crew.Do([&](int me) {
      if (me <= kFewThreads) large.UseFresh(me);
      me % 3 == 0 ? other.UseFresh(-me) : first.UseFresh(-me);
    });
    crew.Do([&](int me) {
      if (me <= kFewThreads) large.UseAgain(me);
    });
  }
  crew.Do([&](int me) { me % 3 == 0 ? first.UseAgain(me) : first.UseAgain(-me); });
  first.Close();
  crew.Do([&](int me) { me % 3 == 0 ? other.UseAgain(-me) : other.UseAgain(me); });
}

// --- objects

int g_alive, g_unloaded;

class Objects : public Library {
 public:
  Objects() : Library("objects") { Find<void(int*, int*)>("ObjectsWatch")(&g_alive, &g_unloaded); }
  void Touch(int times) const {
    if (const int touched = touch_(); touched != times) Fail("another's object", touched, times);
  }

 private:
  int (*touch_)() = Find<int()>("ObjectsTouch");
};

void Expect(const char* what, int got, int expected) {
  if (got != expected) Fail(what, got, expected);
}

// A library stays as long as a thread has an object of it, and goes with the next one that is unloaded then.
void ObjectsWithDestructors() {
  g_alive = g_unloaded = 0;
  {
    Objects objects;
    {
      Crew crew(kThreads);
      crew.Do([&](int) { objects.Touch(1); });
      crew.Do([&](int) { objects.Touch(2); });
      Expect("objects", g_alive, kThreads);
    }
    Expect("objects after their threads", g_alive, 0);
    Expect("unloaded too early", g_unloaded, 0);
  }
  Expect("unloaded after the threads", g_unloaded, 1);
  for (int round = 2; round < 4; ++round) {
    Objects objects;
    Crew crew(kThreads / 4);
    crew.Do([&](int) { objects.Touch(1); });
    objects.Close();
    { const Values another; }
    Expect("unloaded while there are objects", g_unloaded, round - 1);
    Expect("objects of a library that is closed", g_alive, kThreads / 4);
    crew.End();
    Expect("objects that outlived its handle", g_alive, 0);
    { const Values another; }
    Expect("unloaded at last", g_unloaded, round);
  }
}

// --- libraries with threads

void LibrariesWithThreads() {
  const auto load = [] {
    int joined = 0;
    {
      const Library library("threads");
      Expect("the constructor's threads", library.Find<int(int*)>("ThreadsWatch")(&joined), 7);
    }
    Expect("joined by the destructor", joined, 3);
  };
  Crew waits(100);
  for (int i = 0; i < 5; ++i) load();
  for (int i = 0; i < 5; ++i) std::thread(load).join();
}

// --- dlopen by many

void ManyAtOnce() {
  Crew crew(16);
  crew.Do([](int me) {
    for (int i = 0; i < 15; ++i) {
      if ((me + i) % 5 == 0) {
        const Library library("threads");  // not alone, so its constructor has run or not
        if (library.Find<int(int*)>("ThreadsWatch")(nullptr) != 7) Fail("the constructor's threads");
      } else if ((me + i) % 2 == 0) {
        const Values values("values_large");
        std::thread([&] { values.UseFresh(me); }).join();
      } else {
        const Values values;
        std::thread([&] { values.UseFresh(me); }).join();
      }
    }
  });
}

void LookWhileOthersLoad() {
  std::atomic<int> looking{4};
  Crew crew(8);
  crew.Do([&](int me) {
    if (me > 4) {
      do {
        const Values values(me % 2 == 0 ? "values" : "values_large");
      } while (looking != 0);
      return;
    }
    for (int i = 0; i < 50; ++i) {
      int found = 0;
      const auto look = [](dl_phdr_info* info, size_t, void* count) {
        usleep(0);
        for (int j = 0; j < info->dlpi_phnum; ++j)
          if (info->dlpi_phdr[j].p_type == PT_LOAD) ++*static_cast<int*>(count);
        return 0;
      };
      dl_iterate_phdr(look, &found);
      if (found < 5) Fail("dl_iterate_phdr", found);
      Dl_info info;
      if (dladdr(reinterpret_cast<void*>(&g_alive), &info) == 0) Fail("dladdr");
    }
    --looking;
  });
}

void InChildren() {
  const Values before;
  Crew crew(kThreads / 10);
  crew.Do([&](int me) { before.UseFresh(me); });
  crew.Do([&](int me) {
    if (me > 8) return;
    const pid_t child = Check(fork(), "fork");
    if (child == 0) {
      alarm(kChildSeconds);
      before.UseAgain(me);
      LoadAndUnload("values_large", 20);
      LoadAndUnload("values_other", 20);
      std::thread([&] { before.UseFresh(me); }).join();
      before.UseAgain(me);
      { const Library threads("threads"); }
      _exit(7);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7) Fail("a child", status);
  });
}

// --- dlsym

// What the functions that `find` finds do works together with those that the program is linked with.
template <class Find>
void UseFound(Find find) {
  const auto create = reinterpret_cast<decltype(&pthread_create)>(find("pthread_create"));
  const auto join = reinterpret_cast<decltype(&pthread_join)>(find("pthread_join"));
  const auto lock = reinterpret_cast<decltype(&pthread_mutex_lock)>(find("pthread_mutex_lock"));
  const auto unlock = reinterpret_cast<decltype(&pthread_mutex_unlock)>(find("pthread_mutex_unlock"));
  struct Shared {
    decltype(lock) locks;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    int count = 0;
  } shared{lock};
  const auto body = [](void* argument) -> void* {
    auto* const s = static_cast<Shared*>(argument);
    for (int i = 0; i < 200; ++i) {
      s->locks(&s->mutex);
      const int count = s->count;
      if (i % 20 == 0) sched_yield();
      s->count = count + 1;
      pthread_mutex_unlock(&s->mutex);
    }
    return argument;
  };
  pthread_t threads[4];
  for (pthread_t& thread : threads)
    if (create(&thread, nullptr, body, &shared) != 0) Fail("pthread_create");
  for (int i = 0; i < 800; i += 4) {
    pthread_mutex_lock(&shared.mutex);
    shared.count += 4;
    unlock(&shared.mutex);
  }
  for (const pthread_t thread : threads)
    if (void* result = nullptr; join(thread, &result) != 0 || result != &shared) Fail("pthread_join");
  Expect("counted", shared.count, 1600);
}

void Functions() {
  UseFound([](const char* name) { return dlsym(RTLD_DEFAULT, name); });
  UseFound([](const char* name) { return dlsym(RTLD_NEXT, name); });
  for (void* const where : {RTLD_DEFAULT, RTLD_NEXT}) {
    const auto self = reinterpret_cast<decltype(&pthread_self)>(dlvsym(where, "pthread_self", "GLIBC_2.2.5"));
    if (self == nullptr) Fail("pthread_self by its version");
    std::thread([&] { Expect("itself", pthread_equal(self(), pthread_self()) != 0, 1); }).join();
    if (dlvsym(where, "pthread_self", "GLIBC_0.0") != nullptr) Fail("no such version");
  }
  if (dlsym(RTLD_DEFAULT, "pthread_mutex_lock") != reinterpret_cast<void*>(&pthread_mutex_lock))
    Fail("not what the program has");
  if (dlsym(RTLD_DEFAULT, "pthread_no_such_function") != nullptr || dlerror() == nullptr) Fail("no such function");
}

}  // namespace

int main() {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  RunParts({{"variables of the dynamic model", [] { LoadAndUnload("values", kThreads); }},
            {"variables of the initial-exec model", [] { LoadAndUnload("values_static", kThreads); }},
            {"large variables", [] { LoadAndUnload("values_large", kFewThreads); }},
            {"several libraries", SeveralLibraries},
            {"objects with destructors", ObjectsWithDestructors},
            {"libraries with threads", LibrariesWithThreads},
            {"many at once", ManyAtOnce},
            {"dl_iterate_phdr", LookWhileOthersLoad},
            {"children", InChildren},
            {"dlsym", Functions}});
  return 0;
}
