// SPDX-License-Identifier: Apache-2.0
#include "runtime/observe/walker.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include <atomic>

#include "runtime/observe/output.h"
#include "runtime/os/clock.h"
#include "runtime/os/lock.h"
#include "runtime/os/real.h"
#include "runtime/os/syscall.h"
#include "runtime/sched/sched.h"

namespace mn {
namespace {

constexpr char kCompanion[] = "libmn-dump.so";
constexpr int64_t kPatience = 2 * kNsPerSec;

constinit std::atomic<WalkStack> g_walk{nullptr};
constinit WalkForget g_forget = nullptr;
constinit char g_error[256];
// Whoever opens writes it, then the pointer.
constinit std::atomic<const char*> g_missing{"it has not been opened"};
constinit Note g_opened;

using Path = char[2 * PATH_MAX + sizeof kCompanion + 1];

// The working directory at the start, where ld.so was told of libmn.so by a relative path.
constinit char g_start[PATH_MAX];

// As ld.so was told.
const char* own_path() {
  Dl_info self;
  return ::dladdr(reinterpret_cast<void*>(&walker_open), &self) != 0 && self.dli_fname != nullptr ? self.dli_fname : "";
}

// Beside libmn.so itself.
bool companion_path(Path& path) {
  const char* own = own_path();
  const char* slash = ::strrchr(own, '/');
  if (slash == nullptr || (own[0] != '/' && g_start[0] != '/')) return false;
  const auto folder = static_cast<size_t>(slash + 1 - own);
  const size_t before = own[0] == '/' ? 0 : ::strlen(g_start) + 1;
  if (before + folder + sizeof kCompanion > sizeof path) return false;
  if (before != 0) {
    ::memcpy(path, g_start, before - 1);
    path[before - 1] = '/';
  }
  ::memcpy(path + before, own, folder);
  ::memcpy(path + before + folder, kCompanion, sizeof kCompanion);
  return true;
}

// The root directory, as the kernel numbers it.
struct Root {
  uint64_t device = 0, inode = 0;
  bool operator==(const Root&) const = default;
};
constinit Root g_root;

Root root_now() {
  struct stat is {};
  if (raw_syscall(SYS_newfstatat, AT_FDCWD, sys_arg("/"), sys_arg(&is), 0) != 0) return {};
  return {is.st_dev, is.st_ino};
}

void fail(const char* why) {
  size_t n = 0;
  for (; why[n] != '\0' && n < sizeof g_error - 1; ++n) g_error[n] = why[n];
  g_error[n] = '\0';
  g_missing.store(g_error, std::memory_order_release);  // pairs with walker_missing
}

void* opener_main(void*) {
  static constinit G opener_g;
  static constinit M opener_m;
  be_system_thread(&opener_g, &opener_m);  // the loader calls functions that would adopt it, for the dump to show
  output_only();
  walker_open();
  g_opened.signal();
  return nullptr;
}

}  // namespace

void walker_prepare() {
  g_root = root_now();
  if (own_path()[0] != '/' && raw_syscall(SYS_getcwd, sys_arg(g_start), sizeof g_start) < 0) g_start[0] = '\0';
}

void walker_open() {
  // Whoever fills a folder that the program makes its root would have that code run in it.
  if (g_root == Root{} || root_now() != g_root)
    return fail("the program's root directory is not the one it started with");
  Path path;
  if (!companion_path(path)) return fail("it is not known where libmn.so was loaded from");
  void* library = ::dlopen(path, RTLD_LOCAL | RTLD_NOW);
  if (library == nullptr) return fail(::dlerror());
  auto walk = reinterpret_cast<WalkStack>(::dlsym(library, kWalkStackName));
  auto forget = reinterpret_cast<WalkForget>(::dlsym(library, kWalkForgetName));
  if (walk == nullptr || forget == nullptr) return fail("libmn-dump.so is of another version");
  g_forget = forget;
  g_walk.store(walk, std::memory_order_relaxed);
  g_missing.store(nullptr, std::memory_order_release);  // pairs with walker_missing
}

void walker_open_in_time() {
  static constinit bool tried = false;
  if (walker_missing() == nullptr || tried) return;
  tried = true;
  pthread_attr_t attr;
  pthread_t thread;
  real.pthread_attr_init(&attr);
  real.pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  int error = real.pthread_create(&thread, &attr, opener_main, nullptr);
  real.pthread_attr_destroy(&attr);
  if (error != 0) return fail("there is no thread to open libmn-dump.so");
  if (!g_opened.sleep(now_ns() + kPatience)) fail("opening libmn-dump.so takes too long: the loader may be stuck");
}

const char* walker_missing() {
  return g_missing.load(std::memory_order_acquire);  // Acquire: pairs with walker_open and fail.
}

WalkEnd walker_walk(const WalkRequest& request, WalkFrame* out, int most) {
  return g_walk.load(std::memory_order_relaxed)(&request, out, most);
}

void walker_forget() {
  if (walker_missing() == nullptr) g_forget();
}

}  // namespace mn
