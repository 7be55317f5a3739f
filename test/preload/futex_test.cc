// SPDX-License-Identifier: Apache-2.0
// Tests raw futexes: waiting, waking, requeueing, their timeouts and what interrupts them.
#include "futex_util.h"

namespace {

using test::AwaitWaiting;
using test::Count;
using test::Futex;
using test::kPrivate;
using test::Requeue;
using test::Thread;
using test::Wait;
using test::WaitBits;
using test::Waiters;
using test::Waiting;
using test::Wake;
using test::WakeBits;

TEST(Futex, WakesInOrderOfArrivalAndNoMoreThanAsked) {
  const uint32_t word = 0;
  EXPECT_EQ(Wake(&word, INT_MAX), 0);
  Waiters waiters(&word);
  waiters.AddPlain(5);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(Wake(&word), 1);
    EXPECT_EQ(waiters.AnswerOf(i), 0);
    EXPECT_EQ(Waiting(&word), 4 - static_cast<long>(i));
  }
  EXPECT_EQ(waiters.HowManyDone(), 2);
  EXPECT_EQ(Wake(&word, 2), 2);
  EXPECT_EQ(waiters.AnswerOf(3), 0);
  EXPECT_FALSE(waiters.Done(4));
  EXPECT_EQ(Wake(&word, INT_MAX), 1);
  waiters.JoinAll();
  EXPECT_EQ(Wake(&word, INT_MAX), 0);
}

TEST(Futex, ACountBelowOneWakesOne) {
  const uint32_t word = 0;
  Waiters waiters(&word);
  waiters.AddPlain(3);
  EXPECT_EQ(Wake(&word, 0), 1);
  EXPECT_EQ(Wake(&word, -7), 1);
  EXPECT_EQ(Waiting(&word), 1);
  EXPECT_EQ(Wake(&word), 1);
}

TEST(Futex, AnotherValueIsNotWaitedOn) {
  test::HereAndInAThread([] {
    const uint32_t word = 5;
    const timespec second = {1, 0};
    EXPECT_EQ(Wait(&word, 4), -EAGAIN);
    EXPECT_EQ(Wait(&word, 4, &second), -EAGAIN);
    EXPECT_EQ(WaitBits(&word, 4, 1), -EAGAIN);
  });
}

TEST(Futex, NeighboursDoNotMix) {
  const uint32_t words[2] = {};
  Waiters first(&words[0]);
  Waiters second(&words[1]);
  first.AddPlain(1);
  second.AddPlain(1);
  EXPECT_EQ(Wake(&words[1], INT_MAX), 1);
  EXPECT_EQ(second.AnswerOf(0), 0);
  EXPECT_FALSE(first.Done(0));
  EXPECT_EQ(Wake(&words[0], INT_MAX), 1);
}

TEST(Futex, ItsQueueIsNotThatOfAMutexThere) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  std::atomic<bool> in = false;
  Thread blocked([&] {
    in = true;
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    return nullptr;
  });
  EXPECT_TRUE(test::Eventually([&] { return in.load(); }));
  const timespec soon = test::Ms(5);
  EXPECT_EQ(Wait(&mutex, 77, &soon), -EAGAIN);
  pthread_mutex_unlock(&mutex);
}

TEST(Futex, TimeoutsAreRelative) {
  test::HereAndInAThread([] {
    const uint32_t word = 0;
    const int64_t begin = test::NowNs();
    const timespec t = test::Ms(20);
    EXPECT_EQ(Wait(&word, 0, &t), -ETIMEDOUT);
    EXPECT_GE(test::NowNs() - begin, 20 * test::kNsPerMs);
    const timespec none = {0, 0};
    EXPECT_EQ(Wait(&word, 0, &none), -ETIMEDOUT);
    EXPECT_EQ(Waiting(&word), 0);
  });
}

TEST(Futex, DeadlinesAreAbsoluteOnEitherClock) {
  test::HereAndInAThread([] {
    const uint32_t word = 0;
    const std::pair<clockid_t, uint32_t> clocks[] = {{CLOCK_MONOTONIC, 0}, {CLOCK_REALTIME, FUTEX_CLOCK_REALTIME}};
    for (const auto& [clock, flag] : clocks) {
      const timespec soon = test::In(clock, 20);
      EXPECT_EQ(WaitBits(&word, 0, 1, &soon, flag), -ETIMEDOUT);
      EXPECT_GE(test::NowNs(clock), test::ToNs(soon));
      const timespec past = {1, 0};
      EXPECT_EQ(WaitBits(&word, 0, 1, &past, flag), -ETIMEDOUT);
      EXPECT_EQ(WaitBits(&word, 1, 1, &past, flag), -EAGAIN);
    }
  });
}

