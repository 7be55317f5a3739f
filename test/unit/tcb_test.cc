// SPDX-License-Identifier: Apache-2.0
// Tests thread control blocks and TLS made by the runtime, by running code that depends on them in a G.
#include "runtime/os/tcb.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <resolv.h>
#include <sched.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "in_g.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb_list.h"
#include "runtime/sched/gpool.h"
#include "sanitize.h"

namespace {

using test::Put;
using test::RunIn;

thread_local int small = 42;
thread_local long zero;
alignas(64) thread_local char text[100] = "initial image";

class Tcb : public test::PoolTest {
 protected:
  void SetUp() override {
    PoolTest::SetUp();
    g_ = Get();
    ASSERT_NE(g_, nullptr);
  }
  void TearDown() override { Put(g_); }
  // Ends the G and begins another thread in its slot.
  void Recycle() {
    mn::G* old = g_;
    Put(g_);
    g_ = Get();
    ASSERT_EQ(g_, old);
  }
  template <class T>
  T& Field(size_t offset) const {
    return *reinterpret_cast<T*>(static_cast<char*>(g_->tp) + offset);
  }

  mn::G* g_ = nullptr;
};

TEST_F(Tcb, LayoutIsFound) {
  const mn::TcbLayout& l = mn::tcb_layout;
  EXPECT_EQ(mn::tcb_discover(), nullptr) << "may be called again";
  EXPECT_GE(l.size, 1024u);
  EXPECT_GE(l.static_size, l.size);
  EXPECT_LT(l.libc_tls, 0);
  EXPECT_GT(l.libc_tls_size, 0u);
  EXPECT_EQ(mn::tcb_tid(mn::thread_pointer()), gettid());
  EXPECT_GE(mn::tcb_reserve(), l.static_size);
  auto libc_errno = reinterpret_cast<char*>(&errno) - static_cast<char*>(mn::thread_pointer());
  EXPECT_TRUE(libc_errno >= l.libc_tls && libc_errno < l.libc_tls + static_cast<ptrdiff_t>(l.libc_tls_size));
}

TEST_F(Tcb, ThreadsSeeThemselves) {
  pthread_t self = 0;
  void* tp = nullptr;
  mn::G* g = nullptr;
  RunIn(g_, [&] {
    self = pthread_self();
    tp = mn::thread_pointer();
    g = mn::this_g();
  });
  EXPECT_EQ(self, reinterpret_cast<pthread_t>(g_->tp));
  EXPECT_EQ(tp, g_->tp);
  EXPECT_EQ(g, g_);
  EXPECT_NE(mn::this_g(), g_);
}

TEST_F(Tcb, ThreadLocalsStartFromTheirImagesEachTime) {
  small = 1;
  strcpy(text, "main's");
  for (int life = 0; life < 3; ++life) {
    int seen_small = 0;
    long seen_zero = -1;
    std::string seen_text;
    uintptr_t address = 0;
    RunIn(g_, [&] {
      seen_small = small;
      seen_zero = zero;
      seen_text = text;
      address = reinterpret_cast<uintptr_t>(text);
      small = 7;
      zero = 7;
      strcpy(text, "used");
    });
    EXPECT_EQ(seen_small, 42);
    EXPECT_EQ(seen_zero, 0);
    EXPECT_EQ(seen_text, "initial image");
    EXPECT_EQ(address % 64, 0u);
    EXPECT_EQ(small, 1) << "the caller's own";
    EXPECT_STREQ(text, "main's");
    Recycle();
  }
}

TEST_F(Tcb, ErrnoStartsAtZeroAndIsOnesOwn) {
  for (int life = 0; life < 2; ++life) {
    int seen = -1;
    errno = EDOM;
    RunIn(g_, [&] {
      seen = errno;
      errno = ERANGE;
    });
    EXPECT_EQ(seen, 0);
    EXPECT_EQ(errno, EDOM);
    Recycle();
  }
}

#if TEST_LIBC_MALLOC
void UseMalloc() {
  std::vector<void*> blocks;
  for (size_t size = 16; size < 512; size += 16) blocks.push_back(malloc(size));
  for (void* p : blocks) free(p);
}

TEST_F(Tcb, MallocsCacheSurvivesRecycling) {
  RunIn(g_, UseMalloc);
  const mn::LibcKept before = mn::libc_state_kept(g_->tp);
  EXPECT_NE(before.words[0], 0u) << "malloc's cache was not found";
  Recycle();
  const mn::LibcKept after = mn::libc_state_kept(g_->tp);
  EXPECT_EQ(memcmp(&before, &after, sizeof before), 0) << "malloc's cache would leak";
  RunIn(g_, UseMalloc);
}
#endif

TEST_F(Tcb, TheRestOfLibcsTlsBeginsAnew) {
  auto* const libc_tls = static_cast<char*>(g_->tp) + mn::tcb_layout.libc_tls;
  const size_t size = mn::tcb_layout.libc_tls_size;
  const std::vector<char> fresh(libc_tls, libc_tls + size);
  const mn::LibcKept kept = mn::libc_state_kept(g_->tp);
  memset(libc_tls, 0x55, size);
  mn::libc_state_begin(g_->tp, kept);
  EXPECT_EQ(memcmp(fresh.data(), libc_tls, size), 0);
}

TEST_F(Tcb, TheResolversStateIsOnesOwnAndEmpty) {
  for (int life = 0; life < 2; ++life) {
    res_state state = nullptr;
    bool empty = false;
    RunIn(g_, [&] {
      mn::real.__ctype_init();  // as every new thread does
      static const struct __res_state kEmpty {};
      state = __res_state();
      empty = memcmp(state, &kEmpty, sizeof kEmpty) == 0;
      EXPECT_EQ(res_init(), 0);
      EXPECT_NE(state->nscount, 0);
      mn::libc_state_end();
    });
    const auto* at = reinterpret_cast<char*>(state);
    EXPECT_TRUE(at > g_->tp && at < static_cast<char*>(g_->tp) + mn::tcb_layout.size);
    EXPECT_TRUE(empty);
    Recycle();
  }
}

TEST_F(Tcb, CancellationStateIsFreshEachTime) {
  for (int life = 0; life < 2; ++life) {
    int state = -1;
    int type = -1;
    RunIn(g_, [&] {
      pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
      pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
    });
    EXPECT_EQ(state, PTHREAD_CANCEL_ENABLE);
    EXPECT_EQ(type, PTHREAD_CANCEL_DEFERRED);
    Recycle();
  }
}

TEST_F(Tcb, IsOnLibcsListOfThreads) {
  // ld.so finds it there; the neighbours know it, as long as it has no kernel thread's id.
  auto* list = &Field<void*>(mn::tcb_layout.list);
  ASSERT_NE(list[0], list);
  void* const next = list[0];
  void* const prev = list[1];
  EXPECT_EQ(static_cast<void**>(next)[1], list);
  EXPECT_EQ(static_cast<void**>(prev)[0], list);
  mn::gpool_list(g_);  // it is there
  EXPECT_EQ(list[0], next);
  mn::gpool_unlist(g_);
  EXPECT_EQ(static_cast<void**>(next)[1], prev);
  EXPECT_EQ(static_cast<void**>(prev)[0], next);
  EXPECT_EQ(list[0], next) << "who stands there goes on";
  EXPECT_TRUE(mn::tcb_list_settle());
  mn::gpool_unlist(g_);
  mn::gpool_list(g_);
  EXPECT_EQ(static_cast<void**>(list[0])[1], list);
}

TEST_F(Tcb, TheRobustListIsEmpty) {
  auto* robust = &Field<void*>(mn::tcb_layout.robust_head);
  EXPECT_EQ(*robust, robust);
}

TEST_F(Tcb, StackAndPointerGuardsAreTheProcesss) {
  auto* own = static_cast<char*>(mn::thread_pointer());
  EXPECT_EQ(Field<uintptr_t>(0x28), *reinterpret_cast<uintptr_t*>(own + 0x28));
  EXPECT_EQ(Field<uintptr_t>(0x30), *reinterpret_cast<uintptr_t*>(own + 0x30));
  unsigned long mangled = 0;
  RunIn(g_, [&] { mangled = mn::mangle_pointer(0x1234); });
  EXPECT_EQ(mangled, mn::mangle_pointer(0x1234));
}

TEST_F(Tcb, LibcWorksInAG) {
  int cpu = -1;
  int letter = 0;
  std::string number;
  double parsed = 0;
  RunIn(g_, [&] {
    mn::real.__ctype_init();  // as every new thread does
    cpu = sched_getcpu();
    letter = isalpha('x');
    char buf[32];
    snprintf(buf, sizeof buf, "%.2f", 2.5);
    number = buf;
    parsed = strtod("1.25", nullptr);
  });
  EXPECT_GE(cpu, 0);
  EXPECT_LT(cpu, static_cast<int>(std::thread::hardware_concurrency()) + 1024);
  EXPECT_NE(letter, 0);
  EXPECT_EQ(number, "2.50");
  EXPECT_EQ(parsed, 1.25);
}

TEST_F(Tcb, SpecificDataAreOnesOwnAndGoneForTheNext) {
  std::vector<pthread_key_t> keys(70);  // more than libc's first block of 32
  for (pthread_key_t& key : keys) ASSERT_EQ(pthread_key_create(&key, nullptr), 0);
  for (int life = 0; life < 2; ++life) {
    int stale = 0;
    int wrong = 0;
    bool used_before = true;
    bool used_after = false;
    RunIn(g_, [&] {
      used_before = mn::tcb_self_has_specific();
      for (pthread_key_t key : keys) stale += pthread_getspecific(key) != nullptr ? 1 : 0;
      for (pthread_key_t& key : keys) pthread_setspecific(key, &key);
      for (pthread_key_t& key : keys) wrong += pthread_getspecific(key) != &key ? 1 : 0;
      used_after = mn::tcb_self_has_specific();
      mn::tcb_retire_self();  // a thread's last act
    });
    EXPECT_EQ(stale, 0);
    EXPECT_EQ(wrong, 0);
    EXPECT_FALSE(used_before);
    EXPECT_TRUE(used_after);
    EXPECT_EQ(pthread_getspecific(keys[0]), nullptr) << "the caller's own";
    Recycle();
  }
  for (pthread_key_t key : keys) pthread_key_delete(key);
}

// A kernel thread's TCB shows where libc keeps the bounds of the stack.
TEST_F(Tcb, StackFieldsAreFoundInAThreadOfLibcs) {
  size_t found = 0;
  std::thread([&] {
    mn::tcb_find_stackblock();
    found = mn::tcb_layout.stackblock;
  }).join();
  ASSERT_NE(found, 0u);
  Recycle();
  EXPECT_EQ(Field<void*>(found), g_->stack_base);
  EXPECT_EQ(Field<size_t>(found + 8), g_->stack_size);
}

TEST(TcbLife, CreateAndDiscardInMemoryOfOnesOwn) {
  ASSERT_TRUE(mn::on());
  size_t reserve = mn::tcb_reserve();
  size_t align = mn::tcb_layout.static_align < 64 ? 64 : mn::tcb_layout.static_align;
  for (int i = 0; i < 100; ++i) {
    size_t bytes = (2 * reserve + 2 * align) / align * align;
    void* memory = aligned_alloc(align, bytes);
    ASSERT_NE(memory, nullptr);
    memset(memory, 0, bytes);
    // The TCB is at the high end: static TLS lies below it.
    size_t below = (mn::tcb_layout.static_size - mn::tcb_layout.size + align - 1) / align * align;
    char* tcb = static_cast<char*>(memory) + below;
    ASSERT_TRUE(mn::tcb_create(tcb, mn::kFakeTidBase + 5));
    EXPECT_EQ(mn::tcb_tid(tcb), mn::kFakeTidBase + 5);
    mn::tcb_set_tid(tcb, 9);
    EXPECT_EQ(mn::tcb_tid(tcb), 9);
    mn::tcb_discard(tcb);
    free(memory);
  }
}

}  // namespace
