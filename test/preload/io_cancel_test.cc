// SPDX-License-Identifier: Apache-2.0
// Tests cancellation of threads that wait for descriptors.
#include "waits.h"

namespace {

using test::Caller;
using test::Channel;
using test::Kind;
using test::Outcome;
using test::Thread;
using test::Wait;

// A thread that calls and is cancelled; `prepare` runs in it first.
void CancelIn(const std::function<void()>& call, const std::function<void()>& prepare = [] {}) {
  std::atomic<bool> ready = false, cleaned = false, unwound = false;
  struct Unwinds {
    std::atomic<bool>& flag;
    ~Unwinds() { flag = true; }
  };
  Thread thread([&]() -> void* {
    Unwinds unwinds{unwound};
    pthread_cleanup_push([](void* flag) { *static_cast<std::atomic<bool>*>(flag) = true; }, &cleaned);
    prepare();
    ready = true;
    for (;;) call();
    pthread_cleanup_pop(0);
  });
  EXPECT_TRUE(test::Eventually([&] { return ready.load(); }));
  test::LetThemWait();
  EXPECT_EQ(pthread_cancel(thread.id()), 0);
  EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
  EXPECT_TRUE(cleaned);
  EXPECT_TRUE(unwound);
}

TEST(IoCancel, LeavesTheDescriptorToOthers) {
  test::ForEachWait([](Wait& wait) {
    CancelIn([&] { wait.Call(); });
    Caller other([&] { return wait.Call(); });
    CancelIn([&] { wait.Call(); });
    wait.Release();
    EXPECT_EQ(other.Wait(), Outcome{wait.Expected()});
  });
}

TEST(IoCancel, OfTheOneThatWasFirst) {
  test::ForEachWait([](Wait& wait) {
    std::unique_ptr<Caller> other;
    std::atomic<bool> waits = false;
    Thread first([&]() -> void* {
      waits = true;
      for (;;) wait.Call();
    });
    EXPECT_TRUE(test::Eventually([&] { return waits.load(); }));
    test::LetThemWait();
    other = std::make_unique<Caller>([&] { return wait.Call(); });
    test::LetThemWait();
    EXPECT_EQ(pthread_cancel(first.id()), 0);
    EXPECT_EQ(first.Join(), PTHREAD_CANCELED);
    wait.Release();
    EXPECT_EQ(other->Wait(), Outcome{wait.Expected()});
  });
}

TEST(IoCancel, Asynchronous) {
  test::ForEachWait([](Wait& wait) {
    CancelIn([&] { wait.Call(); }, [] { pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr); });
    wait.Release();
    EXPECT_EQ(wait.Call(), wait.Expected());
  });
}

TEST(IoCancel, Disabled) {
  test::ForEachWait([](Wait& wait) {
    std::atomic<bool> ready = false, done = false;
    ssize_t result = -1;
    Thread thread([&]() -> void* {
      pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
      ready = true;
      result = wait.Call();
      done = true;
      pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
      pthread_testcancel();
      return nullptr;
    });
    EXPECT_TRUE(test::Eventually([&] { return ready.load(); }));
    test::LetThemWait();
    EXPECT_EQ(pthread_cancel(thread.id()), 0);
    test::LetThemWait();
    EXPECT_FALSE(done);
    wait.Release();
    EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
    EXPECT_EQ(result, wait.Expected());
  });
}

TEST(IoCancel, BeforeTheCallThatNeedNotWait) {
  for (const bool by_itself : {false, true}) {
    test::ForEachWait([by_itself](Wait& wait) {
      wait.Release();
      std::atomic<bool> cancelled = false;
      std::atomic<bool> returned = false;
      Thread thread([&]() -> void* {
        if (by_itself) {
          pthread_cancel(pthread_self());
        } else {
          while (!cancelled) sched_yield();
        }
        wait.Call();
        returned = true;
        return nullptr;
      });
      if (!by_itself) {
        EXPECT_EQ(pthread_cancel(thread.id()), 0);
      }
      cancelled = true;
      EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
      EXPECT_FALSE(returned);
      // It took nothing along.
      EXPECT_EQ(wait.Call(), wait.Expected());
    });
  }
}

TEST(IoCancel, ManyAtOneDescriptor) {
  for (const Kind kind : {Kind::kTcp, Kind::kUnixDatagram, Kind::kPipe}) {
    Channel channel(kind);
    std::vector<Thread> threads;
    std::atomic<int> got = 0;
    constexpr int kThreads = 30;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&]() -> void* {
        char byte;
        if (read(channel.in, &byte, 1) == 1) ++got;
        return nullptr;
      });
    }
    test::LetThemWait();
    int cancelled = 0;
    for (int i = 0; i < kThreads; i += 2) EXPECT_EQ(pthread_cancel(threads[static_cast<size_t>(i)].id()), 0);
    for (int i = 0; i < kThreads; i += 2) cancelled += threads[static_cast<size_t>(i)].Join() == PTHREAD_CANCELED;
    EXPECT_EQ(cancelled, kThreads / 2);
    for (int i = 1; i < kThreads; i += 2) {
      channel.Put();
      EXPECT_TRUE(test::Eventually([&] { return got == (i + 1) / 2; }));
    }
    threads.clear();
  }
}

TEST(IoCancel, APollOfManyDescriptors) {
  std::vector<std::unique_ptr<Channel>> channels;
  std::vector<pollfd> fds;
  for (int i = 0; i < 100; ++i) {
    channels.push_back(std::make_unique<Channel>(i % 2 == 0 ? Kind::kPipe : Kind::kUnixStream));
    fds.push_back({channels.back()->in, POLLIN, 0});
  }
  for (int i = 0; i < 3; ++i) CancelIn([&] { poll(fds.data(), fds.size(), -1); });
  channels[77]->Put();
  EXPECT_EQ(poll(fds.data(), fds.size(), -1), 1);
  EXPECT_EQ(fds[77].revents, POLLIN);
}

TEST(IoCancel, ARaceWithDataLosesNone) {
  // Each byte is read by the thread that is cancelled at that moment, or it is still there.
  for (const Kind kind : {Kind::kTcp, Kind::kPipe}) {
    Channel channel(kind);
    for (int i = 0; i < 300; ++i) {
      Thread reader([&]() -> void* {
        channel.Get();
        return &channel;
      });
      if (i % 3 == 0) sched_yield();
      Thread writer([&] {
        channel.Put();
        return nullptr;
      });
      EXPECT_EQ(pthread_cancel(reader.id()), 0);
      writer.Join();
      if (reader.Join() == PTHREAD_CANCELED) {
        EXPECT_EQ(channel.Get(), 'x');
      }
      int left = -1;
      EXPECT_EQ(ioctl(channel.in, FIONREAD, &left), 0);
      EXPECT_EQ(left, 0);
    }
  }
}

}  // namespace
