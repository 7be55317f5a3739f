// SPDX-License-Identifier: Apache-2.0
// Every call that blocks in the kernel and cannot be polled, in one table: how to block and how to let it go on.
#ifndef TEST_PRELOAD_BLOCKS_H_
#define TEST_PRELOAD_BLOCKS_H_

#include <mqueue.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/sendfile.h>

#include "sockets.h"

namespace test {

// One way to block: Call() until Release(), any number of times; the release is another thread's or process's.
struct Block {
  std::string name;
  std::function<ssize_t()> call;
  std::function<void()> release;
  ssize_t expected = 0;
  bool restarts = true;
};

class TemporaryFile {
 public:
  TemporaryFile() : fd_(mkstemp(path_)) { EXPECT_NE(fd_, -1); }
  ~TemporaryFile() {
    close(fd_);
    unlink(path_);
  }
  int fd() const { return fd_; }
  const char* path() const { return path_; }

 private:
  char path_[32] = "/tmp/block_test.XXXXXX";
  int fd_;
};

// A process that ends when it is told to.
class Child {
 public:
  Child() : pid_(fork()) {
    EXPECT_NE(pid_, -1);
    if (pid_ != 0) return;
    char byte;
    _exit(read(channel_.in, &byte, 1) == 1 ? 17 : 18);
  }
  pid_t pid() const { return pid_; }
  void End() { channel_.Put(); }

 private:
  Channel channel_{Kind::kPipe};
  pid_t pid_;
};

// A process that holds a lock until it is told to let go. It holds it when the constructor returns.
class Holder {
 public:
  explicit Holder(const std::function<int()>& lock) {
    pid_ = fork();
    EXPECT_NE(pid_, -1);
    if (pid_ == 0) {
      alarm(kChildSeconds);
      char byte = lock() == 0 ? 'l' : 'e';
      if (write(held_.out, &byte, 1) != 1) _exit(1);
      _exit(read(let_go_.in, &byte, 1) == 1 ? 0 : 1);
    }
    EXPECT_EQ(held_.Get(), 'l');
  }
  ~Holder() { Release(); }
  void Release() {
    if (pid_ == -1) return;
    let_go_.Put();
    EXPECT_TRUE(Exited(WaitFor(std::exchange(pid_, -1)), 0));
  }

