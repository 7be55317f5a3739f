// SPDX-License-Identifier: Apache-2.0
// Tests that registers, locale, exceptions and stack stay with their thread over thousands of blocking calls.
#include <ctype.h>
#include <fenv.h>
#include <locale.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

#include <array>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "blocker.h"
#include "util.h"

namespace {

using test::Blocker;
using test::kRounds;
using test::kThreads;
using test::Thread;
using test::Torture;

TEST(Identity, Self) {
  Torture([](int, int, auto block) {
    const pthread_t self = pthread_self();
    block();
    EXPECT_TRUE(pthread_equal(self, pthread_self()));
  });
}

// The division happens here and now: the optimiser knows neither the values nor the result's use.
template <typename T>
T Divide(T a, T b) {
  volatile T numerator = a;
  volatile T denominator = b;
  volatile T result = numerator / denominator;
  return result;
}

TEST(Identity, RoundingMode) {
  constexpr std::array kModes = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  std::array<double, 4> thirds;
  std::array<long double, 4> long_thirds;
  for (int m = 0; m < 4; ++m) {
    fesetround(kModes[m]);
    thirds[m] = Divide(-1.0, 3.0);
    long_thirds[m] = Divide(-1.0L, 3.0L);
  }
  fesetround(FE_TONEAREST);
  ASSERT_NE(thirds[1], thirds[2]);
  ASSERT_NE(long_thirds[1], long_thirds[2]);
  Torture([&](int t, int i, auto block) {
    const int m = t % 4;
    if (i == 0) {
      EXPECT_EQ(fegetround(), FE_TONEAREST);
      fesetround(kModes[m]);
    }
    block();
    EXPECT_EQ(fegetround(), kModes[m]);
    EXPECT_EQ(Divide(-1.0, 3.0), thirds[m]);
    EXPECT_EQ(Divide(-1.0L, 3.0L), long_thirds[m]);
  });
  EXPECT_EQ(fegetround(), FE_TONEAREST);
}

TEST(Identity, RoundingModeIsInheritedAtCreation) {
  // glibc's threads start with the creator's floating-point control.
  fesetround(FE_UPWARD);
  Thread thread([] { return reinterpret_cast<void*>(static_cast<uintptr_t>(fegetround())); });
  const auto mode = reinterpret_cast<uintptr_t>(thread.Join());
  fesetround(FE_TONEAREST);
  EXPECT_EQ(mode, static_cast<uintptr_t>(FE_UPWARD));
}

TEST(Identity, FloatingPointExceptionMask) {
  // feenableexcept() is control state; it, too, is the thread's own.
  Torture([](int t, int i, auto block) {
    const int mask = t % 2 == 0 ? FE_OVERFLOW : FE_DIVBYZERO;
    if (i == 0) feenableexcept(mask);
    block();
    EXPECT_EQ(fegetexcept(), mask);
    if (i == kRounds - 1) fedisableexcept(FE_ALL_EXCEPT);
  });
  EXPECT_EQ(fegetexcept(), 0);
}

TEST(Identity, Locale) {
  locale_t c_locale = newlocale(LC_ALL_MASK, "C", nullptr);
  locale_t utf8 = newlocale(LC_ALL_MASK, "C.UTF-8", nullptr);
  ASSERT_NE(c_locale, nullptr);
  ASSERT_NE(utf8, nullptr);
  Torture([&](int t, int i, auto block) {
    locale_t mine = t % 3 == 0 ? c_locale : t % 3 == 1 ? utf8 : LC_GLOBAL_LOCALE;
    if (i == 0) {
      EXPECT_EQ(uselocale(nullptr), LC_GLOBAL_LOCALE);
      uselocale(mine);
    }
    block();
    EXPECT_EQ(uselocale(nullptr), mine);
    EXPECT_EQ(MB_CUR_MAX, t % 3 == 1 ? 6u : 1u);
    EXPECT_EQ(iswalpha(0xe9) != 0, t % 3 == 1);
    EXPECT_TRUE(isalpha('a'));
    if (i == kRounds - 1) uselocale(LC_GLOBAL_LOCALE);
  });
  EXPECT_EQ(uselocale(nullptr), LC_GLOBAL_LOCALE);
  freelocale(c_locale);
  freelocale(utf8);
}

TEST(Identity, ALocaleLeftSetIsNotInheritedByTheNextThread) {
  locale_t utf8 = newlocale(LC_ALL_MASK, "C.UTF-8", nullptr);
  for (int i = 0; i < 20; ++i) {
    Thread([&] {
      EXPECT_EQ(uselocale(nullptr), LC_GLOBAL_LOCALE);
      EXPECT_FALSE(iswalpha(0xe9));
      uselocale(utf8);
      return nullptr;
    });
  }
  freelocale(utf8);
}

struct BlocksInDestructor {
  Blocker& blocker;
  int round;
  ~BlocksInDestructor() {
    EXPECT_EQ(std::uncaught_exceptions(), 1);
    blocker.Block(round);
    EXPECT_EQ(std::uncaught_exceptions(), 1);
  }
};

TEST(Identity, ExceptionsInFlight) {
  Blocker blocker;
  std::vector<Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        EXPECT_EQ(std::uncaught_exceptions(), 0);
        EXPECT_EQ(std::current_exception(), nullptr);
        const std::string mine = std::to_string(t) + "/" + std::to_string(i);
        try {
          BlocksInDestructor block{blocker, t + i};
          throw std::runtime_error(mine);
        } catch (const std::runtime_error& error) {
          blocker.Block(t + i + 1);
          EXPECT_EQ(error.what(), mine);
          try {
            throw i;
          } catch (int inner) {
            blocker.Block(t + i + 2);
            EXPECT_EQ(inner, i);
          }
          blocker.Block(t + i + 3);
          try {
            throw;
          } catch (const std::exception& again) {
            EXPECT_EQ(again.what(), mine);
          }
        }
        EXPECT_EQ(std::current_exception(), nullptr);
      }
      return nullptr;
    });
  }
}

