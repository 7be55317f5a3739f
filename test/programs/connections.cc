// SPDX-License-Identifier: Apache-2.0
// Many TCP connections, one after the other on each of some lines. A thread or two receive on each, in ways that
// change; they leave data behind, look without waiting, wait by poll, end and begin anew under the same numbers, while
// others look at the same descriptors, duplicate them, and fork. Every stream arrives whole and in order, and every
// end is seen.
// usage: connections [SECONDS]
// test: stress=60
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <vector>

#include "chaos.h"

namespace {

constexpr int kLines = 24, kOnlookers = 3;
constexpr int64_t kPatienceNs = 30'000'000'000;

char ByteAt(uint64_t seed, size_t position) {
  return static_cast<char>(seed * 131 + position * 31 + position / 251);
}

int64_t g_end;
std::atomic<bool> g_over{false};

// One line. Its connections' seeds are counted, so that a byte of the last is not taken for one of this.
struct Line {
  int index = 0;
  int listener = -1;
  sockaddr_in address{};
  std::atomic<uint64_t> connections{0};
  std::atomic<int> fd{-1};
  std::atomic<uint64_t> last{0};  // the connection after which none comes, known before its end is sent; 0: not yet
  std::atomic<size_t> sent{0}, received{0};
  std::atomic<int64_t> progress{0};

  bool Comes(uint64_t seed) const { return last == 0 || seed <= last; }
  bool two_receivers() const { return index % 4 == 3; }
  void Moved() { progress.store(NowNs(), std::memory_order_relaxed); }

  void Listen() {
    listener = Check(socket(AF_INET, SOCK_STREAM, 0), "socket");
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    Check(bind(listener, reinterpret_cast<sockaddr*>(&address), size), "bind");
    Check(listen(listener, 8), "listen");
    Check(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  }
};

std::vector<Line*> g_lines;

void Pause(std::minstd_rand& random) {
  switch (random() % 4) {
    case 0:
      usleep(random() % 1500);
      break;
    case 1:
      sched_yield();
      break;
    default:
      break;
  }
}

void* Send(void* argument) {
  auto* line = static_cast<Line*>(argument);
  std::minstd_rand random(static_cast<unsigned>(line->index) + 1);
  for (uint64_t seed = 1; line->Comes(seed); ++seed) {
    const int fd = Check(socket(AF_INET, SOCK_STREAM, 0), "socket");
    Check(connect(fd, reinterpret_cast<sockaddr*>(&line->address), sizeof line->address), "connect");
    const int on = 1;
    Check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
    const int pieces = static_cast<int>(random() % 60);
    size_t position = 0;
    for (int i = 0; i < pieces; ++i) {
      char data[3000];
      const size_t size = random() % 3 == 0 ? 1 + random() % sizeof data : 1 + random() % 40;
      for (size_t k = 0; k < size; ++k) data[k] = ByteAt(seed, position + k);
      if (send(fd, data, size, MSG_NOSIGNAL) != static_cast<ssize_t>(size)) Fail("send", line->index);
      position += size;
      line->sent += size;
      Pause(random);
    }
    if (g_over) line->last = seed;
    // Not by close alone: a child may have the file as well.
    Check(shutdown(fd, SHUT_WR), "shutdown");
    char none;
    if (recv(fd, &none, 1, 0) != 0) Fail("the receiver did not end", line->index);
    close(fd);
  }
  return nullptr;
}

// Waits for something in one of many ways; 0: the end.
ssize_t Take(int fd, bool alone, char* data, size_t room, std::minstd_rand& random) {
  const size_t size = random() % 2 == 0 ? room : 1 + random() % 30;
  const size_t half = (size + 1) / 2;
  iovec parts[2] = {{data, half}, {data + half, size - half}};
  msghdr message = {};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  switch (random() % 24) {
    case 0:
      return readv(fd, parts, 2);
    case 1:
      return recvmsg(fd, &message, 0);
    case 2:
      return recv(fd, data, 1 + random() % 100, MSG_WAITALL);
    case 3: {
      pollfd p = {fd, POLLIN, 0};
      Check(poll(&p, 1, -1), "poll");
      const ssize_t got = recv(fd, data, size, MSG_DONTWAIT);
      return got == -1 && errno == EAGAIN ? read(fd, data, size) : got;
    }
    case 4: {
      const ssize_t got = recv(fd, data, size, MSG_DONTWAIT);
      return got == -1 && errno == EAGAIN ? recv(fd, data, size, 0) : got;
    }
    case 5:
      if (recv(fd, data, size, MSG_PEEK) == -1) Fail("peek");
      return recv(fd, data, size, 0);
    case 6: {
      if (!alone) return recv(fd, data, size, 0);  // a time-out is the other's, too
      const timeval soon = {0, 1000}, never = {0, 0};
      Check(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon), "SO_RCVTIMEO");
      const ssize_t got = recv(fd, data, size, 0);
      Check(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof never), "SO_RCVTIMEO");
      return got == -1 && errno == EAGAIN ? recv(fd, data, size, 0) : got;
    }
    default:
      return recv(fd, data, size, 0);
  }
}