TEST(Futex, AWakeUpBeforeTheTimeout) {
  const uint32_t word = 0;
  Waiters waiters(&word);
  waiters.Add([&] {
    const timespec t = {1'000, 0};
    return Wait(&word, 0, &t);
  });
  waiters.Add([&] {
    const timespec t = test::In(CLOCK_REALTIME, 1'000'000);
    return WaitBits(&word, 0, 1, &t, FUTEX_CLOCK_REALTIME);
  });
  waiters.Add([&] {
    const timespec forever = {INT64_MAX, 999'999'999};
    return Wait(&word, 0, &forever);
  });
  EXPECT_EQ(Wake(&word, 3), 3);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(waiters.AnswerOf(i), 0);
}

TEST(Futex, BitsChooseWhoIsWoken) {
  const uint32_t word = 0;
  Waiters waiters(&word);
  for (const uint32_t bits : {1u, 2u, 5u, 0x80000000u}) waiters.Add([&word, bits] { return WaitBits(&word, 0, bits); });
  EXPECT_EQ(WakeBits(&word, INT_MAX, 8), 0);
  EXPECT_EQ(WakeBits(&word, INT_MAX, 4), 1);
  EXPECT_EQ(waiters.AnswerOf(2), 0);
  EXPECT_EQ(WakeBits(&word, 1, 3), 1);
  EXPECT_EQ(waiters.AnswerOf(0), 0);
  EXPECT_FALSE(waiters.Done(1));
  EXPECT_EQ(Wake(&word, INT_MAX), 2);
  waiters.AddPlain(1);
  EXPECT_EQ(WakeBits(&word, 1, 64), 1) << "a plain wait has all bits";
}

TEST(Futex, RequeueWakesSomeAndMovesSome) {
  const uint32_t from = 0;
  const uint32_t to = 9;
  Waiters waiters(&from);
  waiters.AddPlain(5);
  EXPECT_EQ(Requeue(&from, 1, 2, &to), 3);
  EXPECT_EQ(waiters.AnswerOf(0), 0);
  EXPECT_EQ(Waiting(&from), 2);
  EXPECT_EQ(Waiting(&to), 2);
  EXPECT_EQ(waiters.HowManyDone(), 1);
  EXPECT_EQ(Wake(&to), 1);
  EXPECT_EQ(waiters.AnswerOf(1), 0);
  EXPECT_EQ(Requeue(&from, 0, INT_MAX, &to), 2);
  EXPECT_EQ(Wake(&from, INT_MAX), 0);
  EXPECT_EQ(Wake(&to, INT_MAX), 3);
}

TEST(Futex, CompareAndRequeueLooksFirst) {
  const uint32_t from = 0;
  const uint32_t to = 0;
  Waiters waiters(&from);
  waiters.AddPlain(3);
  constexpr uint32_t kOp = FUTEX_CMP_REQUEUE | kPrivate;
  EXPECT_EQ(Futex(&from, kOp, 1, Count(INT_MAX), &to, 1), -EAGAIN);
  EXPECT_EQ(Waiting(&from), 3);
  EXPECT_EQ(Futex(&from, kOp, 1, Count(1), &to, 0), 2);
  EXPECT_EQ(waiters.AnswerOf(0), 0);
  EXPECT_EQ(Waiting(&to), 1);
  EXPECT_EQ(Futex(&from, kOp, 0, Count(0), &to, 0), 0);
  EXPECT_EQ(Wake(&to, INT_MAX), 1);
  EXPECT_EQ(Wake(&from, INT_MAX), 1);
}

TEST(Futex, MovedWaitersStillTimeOutAndAreInterrupted) {
  const test::Handler handler(0);
  const uint32_t from = 0;
  const uint32_t to = 0;
  Waiters waiters(&from);
  waiters.Add([&] {
    const timespec t = test::Ms(300);
    return Wait(&from, 0, &t);
  });
  waiters.AddPlain(1);
  EXPECT_EQ(Requeue(&from, 0, INT_MAX, &to), 2);
  EXPECT_EQ(pthread_kill(waiters.id(1), SIGUSR1), 0);
  EXPECT_EQ(waiters.AnswerOf(1), -EINTR);
  EXPECT_EQ(waiters.AnswerOf(0), -ETIMEDOUT);
  EXPECT_EQ(Waiting(&to), 0);
}

TEST(Futex, HandlersEndAWait) {
  const test::Handler handler(0);
  const uint32_t word = 0;
  Waiters waiters(&word);
  waiters.AddPlain(1);
  EXPECT_EQ(pthread_kill(waiters.id(0), SIGUSR1), 0);
  EXPECT_EQ(waiters.AnswerOf(0), -EINTR);
  EXPECT_EQ(handler.runs(), 1);
  EXPECT_EQ(Waiting(&word), 0);
}

TEST(Futex, RestartingHandlersEndTimedWaitsOnly) {
  const test::Handler handler(SA_RESTART);
  const uint32_t word = 0;
  Waiters waiters(&word);
  waiters.AddPlain(1);
  waiters.Add([&] { return WaitBits(&word, 0, 3); });
  waiters.Add([&] {
    const timespec t = {1'000, 0};
    return Wait(&word, 0, &t);
  });
  waiters.Add([&] {
    const timespec t = test::In(CLOCK_MONOTONIC, 1'000'000);
    return WaitBits(&word, 0, 1, &t);
  });
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(pthread_kill(waiters.id(i), SIGUSR1), 0);
  EXPECT_EQ(waiters.AnswerOf(2), -EINTR);
  EXPECT_EQ(waiters.AnswerOf(3), -EINTR);
  EXPECT_TRUE(test::Eventually([&] { return handler.runs() == 4; }));
  EXPECT_TRUE(AwaitWaiting(&word, 2));
  EXPECT_EQ(waiters.HowManyDone(), 2);
  EXPECT_EQ(Wake(&word, INT_MAX), 2);
  EXPECT_EQ(waiters.AnswerOf(0), 0);
  EXPECT_EQ(waiters.AnswerOf(1), 0);
}

TEST(Futex, ARestartedWaitLooksAtTheWordAgain) {
  static std::atomic<uint32_t> word;
  word = 0;
  struct sigaction action = {};
  action.sa_handler = [](int) { word = 1; };
  action.sa_flags = SA_RESTART;
  struct sigaction old;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0);
  Waiters waiters(&word);
  waiters.AddPlain(1);
  EXPECT_EQ(pthread_kill(waiters.id(0), SIGUSR1), 0);
  EXPECT_EQ(waiters.AnswerOf(0), -EAGAIN);
  EXPECT_EQ(sigaction(SIGUSR1, &old, nullptr), 0);
}

TEST(Futex, BlockedSignalsEndNothing) {
  const test::Handler handler(0);
  const uint32_t word = 0;
  Waiters waiters(&word);
  waiters.Add([&] {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    const long answer = Wait(&word, 0);
    EXPECT_EQ(test::Handler::runs(), 0);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    EXPECT_EQ(test::Handler::runs(), 1);
    return answer;
  });
  EXPECT_EQ(pthread_kill(waiters.id(0), SIGUSR1), 0);
  test::LetThemWait();
  EXPECT_EQ(Wake(&word), 1);
  EXPECT_EQ(waiters.AnswerOf(0), 0);
}

TEST(Futex, HandlersMayWake) {
  static const uint32_t word = 0;
  static std::atomic<bool> stop;
  static std::atomic<long> woke;
  stop = false;
  woke = -1;
  struct sigaction action = {};
  action.sa_handler = [](int) { woke = Wake(&word); };
  struct sigaction old;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0);
  Waiters waiters(&word);
  waiters.AddPlain(1);
  Thread busy([] {
    while (!stop) usleep(100);
    return nullptr;
  });
  EXPECT_EQ(pthread_kill(busy.id(), SIGUSR1), 0);
  EXPECT_EQ(waiters.AnswerOf(0), 0);
  stop = true;
  busy.Join();
  EXPECT_EQ(woke, 1);
  EXPECT_EQ(sigaction(SIGUSR1, &old, nullptr), 0);
}

