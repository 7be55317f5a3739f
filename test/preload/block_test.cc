// SPDX-License-Identifier: Apache-2.0
// Tests calls that block in the kernel and cannot be polled: each blocks its own thread only, and gives what it gives
// natively, also when it is interrupted or cancelled.
#include <netdb.h>

#include "blocks.h"
#include "signals.h"

namespace {

using test::Block;
using test::Caller;
using test::Channel;
using test::Child;
using test::Kind;
using test::Outcome;
using test::TemporaryFile;
using test::Thread;

TEST(Blocking, OnlyTheThreadThatCalls) {
  test::ForEachBlock([](const Block& block) {
    Caller caller(block.call);
    std::atomic<int> ticks = 0;
    Thread ticker([&] {
      for (int i = 0; i < 20; ++i, ++ticks) usleep(100);
      return nullptr;
    });
    ticker.Join();
    EXPECT_EQ(ticks, 20);
    EXPECT_FALSE(caller.done());
    block.release();
    EXPECT_EQ(caller.Wait(), Outcome{block.expected});
  });
}

TEST(Blocking, Interrupted) {
  test::Handler handler(SIGUSR1, test::Count, 0);
  test::ForEachBlock([](const Block& block) {
    Caller caller(block.call);
    test::LetThemWait();
    EXPECT_TRUE(test::Eventually([&] {
      if (!caller.done()) pthread_kill(caller.id(), SIGUSR1);
      return caller.done();
    }));
    EXPECT_EQ(caller.Wait(), (Outcome{-1, EINTR}));
  });
}

TEST(Blocking, InterruptedAndRestarted) {
  test::Handler handler(SIGUSR1, test::Count, SA_RESTART);
  test::ForEachBlock([](const Block& block) {
    Caller caller(block.call);
    test::LetThemWait();
    for (int i = 0; block.restarts && i < 3; ++i) {
      const int before = test::handled;
      pthread_kill(caller.id(), SIGUSR1);
      EXPECT_TRUE(test::Eventually([&] { return test::handled > before; }));
    }
    EXPECT_FALSE(caller.done());
    block.release();
    EXPECT_EQ(caller.Wait(), Outcome{block.expected});
  });
}

TEST(Blocking, Cancelled) {
  test::ForEachBlock([](const Block& block) {
    // No points at which a thread is cancelled, or, as wait4, declared not to throw.
    for (const char* none : {"flock", "semop", "sendfile", "wait 1"}) {
      if (block.name == none) return;
    }
    std::atomic<bool> ready = false;
    Thread thread([&]() -> void* {
      ready = true;
      block.call();
      return nullptr;
    });
    EXPECT_TRUE(test::Eventually([&] { return ready.load(); }));
    test::LetThemWait();
    EXPECT_EQ(pthread_cancel(thread.id()), 0);
    EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
  });
}

TEST(Blocking, NotWhenItNeedNot) {
  test::HereAndInAThread([] {
    TemporaryFile file;
    EXPECT_EQ(flock(file.fd(), LOCK_EX), 0);
    const int other = open(file.path(), O_RDWR);
    EXPECT_EQ(test::Of(flock(other, LOCK_EX | LOCK_NB)), (Outcome{-1, EWOULDBLOCK}));
    EXPECT_EQ(flock(file.fd(), LOCK_UN), 0);
    EXPECT_EQ(flock(other, LOCK_SH), 0);
    EXPECT_EQ(test::Of(flock(-1, LOCK_EX)), (Outcome{-1, EBADF}));
    EXPECT_EQ(test::Of(flock(other, 77)), (Outcome{-1, EINVAL}));
    auto lock = test::WholeFile(F_WRLCK);
    EXPECT_EQ(fcntl(other, F_SETLKW, &lock), 0);
    EXPECT_EQ(lockf(other, F_LOCK, 0), 0);
    EXPECT_EQ(lockf(other, F_TEST, 0), 0);
    EXPECT_EQ(lockf(other, F_ULOCK, 0), 0);
    EXPECT_EQ(test::Of(fcntl(other, F_SETLKW, nullptr)), (Outcome{-1, EFAULT}));
    EXPECT_EQ(fsync(other), 0);
    EXPECT_EQ(fdatasync(other), 0);
    EXPECT_EQ(test::Of(fsync(-1)), (Outcome{-1, EBADF}));
    close(other);
    EXPECT_EQ(test::Of(waitpid(-1, nullptr, 0)), (Outcome{-1, ECHILD}));
    EXPECT_EQ(test::Of(waitpid(-1, nullptr, WNOHANG)), (Outcome{-1, ECHILD}));
    siginfo_t info;
    EXPECT_EQ(test::Of(waitid(P_ALL, 0, &info, 0)), (Outcome{-1, EINVAL}));
    Child child;
    EXPECT_EQ(waitpid(child.pid(), nullptr, WNOHANG), 0);
    child.End();
    EXPECT_EQ(wait(nullptr), child.pid());
    Child second;
    second.End();
    int status;
    EXPECT_EQ(wait3(&status, 0, nullptr), second.pid());
    EXPECT_TRUE(test::Exited(status, 17));
    sembuf take = {0, -1, 0};
    EXPECT_EQ(test::Of(semop(-1, &take, 1)), (Outcome{-1, EINVAL}));
    const int semaphore = semget(IPC_PRIVATE, 1, 0600);
    const timespec soon = test::Ms(5);
    EXPECT_EQ(test::Of(semtimedop(semaphore, &take, 1, &soon)), (Outcome{-1, EAGAIN}));
    take.sem_flg = IPC_NOWAIT;
    EXPECT_EQ(test::Of(semop(semaphore, &take, 1)), (Outcome{-1, EAGAIN}));
    semctl(semaphore, 0, IPC_RMID);
    char message[16];
    EXPECT_EQ(test::Of(msgrcv(-1, message, 1, 0, 0)), (Outcome{-1, EINVAL}));
    EXPECT_EQ(test::Of(mq_receive(-1, message, 1, nullptr)), (Outcome{-1, EBADF}));
  });
}

TEST(Blocking, MessageQueuesKnowTheTime) {
  test::HereAndInAThread([] {
    const std::string name = "/block_test_time." + std::to_string(getpid());
    mq_attr attr = {};
    attr.mq_maxmsg = 1;
    attr.mq_msgsize = 8;
    const mqd_t queue = mq_open(name.c_str(), O_RDWR | O_CREAT, 0600, &attr);
    char in[8];
    const timespec soon = test::In(CLOCK_REALTIME, 5), bad = {.tv_sec = 1, .tv_nsec = -1};
    EXPECT_EQ(test::Of(mq_timedreceive(queue, in, 8, nullptr, &soon)), (Outcome{-1, ETIMEDOUT}));
    EXPECT_EQ(test::Of(mq_timedreceive(queue, in, 8, nullptr, &bad)), (Outcome{-1, EINVAL}));
    EXPECT_EQ(test::Of(mq_timedreceive(queue, in, 7, nullptr, &soon)), (Outcome{-1, EMSGSIZE}));
    EXPECT_EQ(mq_send(queue, "x", 1, 0), 0);
    EXPECT_EQ(test::Of(mq_timedsend(queue, "x", 1, 0, &soon)), (Outcome{-1, ETIMEDOUT}));
    attr.mq_flags = O_NONBLOCK;
    EXPECT_EQ(mq_setattr(queue, &attr, nullptr), 0);
    EXPECT_EQ(test::Of(mq_send(queue, "x", 1, 0)), (Outcome{-1, EAGAIN}));
    EXPECT_EQ(mq_receive(queue, in, 8, nullptr), 1);
    EXPECT_EQ(test::Of(mq_receive(queue, in, 8, nullptr)), (Outcome{-1, EAGAIN}));
    mq_close(queue);
    mq_unlink(name.c_str());
  });
}

TEST(Blocking, NamesOfHosts) {
  std::vector<const char*> hosts = {"127.0.0.1"};
  // A bare machine, without /etc/hosts, may not know it.
  addrinfo* known = nullptr;
  if (getaddrinfo("localhost", nullptr, nullptr, &known) == 0) {
    freeaddrinfo(known);
    hosts.push_back("localhost");
  }
  std::vector<Thread> threads;
  for (int i = 0; i < 10; ++i) {
    threads.emplace_back([&hosts] {
      addrinfo hints = {};
      hints.ai_family = AF_INET;
      hints.ai_socktype = SOCK_STREAM;
      for (const char* host : hosts) {
        addrinfo* found = nullptr;
        EXPECT_EQ(getaddrinfo(host, "80", &hints, &found), 0);
        if (found == nullptr) continue;
        EXPECT_EQ(reinterpret_cast<sockaddr_in*>(found->ai_addr)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
        char name[64], service[16];
        EXPECT_EQ(getnameinfo(found->ai_addr, found->ai_addrlen, name, sizeof name, service, sizeof service,
                              NI_NUMERICHOST | NI_NUMERICSERV),
                  0);
        EXPECT_STREQ(name, "127.0.0.1");
        EXPECT_STREQ(service, "80");
        freeaddrinfo(found);
      }
      hints.ai_flags = AI_NUMERICHOST;
      addrinfo* found = nullptr;
      EXPECT_EQ(getaddrinfo("no.number", nullptr, &hints, &found), EAI_NONAME);
      hints.ai_flags = -1;
      EXPECT_EQ(getaddrinfo("127.0.0.1", nullptr, &hints, &found), EAI_BADFLAGS);
      return nullptr;
    });
  }
}

TEST(Blocking, SendfileSendsAll) {
  TemporaryFile file;
  constexpr size_t kSize = 3 << 20;
  std::string content(kSize, '.');
  for (size_t i = 0; i < kSize; ++i) content[i] = test::ByteAt(i);
  ASSERT_EQ(write(file.fd(), content.data(), kSize), static_cast<ssize_t>(kSize));
  for (const Kind kind : {Kind::kTcp, Kind::kUnixStream}) {
    Channel channel(kind);
    off_t offset = 5;
    Caller sender([&] { return sendfile(channel.out, file.fd(), &offset, kSize); });
    std::string got(kSize - 5, '.');
    for (size_t at = 0; at < got.size();) {
      const ssize_t n = read(channel.in, &got[at], got.size() - at);
      ASSERT_GT(n, 0);
      at += static_cast<size_t>(n);
    }
    EXPECT_TRUE(got == content.substr(5));
    EXPECT_EQ(sender.Wait(), Outcome{static_cast<ssize_t>(kSize - 5)});
    EXPECT_EQ(offset, static_cast<off_t>(kSize));
  }
  // A pipe takes what it has room for.
  Channel pipe(Kind::kPipe);
  EXPECT_EQ(lseek(file.fd(), 0, SEEK_SET), 0);
  const int got = test::InThread([&] { return static_cast<int>(sendfile(pipe.out, file.fd(), nullptr, kSize)); });
  EXPECT_GT(got, 0);
  EXPECT_LT(got, static_cast<int>(kSize));
  EXPECT_EQ(lseek(file.fd(), 0, SEEK_CUR), got);
}

}  // namespace