void ReceiveAll(Line* line, int fd, uint64_t seed, bool alone, std::minstd_rand& random) {
  char data[4096];
  for (size_t position = 0;;) {
    const ssize_t got = Take(fd, alone, data, sizeof data, random);
    if (got < 0) Fail("recv", line->index, fd);
    if (got == 0) return;
    for (ssize_t k = 0; alone && k < got; ++k)
      if (data[k] != ByteAt(seed, position++)) Fail("a wrong byte", line->index, static_cast<int64_t>(position));
    line->received += static_cast<size_t>(got);
    line->Moved();
  }
}

struct Second {
  Line* line;
  int fd;
  uint64_t seed;
};

void* ReceiveSecond(void* argument) {
  auto* second = static_cast<Second*>(argument);
  std::minstd_rand random(static_cast<unsigned>(second->seed));
  ReceiveAll(second->line, second->fd, second->seed, false, random);
  return nullptr;
}

void End(int fd, std::minstd_rand& random) {
  if (random() % 3 != 0) {
    Check(close(fd), "close");
  } else if (random() % 2 == 0) {
    FILE* stream = fdopen(fd, "r+");
    if (stream == nullptr || fclose(stream) != 0) Fail("fclose");
  } else {
    const int copy = Check(dup(fd), "dup");
    close(fd);
    close(copy);
  }
}

void* Receive(void* argument) {
  auto* line = static_cast<Line*>(argument);
  std::minstd_rand random(static_cast<unsigned>(line->index) + 1000);
  for (uint64_t seed = 1; line->Comes(seed); ++seed) {
    const int fd = Check(accept(line->listener, nullptr, nullptr), "accept");
    line->fd = fd;
    if (line->two_receivers()) {
      Second second{line, fd, seed};
      pthread_t thread;
      if (pthread_create(&thread, nullptr, ReceiveSecond, &second) != 0) Fail("pthread_create");
      ReceiveAll(line, fd, seed, false, random);
      pthread_join(thread, nullptr);
    } else {
      ReceiveAll(line, fd, seed, true, random);
    }
    if (line->sent != line->received) Fail("bytes are missing", line->index);
    line->fd = -1;
    line->Moved();
    ++line->connections;
    if (NowNs() > g_end) g_over = true;
    shutdown(fd, SHUT_WR);  // a child may have the file as well
    End(fd, random);
  }
  return nullptr;
}

void* LookOn(void* argument) {
  std::minstd_rand random(static_cast<unsigned>(reinterpret_cast<intptr_t>(argument)));
  while (!g_over) {
    const int fd = g_lines[random() % kLines]->fd;
    if (fd == -1) continue;
    char byte;
    pollfd p = {fd, POLLIN, 0};
    switch (random() % 16) {
      case 0:
        if (pid_t child = Check(fork(), "fork"); child == 0) {
          usleep(5000);
          _exit(0);
        } else {
          waitpid(child, nullptr, 0);
        }
        break;
      case 1:
      case 2:
      case 3:
        close(dup(fd));
        break;
      case 4:
      case 5:
        recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        break;
      default:
        poll(&p, 1, static_cast<int>(random() % 3));
    }
    usleep(random() % 1000);
  }
  return nullptr;
}

pthread_t Start(void* (*body)(void*), void* argument) {
  pthread_t thread;
  if (pthread_create(&thread, nullptr, body, argument) != 0) Fail("pthread_create");
  return thread;
}

void* Watch(void*) {
  while (!g_over) {
    usleep(100'000);
    for (const Line* line : g_lines)
      if (NowNs() - line->progress > kPatienceNs) Fail("nothing comes on a line", line->index, line->fd);
  }
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? atof(argv[1]) : 2;
  g_end = NowNs() + static_cast<int64_t>(seconds * 1e9);
  for (int i = 0; i < kLines; ++i) {
    auto* line = new Line;
    line->index = i;
    line->Listen();
    line->Moved();
    g_lines.push_back(line);
  }
  std::vector<pthread_t> threads;
  for (Line* line : g_lines) {
    threads.push_back(Start(Receive, line));
    threads.push_back(Start(Send, line));
  }
  for (intptr_t i = 0; i < kOnlookers; ++i) threads.push_back(Start(LookOn, reinterpret_cast<void*>(i + 1)));
  const pthread_t watch = Start(Watch, nullptr);
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  pthread_join(watch, nullptr);
  uint64_t connections = 0;
  for (const Line* line : g_lines) connections += line->connections;
  if (connections == 0) Fail("no connection");
  puts("all was received");
  return 0;
}