TEST(Futex, IsNoCancellationPoint) {
  const uint32_t word = 0;
  std::atomic<long> answer = -1;
  Thread thread([&]() -> void* {
    answer = Wait(&word, 0);
    pthread_testcancel();
    return nullptr;
  });
  EXPECT_TRUE(AwaitWaiting(&word, 1));
  EXPECT_EQ(pthread_cancel(thread.id()), 0);
  test::LetThemWait();
  EXPECT_TRUE(AwaitWaiting(&word, 1));
  EXPECT_EQ(answer, -1);
  EXPECT_EQ(Wake(&word), 1);
  EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
  EXPECT_EQ(answer, 0);
}

TEST(Futex, AsynchronousCancellationEndsAWait) {
  const uint32_t word = 0;
  Thread thread([&]() -> void* {
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
    Wait(&word, 0);
    return nullptr;
  });
  EXPECT_TRUE(AwaitWaiting(&word, 1));
  EXPECT_EQ(pthread_cancel(thread.id()), 0);
  EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
  EXPECT_EQ(Waiting(&word), 0);
}

TEST(Futex, ErrnoIsLeftAloneBySuccess) {
  const uint32_t word = 0;
  errno = 33;
  EXPECT_EQ(Wake(&word), 0);
  EXPECT_EQ(errno, 33);
  Waiters waiters(&word);
  waiters.Add([&] {
    errno = 34;
    const long answer = Wait(&word, 0);
    EXPECT_EQ(errno, 34);
    return answer;
  });
  EXPECT_EQ(Wake(&word), 1);
}

}  // namespace
