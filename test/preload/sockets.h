// SPDX-License-Identifier: Apache-2.0
// Two connected descriptors of each kind, and threads that wait for them.
#ifndef TEST_PRELOAD_SOCKETS_H_
#define TEST_PRELOAD_SOCKETS_H_

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>

#include <string>
#include <vector>

#include "util.h"

namespace test {

struct Address {
  sockaddr_in in;
  socklen_t size = sizeof in;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&in); }
};

inline Address Loopback(int port = 0) {
  Address address{};
  address.in.sin_family = AF_INET;
  address.in.sin_port = htons(static_cast<uint16_t>(port));
  address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline Address AddressOf(int socket) {
  Address address{};
  EXPECT_EQ(getsockname(socket, address.get(), &address.size), 0);
  return address;
}

// Bound to a free port of the loopback interface.
inline int Bound(int type) {
  const int socket = ::socket(AF_INET, type, 0);
  EXPECT_NE(socket, -1);
  Address address = Loopback();
  EXPECT_EQ(bind(socket, address.get(), address.size), 0);
  return socket;
}

inline int Listener(int backlog = 128) {
  const int listener = Bound(SOCK_STREAM);
  EXPECT_EQ(listen(listener, backlog), 0);
  return listener;
}

inline int ConnectTo(int listener) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_NE(socket, -1);
  Address address = AddressOf(listener);
  EXPECT_EQ(connect(socket, address.get(), address.size), 0);
  return socket;
}

enum class Kind { kTcp, kUdp, kUnixStream, kUnixDatagram, kUnixPacket, kPipe, kFifo, kPty };

inline const char* NameOf(Kind kind) {
  static const char* const kNames[] = {"Tcp", "Udp", "UnixStream", "UnixDatagram", "UnixPacket", "Pipe", "Fifo", "Pty"};
  return kNames[static_cast<int>(kind)];
}

// out -> in; sockets and terminals the other way, too.
class Channel {
 public:
  explicit Channel(Kind kind) {
    int ends[2] = {-1, -1};
    switch (kind) {
      case Kind::kTcp: {
        const int listener = Listener();
        ends[1] = ConnectTo(listener);
        ends[0] = accept(listener, nullptr, nullptr);
        close(listener);
        break;
      }
      case Kind::kUdp: {
        for (int& end : ends) end = Bound(SOCK_DGRAM);
        for (const int i : {0, 1}) {
          Address other = AddressOf(ends[1 - i]);
          EXPECT_EQ(connect(ends[i], other.get(), other.size), 0);
        }
        break;
      }
      case Kind::kUnixStream:
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        break;
      case Kind::kUnixDatagram:
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
        break;
      case Kind::kUnixPacket:
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
        break;
      case Kind::kPipe:
        EXPECT_EQ(pipe(ends), 0);
        break;
      case Kind::kFifo: {
        char folder[] = "/tmp/channel.XXXXXX";
        EXPECT_NE(mkdtemp(folder), nullptr);
        const std::string path = std::string(folder) + "/fifo";
        EXPECT_EQ(mkfifo(path.c_str(), 0600), 0);
        ends[0] = open(path.c_str(), O_RDONLY | O_NONBLOCK);
        ends[1] = open(path.c_str(), O_WRONLY);
        EXPECT_EQ(fcntl(ends[0], F_SETFL, O_RDONLY), 0);
        unlink(path.c_str());
        rmdir(folder);
        break;
      }
      case Kind::kPty: {
        ends[0] = posix_openpt(O_RDWR | O_NOCTTY);
        EXPECT_EQ(grantpt(ends[0]), 0);
        EXPECT_EQ(unlockpt(ends[0]), 0);
        ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY);
        termios raw;
        EXPECT_EQ(tcgetattr(ends[1], &raw), 0);
        cfmakeraw(&raw);
        EXPECT_EQ(tcsetattr(ends[1], TCSANOW, &raw), 0);
        break;
      }
    }
    in = ends[0];
    out = ends[1];
    EXPECT_NE(in, -1);
    EXPECT_NE(out, -1);
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel() {
    if (in != -1) close(in);
    if (out != -1) close(out);
  }

