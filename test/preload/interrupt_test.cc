// SPDX-License-Identifier: Apache-2.0
// Tests what signals do to threads that wait for descriptors.
#include <setjmp.h>
#include <string.h>

#include "signals.h"
#include "waits.h"

namespace {

using test::Caller;
using test::Channel;
using test::Kind;
using test::Outcome;
using test::Wait;

class Interrupt : public test::Signal {};

// Sends SIGUSR1 until the call ends: it may come before the call begins.
Outcome Interrupted(Caller& caller) {
  test::LetThemWait();
  EXPECT_TRUE(test::Eventually([&] {
    if (!caller.done()) pthread_kill(caller.id(), SIGUSR1);
    return caller.done();
  }));
  return caller.Wait();
}

// Sends SIGUSR1 several times and sees that the handler ran each time.
void Bother(Caller& caller) {
  test::LetThemWait();
  for (int i = 0; i < 3; ++i) {
    const int before = test::handled;
    ASSERT_EQ(pthread_kill(caller.id(), SIGUSR1), 0);
    EXPECT_TRUE(test::Eventually([&] { return test::handled > before; }));
    EXPECT_EQ(test::handled_by, caller.id());
  }
}

TEST_F(Interrupt, WithoutRestart) {
  test::Handler handler(SIGUSR1, test::Count, 0);
  test::ForEachWait([](Wait& wait) {
    for (int i = 0; i < 2; ++i) {
      Caller caller([&] { return wait.Call(); });
      EXPECT_EQ(Interrupted(caller), (Outcome{-1, EINTR}));
    }
    // Nothing is lost.
    wait.Release();
    Caller caller([&] { return wait.Call(); });
    EXPECT_EQ(caller.Wait(), Outcome{wait.Expected()});
  });
}

TEST_F(Interrupt, WithRestart) {
  test::Handler handler(SIGUSR1, test::Count, SA_RESTART);
  test::ForEachWait([](Wait& wait) {
    Caller caller([&] { return wait.Call(); });
    if (wait.NeverRestarts()) {
      EXPECT_EQ(Interrupted(caller), (Outcome{-1, EINTR}));
      return;
    }
    Bother(caller);
    EXPECT_FALSE(caller.done());
    wait.Release();
    EXPECT_EQ(caller.Wait(), Outcome{wait.Expected()});
  });
}

TEST_F(Interrupt, SocketsWithATimeoutDoNotRestart) {
  test::Handler handler(SIGUSR1, test::Count, SA_RESTART);
  test::ForEachWait([](Wait& wait) {
    const auto [socket, option] = wait.Timeout();
    if (socket == -1) return;
    test::SetTimeout(socket, option, 100'000);
    Caller caller([&] { return wait.Call(); });
    EXPECT_EQ(Interrupted(caller), (Outcome{-1, EINTR}));
  });
}

TEST_F(Interrupt, BlockedAndIgnoredSignalsDoNot) {
  test::Handler handler(SIGUSR1, test::Count, 0);
  signal(SIGUSR2, SIG_IGN);
  test::ForEachWait([](Wait& wait) {
    std::atomic<bool> blocked = false;
    Caller caller([&] {
      const sigset_t set = test::Set({SIGUSR1});
      pthread_sigmask(SIG_BLOCK, &set, nullptr);
      blocked = true;
      return wait.Call();
    });
    EXPECT_TRUE(test::Eventually([&] { return blocked.load(); }));
    test::LetThemWait();
    pthread_kill(caller.id(), SIGUSR1);
    pthread_kill(caller.id(), SIGUSR2);
    test::LetThemWait();
    EXPECT_FALSE(caller.done());
    wait.Release();
    EXPECT_EQ(caller.Wait(), Outcome{wait.Expected()});
  });
  EXPECT_EQ(test::handled, 0);
}

TEST_F(Interrupt, InTheMiddleOfAReceive) {
  for (const int flags : {0, SA_RESTART}) {
    test::Handler handler(SIGUSR1, test::Count, flags);
    for (const Kind kind : {Kind::kTcp, Kind::kUnixStream}) {
      Channel channel(kind);
      char data[5];
      Caller receiver([&] { return recv(channel.in, data, 5, MSG_WAITALL); });
      test::LetThemWait();
      channel.Put();
      channel.Put();
      int left = 2;
      EXPECT_TRUE(test::Eventually([&] { return ioctl(channel.in, FIONREAD, &left) == 0 && left == 0; }));
      EXPECT_EQ(Interrupted(receiver), Outcome{2});
    }
  }
}

TEST_F(Interrupt, InTheMiddleOfASend) {
  for (const int flags : {0, SA_RESTART}) {
    test::Handler handler(SIGUSR1, test::Count, flags);
    for (const Kind kind : {Kind::kTcp, Kind::kUnixStream, Kind::kPipe, Kind::kFifo}) {
      SCOPED_TRACE(test::NameOf(kind));
      Channel channel(kind);
      std::vector<char> much(32 << 20);
      Caller writer([&] { return write(channel.out, much.data(), much.size()); });
      pollfd fd = {channel.in, POLLIN, 0};
      EXPECT_EQ(poll(&fd, 1, -1), 1);
      const ssize_t written = Interrupted(writer).result;
      EXPECT_GT(written, 0);
      EXPECT_LT(written, static_cast<ssize_t>(much.size()));
      channel.CloseOut();
      ssize_t got = 0;
      for (ssize_t n; (n = read(channel.in, much.data(), much.size())) > 0;) got += n;
      EXPECT_EQ(got, written);
    }
  }
}

thread_local sigjmp_buf out_of_the_handler;
thread_local volatile sig_atomic_t may_jump;

void Jump(int) {
  if (may_jump == 0) return;
  may_jump = 0;
  siglongjmp(out_of_the_handler, 1);
}

// Where calls put what they have on the stack.
__attribute__((noinline)) void Overwrite() {
  char much[16 << 10];
  memset(much, 0xa5, sizeof much);
  __asm__ volatile("" ::"r"(much) : "memory");
}

TEST_F(Interrupt, AJumpOutOfTheHandlerEndsTheCall) {
  test::Handler handler(SIGUSR1, Jump, SA_RESTART);
  test::ForEachWait([](Wait& wait) {
    static std::atomic<bool> begun, jumped;
    begun = jumped = false;
    Caller caller([&]() -> ssize_t {
      if (sigsetjmp(out_of_the_handler, 1) == 0) {
        may_jump = 1;
        begun = true;
        const ssize_t result = wait.Call();
        may_jump = 0;
        return result;
      }
      Overwrite();
      jumped = true;
      // Others go on, and so does this thread.
      return wait.Call();
    });
    Caller other([&] { return wait.Call(); });
    EXPECT_TRUE(test::Eventually([] { return begun.load(); }));
    test::LetThemWait();
    EXPECT_EQ(pthread_kill(caller.id(), SIGUSR1), 0);
    EXPECT_TRUE(test::Eventually([] { return jumped.load(); }));
    test::LetThemWait();
    EXPECT_FALSE(caller.done());
    wait.Release();
    EXPECT_TRUE(test::Eventually([&] { return caller.done() || other.done(); }));
    wait.Release();
    EXPECT_EQ(caller.Wait(), Outcome{wait.Expected()});
    EXPECT_EQ(other.Wait(), Outcome{wait.Expected()});
  });
}

TEST_F(Interrupt, AfterAJumpCancellationActsAtOnce) {
  test::Handler handler(SIGUSR1, Jump, SA_RESTART);
  test::ForEachWait([](Wait& wait) {
    static std::atomic<bool> begun, computes;
    begun = computes = false;
    test::Thread thread([&]() -> void* {
      if (sigsetjmp(out_of_the_handler, 1) == 0) {
        may_jump = 1;
        begun = true;
        wait.Call();
        return nullptr;
      }
      pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
      computes = true;
      for (;;) __asm__ volatile("");
    });
    EXPECT_TRUE(test::Eventually([] { return begun.load(); }));
    test::LetThemWait();
    EXPECT_EQ(pthread_kill(thread.id(), SIGUSR1), 0);
    EXPECT_TRUE(test::Eventually([&] { return computes.load(); }));
    EXPECT_EQ(pthread_cancel(thread.id()), 0);
    EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
  });
}

TEST_F(Interrupt, SelectSaysWhatIsLeftOfItsTime) {
  test::Handler handler(SIGUSR1, test::Count, 0);
  timeval left = {.tv_sec = 100, .tv_usec = 0};
  Caller caller([&] { return select(0, nullptr, nullptr, nullptr, &left); });
  test::LetThemWait();
  EXPECT_EQ(Interrupted(caller), (Outcome{-1, EINTR}));
  EXPECT_GE(left.tv_sec, 30);
  EXPECT_LT(left.tv_sec, 100);
}

TEST_F(Interrupt, ASignalToTheProcessFindsAThreadThatWaits) {
  test::Handler handler(SIGUSR1, test::Count, 0);
  const sigset_t set = test::Set({SIGUSR1});
  Channel channel(Kind::kUnixStream);
  Caller caller([&] {
    char byte;
    return recv(channel.in, &byte, 1, 0);
  });
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  test::LetThemWait();
  EXPECT_TRUE(test::Eventually([&] {
    if (!caller.done()) kill(getpid(), SIGUSR1);
    return caller.done();
  }));
  EXPECT_EQ(caller.Wait(), (Outcome{-1, EINTR}));
  timespec none = {};
  while (sigtimedwait(&set, nullptr, &none) > 0) {
  }
}

TEST_F(Interrupt, AStormOfSignalsLosesNoByte) {
  test::Handler handler(SIGUSR1, test::Count, 0);
  for (const Kind kind : {Kind::kTcp, Kind::kPipe, Kind::kPty}) {
    Channel channel(kind);
    constexpr int kBytes = 2000;
    Caller reader([&] {
      int got = 0;
      while (got < kBytes) {
        char byte;
        const ssize_t n = read(channel.in, &byte, 1);
        if (n == -1 && errno == EINTR) continue;
        if (n != 1 || byte != test::ByteAt(static_cast<size_t>(got))) return -1;
        ++got;
      }
      return got;
    });
    test::Thread stormer([&] {
      while (!reader.done()) {
        pthread_kill(reader.id(), SIGUSR1);
        usleep(50);
      }
      return nullptr;
    });
    for (size_t i = 0; i < kBytes; ++i) {
      channel.Put(test::ByteAt(i));
      if (i % 16 == 0) usleep(20);
    }
    EXPECT_TRUE(test::Eventually([&] { return reader.done(); }));
    stormer.Join();
    EXPECT_EQ(reader.Wait(), Outcome{kBytes});
  }
}

}  // namespace