 private:
  Channel held_{Kind::kPipe}, let_go_{Kind::kPipe};
  pid_t pid_;
};

inline struct flock WholeFile(short type) {
  return {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0, .l_pid = 0};
}

// Runs body(block) for every way.
template <typename Body>
void ForEachBlock(Body body) {
  auto run = [&](const Block& block) {
    SCOPED_TRACE(block.name);
    body(block);
  };
  {
    TemporaryFile file;
    const int mine = open(file.path(), O_RDWR);
    EXPECT_EQ(flock(file.fd(), LOCK_EX), 0);
    run({"flock", [&] { return flock(mine, LOCK_EX); }, [&] { EXPECT_EQ(flock(file.fd(), LOCK_UN), 0); }});
    close(mine);
  }
  for (const int command : {F_SETLKW, F_OFD_SETLKW}) {
    TemporaryFile file;
    const int mine = open(file.path(), O_RDWR);
    auto lock = WholeFile(F_WRLCK);
    Holder holder([&] { return fcntl(mine, F_SETLK, &lock); });
    run({"fcntl", [&] { return fcntl(mine, command, &lock); }, [&] { holder.Release(); }});
    close(mine);
  }
  {
    TemporaryFile file;
    Holder holder([&] { return lockf(file.fd(), F_TLOCK, 0); });
    run({"lockf", [&] { return lockf(file.fd(), F_LOCK, 0); }, [&] { holder.Release(); }});
  }
  for (int how = 0; how < 3; ++how) {
    Child child;
    const pid_t pid = child.pid();
    auto wait = [how, pid]() -> ssize_t {
      int status = -1;
      siginfo_t info = {};
      rusage usage;
      const ssize_t got = how == 0   ? waitpid(pid, &status, 0)
                          : how == 1 ? wait4(pid, &status, 0, &usage)
                                     : waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED);
      if (got == -1) return -1;
      EXPECT_TRUE(how == 2 ? info.si_pid == pid && info.si_status == 17 : Exited(status, 17));
      return got;
    };
    run({"wait " + std::to_string(how), wait, [&] { child.End(); }, how == 2 ? 0 : pid});
    child.End();
    WaitFor(pid);
  }
  struct Msg {
    long type;
    char data[1000];
  };
  {
    const int queue = msgget(IPC_PRIVATE, 0600);
    Msg out = {1, "m"};
    run({"msgrcv",
         [&] {
           Msg in;
           return msgrcv(queue, &in, sizeof in.data, 0, 0);
         },
         [&] { EXPECT_EQ(msgsnd(queue, &out, 5, 0), 0); }, 5, false});
    while (msgsnd(queue, &out, sizeof out.data, IPC_NOWAIT) == 0) {
    }
    EXPECT_EQ(errno, EAGAIN);
    run({"msgsnd", [&] { return msgsnd(queue, &out, sizeof out.data, 0); },
         [&] { EXPECT_EQ(msgrcv(queue, &out, sizeof out.data, 0, 0), 1000); }, 0, false});
    EXPECT_EQ(msgctl(queue, IPC_RMID, nullptr), 0);
  }
  for (const bool timed : {false, true}) {
    const int semaphore = semget(IPC_PRIVATE, 1, 0600);
    sembuf take = {0, -1, 0}, give = {0, 1, 0};
    const timespec time = Ms(100'000);
    run({"semop", [&] { return timed ? semtimedop(semaphore, &take, 1, &time) : semop(semaphore, &take, 1); },
         [&] { EXPECT_EQ(semop(semaphore, &give, 1), 0); }, 0, false});
    EXPECT_EQ(semctl(semaphore, 0, IPC_RMID), 0);
  }
  for (const bool timed : {false, true}) {
    const std::string name = "/block_test." + std::to_string(getpid());
    mq_attr attr = {};
    attr.mq_maxmsg = 1;
    attr.mq_msgsize = 8;
    const mqd_t queue = mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
    EXPECT_NE(queue, -1);
    const timespec deadline = In(CLOCK_REALTIME, 100'000);
    char in[8];
    auto receive = [&] {
      return timed ? mq_timedreceive(queue, in, 8, nullptr, &deadline) : mq_receive(queue, in, 8, nullptr);
    };
    auto send = [&] { return timed ? mq_timedsend(queue, "s", 1, 0, &deadline) : mq_send(queue, "s", 1, 0); };
    run({"mq_receive", receive, [&] { EXPECT_EQ(mq_send(queue, "r", 1, 0), 0); }, 1});
    mq_send(queue, "f", 1, 0);
    timespec past = {};
    while (mq_timedsend(queue, "f", 1, 0, &past) == 0) {
    }
    run({"mq_send", send, [&] { EXPECT_EQ(mq_receive(queue, in, 8, nullptr), 1); }});
    EXPECT_EQ(mq_close(queue), 0);
    EXPECT_EQ(mq_unlink(name.c_str()), 0);
  }
  {
    char folder[] = "/tmp/block_test.XXXXXX";
    EXPECT_NE(mkdtemp(folder), nullptr);
    const std::string fifo = std::string(folder) + "/fifo";
    EXPECT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    int writer = -1;
    run({"open of a FIFO",
         [&]() -> ssize_t {
           const int got = open(fifo.c_str(), O_RDONLY);
           return got == -1 ? -1 : close(got);
         },
         [&] { EXPECT_NE(writer = open(fifo.c_str(), O_WRONLY), -1); }});
    if (writer != -1) close(writer);
    unlink(fifo.c_str());
    rmdir(folder);
  }
  {
    Channel channel(Kind::kPipe), to(Kind::kPipe);
    run({"splice", [&] { return splice(channel.in, nullptr, to.out, nullptr, 1, 0); }, [&] { channel.Put(); }, 1});
  }
  {
    Channel channel(Kind::kUnixStream);
    TemporaryFile file;
    EXPECT_EQ(ftruncate(file.fd(), 1), 0);
    FillUp(channel);
    run({"sendfile",
         [&] {
           off_t offset = 0;
           return sendfile(channel.out, file.fd(), &offset, 1);
         },
         [&] {
           std::vector<char> buffer(1 << 20);
           EXPECT_GT(read(channel.in, buffer.data(), buffer.size()), 0);
         },
         1});
  }
}

}  // namespace test

#endif  // TEST_PRELOAD_BLOCKS_H_
