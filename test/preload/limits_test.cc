// SPDX-License-Identifier: Apache-2.0
// Tests that threads do what they do natively where the process is short of something: descriptors, address space,
// kernel threads, pending signals, /proc.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstring>

#include "deeds.h"

namespace {

using test::Deed;

bool Limit(__rlimit_resource resource, rlim_t to) {
  rlimit limit{to, to};
  return setrlimit(resource, &limit) == 0;
}

// In KiB, by /proc/self/status.
rlim_t SizeNow(const char* format = "VmSize: %lu") {
  char line[256];
  rlim_t kib = 0;
  FILE* status = fopen("/proc/self/status", "r");
  while (status != nullptr && fgets(line, sizeof line, status) != nullptr)
    if (sscanf(line, format, &kib) == 1) break;
  if (status != nullptr) fclose(status);
  return kib;
}

bool NoDescriptors() {
  return Limit(RLIMIT_NOFILE, 3);  // poll(2) counts by it, too
}

// Room for the stacks of some of the programs' threads at once.
bool LittleSpace() {
  return Limit(RLIMIT_AS, (SizeNow() << 10) + (rlim_t{200} << 20));
}
bool LittleData() {
  return Limit(RLIMIT_DATA, (SizeNow("VmData: %lu") << 10) + (rlim_t{200} << 20));
}

bool NoPendingSignals() {
  return Limit(RLIMIT_SIGPENDING, 0);
}

// Who may not have them locked goes without: there is nothing to show then.
bool LockedMemory() {
  mlockall(MCL_CURRENT | MCL_FUTURE);
  return true;
}

// As many as the programs have at once. The superuser has no limit, so he becomes another who has no processes.
bool FewKernelThreads() {
  constexpr uid_t kNobodyElse = 54321;
  if (getuid() == 0 && setresuid(kNobodyElse, kNobodyElse, kNobodyElse) != 0) return false;
  return getuid() != kNobodyElse || Limit(RLIMIT_NPROC, 24);
}

// Into an empty folder, in a user namespace of its own where that needs one.
bool NoProc() {
  char folder[] = "/tmp/no_proc.XXXXXX";
  if (mkdtemp(folder) == nullptr) return false;
  if (getuid() != 0) unshare(CLONE_NEWUSER);
  bool there = chroot(folder) == 0 && chdir("/") == 0;
  return there || errno == EPERM;
}

struct Shortage {
  const char* name;
  bool (*confine)();
  const char* except = "";  // what does not work natively
};
const Shortage kShortages[] = {
    {"NoDescriptors", NoDescriptors},
    {"LittleSpace", LittleSpace},
    {"LittleData", LittleData},
    {"NoPendingSignals", NoPendingSignals, "Cancelling"},
    {"LockedMemory", LockedMemory},
    {"FewKernelThreads", FewKernelThreads},
    {"NoProc", NoProc},
};

std::ostream& operator<<(std::ostream& out, const Shortage& shortage) {
  return out << shortage.name;
}

class Short : public testing::TestWithParam<Shortage> {};

INSTANTIATE_TEST_SUITE_P(Of, Short, testing::ValuesIn(kShortages),
                         [](const testing::TestParamInfo<Shortage>& shortage) { return shortage.param.name; });

void EachDeed(const Shortage& shortage, bool deed_before) {
  for (const Deed& deed : test::kDeeds) {
    if (strcmp(deed.name, shortage.except) == 0) continue;
    EXPECT_EQ(test::StatusOfChild(deed, deed_before, shortage.confine), 0) << deed.name;
  }
}

TEST_P(Short, BeforeThreads) {
  EachDeed(GetParam(), false);
}

TEST_P(Short, AfterThreads) {
  EachDeed(GetParam(), true);
}

// --- address space

void* Nothing(void*) {
  return nullptr;
}

int Create(pthread_t* t, size_t stack, bool detached, void* (*start)(void*)) {
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, stack);
  pthread_attr_setdetachstate(&attr, detached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
  int error = pthread_create(t, &attr, start, nullptr);
  pthread_attr_destroy(&attr);
  return error;
}

constexpr size_t kMiB = size_t{1} << 20;

// In a child under a limit of `mib` above what it has. 0: `body` was right.
template <class Body>
int StatusUnder(rlim_t mib, Body body) {
  pid_t child = fork();
  if (child == 0) {
    if (!Limit(RLIMIT_AS, (SizeNow() << 10) + mib * kMiB)) _exit(2);
    _exit(body() ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

TEST(AddressSpace, OfThreadsThatHaveEndedServesOthers) {
  EXPECT_EQ(StatusUnder(100,
                        [] {
                          for (size_t mib : {64, 32, 48, 16, 80, 8, 64}) {
                            for (int i = 0; i < 20; ++i) {
                              pthread_t t;
                              if (Create(&t, mib * kMiB, false, Nothing) != 0 || pthread_join(t, nullptr) != 0)
                                return false;
                            }
                          }
                          return true;
                        }),
            0);
}

TEST(AddressSpace, OfThreadsThatHaveEndedServesAllocations) {
  EXPECT_EQ(StatusUnder(300,
                        [] {
                          pthread_t threads[12];
                          for (pthread_t& t : threads)
                            if (Create(&t, 16 * kMiB, false, Nothing) != 0) return false;
                          for (pthread_t t : threads) pthread_join(t, nullptr);
                          void* much = mmap(nullptr, 200 * kMiB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                          return much != MAP_FAILED;
                        }),
            0);
}

// Nobody joins them: they end by and by, beside their creator.
TEST(AddressSpace, OfDetachedThreadsComesBack) {
  EXPECT_EQ(StatusUnder(200,
                        [] {
                          for (int made = 0; made < 500;) {
                            pthread_t t;
                            int error = Create(&t, 16 * kMiB, true, Nothing);
                            if (error == EAGAIN) continue;
                            if (error != 0) return false;
                            ++made;
                          }
                          return true;
                        }),
            0);
}

std::atomic<bool> g_go{false};
void* UntilGo(void*) {
  while (!g_go) sched_yield();
  return nullptr;
}

// As many threads at once as there are stacks, then EAGAIN, and all again afterwards.
TEST(AddressSpace, IsExhaustedWithEagain) {
  EXPECT_EQ(StatusUnder(150,
                        [] {
                          constexpr int kMost = 20, kLeast = 5;
                          pthread_t threads[kMost];
                          for (int round = 0; round < 3; ++round) {
                            g_go = false;
                            int made = 0, error = 0;
                            while (made < kMost && (error = Create(&threads[made], 16 * kMiB, false, UntilGo)) == 0)
                              ++made;
                            g_go = true;
                            for (int i = 0; i < made; ++i) pthread_join(threads[i], nullptr);
                            if (error != EAGAIN || made < kLeast) return false;
                          }
                          return true;
                        }),
            0);
}

// A limit that comes when threads have been and gone.
TEST(AddressSpace, MayBeLimitedLater) {
  pid_t child = fork();
  if (child == 0) {
    pthread_t threads[30];
    for (size_t stack : {8 * kMiB, 2 * kMiB}) {
      for (pthread_t& t : threads)
        if (Create(&t, stack, false, Nothing) != 0) _exit(3);
      for (pthread_t t : threads) pthread_join(t, nullptr);
    }
    if (!Limit(RLIMIT_AS, (SizeNow() << 10) + 40 * kMiB)) _exit(2);
    pthread_t t;
    for (size_t mib : {16, 32, 8, 2, 24})
      if (Create(&t, mib * kMiB, false, Nothing) != 0 || pthread_join(t, nullptr) != 0) _exit(1);
    _exit(0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

}  // namespace