  void CloseIn() { EXPECT_EQ(close(std::exchange(in, -1)), 0); }
  void CloseOut() { EXPECT_EQ(close(std::exchange(out, -1)), 0); }
  void Put(char byte = 'x') { EXPECT_EQ(write(out, &byte, 1), 1); }
  char Get() {
    char byte = 0;
    EXPECT_EQ(read(in, &byte, 1), 1);
    return byte;
  }

  int in = -1;
  int out = -1;
};

inline void SetTimeout(int socket, int option, int64_t ms) {
  const timeval time = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
  EXPECT_EQ(setsockopt(socket, SOL_SOCKET, option, &time, sizeof time), 0);
}

inline bool IsNonblocking(int fd) {
  return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

inline void SetNonblocking(int fd) {
  EXPECT_EQ(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

// Writes without waiting until there is no room.
inline size_t Fill(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  EXPECT_EQ(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
  static const char zeros[4096] = {};
  size_t size = 0;
  for (const size_t part : {sizeof zeros, size_t{1}}) {
    for (ssize_t n; (n = write(fd, zeros, part)) > 0;) size += static_cast<size_t>(n);
  }
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(fcntl(fd, F_SETFL, flags), 0);
  return size;
}

// Of a TCP connection: what was sent is on its way to the other end's buffer, where softirqs come late.
inline bool IsInFlight(int fd) {
  tcp_info info = {};
  socklen_t size = sizeof info;
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_unacked != 0;
}

// For good: what the kernel moves on later is made up for.
inline size_t FillUp(int fd) {
  for (size_t size = 0;; LetThemWait()) {
    const bool settled = !IsInFlight(fd);  // before: what arrives meanwhile makes room
    const size_t more = Fill(fd);
    size += more;
    if (settled && more == 0) return size;
  }
}

// A terminal's bytes are moved to its reader by a thread of the kernel's, until the reader's buffer is full.
inline size_t FillUp(const Channel& channel) {
  constexpr int kReaderIsFull = 4095;  // N_TTY_BUF_SIZE - 1 (Linux, drivers/tty/n_tty.c)
  size_t size = FillUp(channel.out);
  if (isatty(channel.in) == 0) return size;
  for (int there = 0; there < kReaderIsFull && !testing::Test::HasFailure();) {
    SleepMs(1);
    size += Fill(channel.out);
    EXPECT_EQ(ioctl(channel.in, FIONREAD, &there), 0);
  }
  return size + FillUp(channel.out);
}

// A byte that says where in a stream it belongs.
inline char ByteAt(size_t position) {
  return static_cast<char>(position * 31 + position / 251);
}

// What a call came to.
struct Outcome {
  ssize_t result = -2;
  int error = 0;
  bool operator==(const Outcome&) const = default;
};

inline void PrintTo(const Outcome& outcome, std::ostream* stream) {
  *stream << outcome.result << " (" << (outcome.result == -1 ? strerror(outcome.error) : "") << ")";
}

inline Outcome Of(ssize_t result) {
  return {result, result == -1 ? errno : 0};
}

// A thread that makes one call.
class Caller {
 public:
  explicit Caller(std::function<ssize_t()> call)
      : thread_([this, call = std::move(call)] {
          outcome_ = Of(call());
          done_ = true;
          return nullptr;
        }) {}
  // What it came to; waits for it.
  Outcome Wait() {
    thread_.Join();
    return outcome_;
  }
  bool done() const { return done_; }
  pthread_t id() const { return thread_.id(); }

 private:
  Outcome outcome_;
  std::atomic<bool> done_ = false;
  Thread thread_;
};

}  // namespace test

#endif  // TEST_PRELOAD_SOCKETS_H_