TEST(Identity, ExceptionPointerCrossesThreads) {
  std::exception_ptr carried;
  Thread([&] {
    try {
      throw std::logic_error("carried");
    } catch (...) {
      carried = std::current_exception();
    }
    return nullptr;
  });
  try {
    std::rethrow_exception(carried);
  } catch (const std::logic_error& error) {
    EXPECT_STREQ(error.what(), "carried");
  }
}

void CheckStackBounds(void* local) {
  pthread_attr_t attr;
  ASSERT_EQ(pthread_getattr_np(pthread_self(), &attr), 0);
  void* base = nullptr;
  size_t size = 0;
  EXPECT_EQ(pthread_attr_getstack(&attr, &base, &size), 0);
  EXPECT_GE(local, base);
  EXPECT_LT(local, static_cast<char*>(base) + size);
  EXPECT_EQ(pthread_attr_destroy(&attr), 0);
}

TEST(Identity, StackBounds) {
  int on_main = 0;
  CheckStackBounds(&on_main);
  std::vector<Thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([t] {
      int local = 0;
      for (int i = 0; i < 50; ++i) {
        CheckStackBounds(&local);
        if (i % 2 == t % 2) {
          sched_yield();
        } else {
          usleep(1);
        }
      }
      return nullptr;
    });
  }
}

TEST(Identity, StackContents) {
  Torture([](int t, int i, auto block) {
    const size_t size = 256 + static_cast<size_t>(t * 37 + i) % 20'000;
    auto* block_on_stack = static_cast<unsigned char*>(__builtin_alloca(size));
    memset(block_on_stack, t + 1, size);
    block();
    size_t wrong = 0;
    for (size_t k = 0; k < size; ++k) wrong += block_on_stack[k] != t + 1;
    EXPECT_EQ(wrong, 0u);
  });
}

TEST(Identity, Registers) {
  // Enough live values that callee-saved registers carry some of them over the call.
  Torture([](int t, int i, auto block) {
    volatile uint64_t seed = t * 7919 + i;
    uint64_t a = seed, b = a * 3, c = a * 5, d = a * 7, e = a * 11, f = a * 13, g = a * 17;
    double x = static_cast<double>(a) * 0.5;
    asm volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f), "+r"(g), "+x"(x));
    block();
    asm volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f), "+r"(g), "+x"(x));
    const uint64_t s = seed;
    EXPECT_EQ(b + c + d + e + f + g + a, s * 57);
    EXPECT_EQ(x, static_cast<double>(s) * 0.5);
  });
}

TEST(Identity, StackIsAlignedInThreads) {
  Thread([] {
    alignas(64) volatile char aligned[64] = {};
    EXPECT_EQ(reinterpret_cast<uintptr_t>(&aligned[0]) % 64, 0u);
    char text[64];
    // printf of a floating-point value uses aligned vector stores.
    snprintf(text, sizeof text, "%.3f %Lg", 1.0 / 3, 2.5L);
    EXPECT_STREQ(text, "0.333 2.5");
    return nullptr;
  });
}

TEST(Identity, MallocFromEveryThread) {
  // A thread's malloc works wherever it runs; blocks made in one are freed in another.
  std::array<std::atomic<char*>, 64> slots{};
  Torture([&](int t, int i, auto block) {
    const size_t size = 1 + static_cast<size_t>(t * 131 + i * 17) % 3000;
    char* mine = static_cast<char*>(malloc(size));
    memset(mine, t, size);
    block();
    EXPECT_EQ(mine[size - 1], t);
    free(slots[(t * 31 + i) % slots.size()].exchange(mine));
  });
  for (auto& slot : slots) free(slot.load());
}

}  // namespace
