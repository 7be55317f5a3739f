// SPDX-License-Identifier: Apache-2.0
// Every call that waits for a descriptor, in one table: how to make it wait and how to let it go on.
#ifndef TEST_PRELOAD_WAITS_H_
#define TEST_PRELOAD_WAITS_H_

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/uio.h>

#include "sockets.h"

namespace test {

// One thread or several wait in Call(); Release() lets one go on, and Expected() is what its call gives.
class Wait {
 public:
  virtual ~Wait() = default;
  virtual ssize_t Call() = 0;
  virtual void Release() = 0;
  virtual ssize_t Expected() { return 1; }
  // Ends with EINTR whatever the handler's flags.
  virtual bool NeverRestarts() { return false; }
  // A socket that can have a time-out, and which option that is; -1: none.
  virtual std::pair<int, int> Timeout() { return {-1, 0}; }
};

enum class Reads { kRead, kReadv, kRecv, kRecvfrom, kRecvmsg, kRecvmmsg, kPoll, kPpoll, kSelect, kPselect, kEpoll };

class ReadWait : public Wait {
 public:
  ReadWait(Kind kind, Reads how) : channel_(kind), how_(how) {
    epoll_ = epoll_create1(0);
    epoll_event event = {};
    event.events = EPOLLIN;
    EXPECT_EQ(epoll_ctl(epoll_, EPOLL_CTL_ADD, channel_.in, &event), 0);
  }
  ~ReadWait() override { close(epoll_); }

  ssize_t Call() override {
    char byte = 0;
    iovec iov = {&byte, 1};
    mmsghdr message = {};
    message.msg_hdr.msg_iov = &iov;
    message.msg_hdr.msg_iovlen = 1;
    fd_set set;
    FD_ZERO(&set);
    FD_SET(channel_.in, &set);
    pollfd fd = {channel_.in, POLLIN, 0};
    epoll_event event;
    switch (how_) {
      case Reads::kRead:
        return read(channel_.in, &byte, 1);
      case Reads::kReadv:
        return readv(channel_.in, &iov, 1);
      case Reads::kRecv:
        return recv(channel_.in, &byte, 1, 0);
      case Reads::kRecvfrom:
        return recvfrom(channel_.in, &byte, 1, 0, nullptr, nullptr);
      case Reads::kRecvmsg:
        return recvmsg(channel_.in, &message.msg_hdr, 0);
      case Reads::kRecvmmsg:
        return recvmmsg(channel_.in, &message, 1, 0, nullptr);
      case Reads::kPoll:
        return poll(&fd, 1, -1);
      case Reads::kPpoll:
        return ppoll(&fd, 1, nullptr, nullptr);
      case Reads::kSelect: {
        const int result = select(channel_.in + 1, &set, nullptr, nullptr, nullptr);
        // A call that fails leaves the sets alone.
        EXPECT_TRUE(FD_ISSET(channel_.in, &set));
        return result;
      }
      case Reads::kPselect:
        return pselect(channel_.in + 1, &set, nullptr, nullptr, nullptr, nullptr);
      case Reads::kEpoll:
        return epoll_wait(epoll_, &event, 1, -1);
    }
    return -3;
  }
  void Release() override { channel_.Put(); }
  bool NeverRestarts() override { return how_ >= Reads::kPoll; }
  std::pair<int, int> Timeout() override {
    const bool socket = fcntl(channel_.in, F_GETFL) != -1 && IsSocket(channel_.in);
    return {socket && !NeverRestarts() ? channel_.in : -1, SO_RCVTIMEO};
  }

  Channel& channel() { return channel_; }

  static bool IsSocket(int fd) {
    struct stat st;
    EXPECT_EQ(fstat(fd, &st), 0);
    return S_ISSOCK(st.st_mode);
  }

 private:
  Channel channel_;
  Reads how_;
  int epoll_;
};

enum class Writes { kWrite, kWritev, kSend, kSendto, kSendmsg };

class WriteWait : public Wait {
 public:
  WriteWait(Kind kind, Writes how) : channel_(kind), how_(how) { FillUp(channel_.out); }

  ssize_t Call() override {
    iovec iov = {const_cast<char*>("x"), 1};
    msghdr message = {};
    message.msg_iov = &iov;
    message.msg_iovlen = 1;
    switch (how_) {
      case Writes::kWrite:
        return write(channel_.out, "x", 1);
      case Writes::kWritev:
        return writev(channel_.out, &iov, 1);
      case Writes::kSend:
        return send(channel_.out, "x", 1, 0);
      case Writes::kSendto:
        return sendto(channel_.out, "x", 1, 0, nullptr, 0);
      case Writes::kSendmsg:
        return sendmsg(channel_.out, &message, 0);
    }
    return -3;
  }
  void Release() override {
    std::vector<char> buffer(1 << 20);
    for (pollfd fd = {channel_.in, POLLIN, 0}; poll(&fd, 1, 0) == 1;) {
      EXPECT_GT(read(channel_.in, buffer.data(), buffer.size()), 0);
    }
  }
  std::pair<int, int> Timeout() override {
    return {ReadWait::IsSocket(channel_.out) ? channel_.out : -1, SO_SNDTIMEO};
  }

 private:
  Channel channel_;
  Writes how_;
};

class AcceptWait : public Wait {
 public:
  explicit AcceptWait(bool accept4) : accept4_(accept4) {}
  ~AcceptWait() override {
    for (const int client : clients_) close(client);
    close(listener_);
  }
  ssize_t Call() override {
    const int got = accept4_ ? accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC) : accept(listener_, nullptr, nullptr);
    if (got == -1) return -1;
    close(got);
    return 1;
  }
  void Release() override { clients_.push_back(ConnectTo(listener_)); }
  std::pair<int, int> Timeout() override { return {listener_, SO_RCVTIMEO}; }

 private:
  bool accept4_;
  int listener_ = Listener();
  std::vector<int> clients_;
};

class EventWait : public Wait {
 public:
  ~EventWait() override { close(event_); }
  ssize_t Call() override {
    eventfd_t value;
    return read(event_, &value, sizeof value);
  }
  void Release() override { EXPECT_EQ(eventfd_write(event_, 1), 0); }
  ssize_t Expected() override { return sizeof(eventfd_t); }

 private:
  int event_ = eventfd(0, EFD_SEMAPHORE);
};

// Runs body(wait) on a new Wait of every sort.
template <typename Body>
void ForEachWait(Body body) {
  auto run = [&](const std::string& name, auto make) {
    SCOPED_TRACE(name);
    auto wait = make();
    body(*wait);
  };
  for (int how = 0; how <= static_cast<int>(Reads::kEpoll); ++how) {
    for (const Kind kind : {Kind::kTcp, Kind::kUnixDatagram, Kind::kPipe, Kind::kFifo, Kind::kPty}) {
      const bool receives = how >= static_cast<int>(Reads::kRecv) && how <= static_cast<int>(Reads::kRecvmmsg);
      if (receives && kind >= Kind::kPipe) continue;
      run("read " + std::to_string(how) + " of " + NameOf(kind),
          [&] { return std::make_unique<ReadWait>(kind, static_cast<Reads>(how)); });
    }
  }
  for (int how = 0; how <= static_cast<int>(Writes::kSendmsg); ++how) {
    for (const Kind kind : {Kind::kUnixStream, Kind::kUnixDatagram, Kind::kPipe}) {
      if (how >= static_cast<int>(Writes::kSend) && kind == Kind::kPipe) continue;
      run("write " + std::to_string(how) + " to " + NameOf(kind),
          [&] { return std::make_unique<WriteWait>(kind, static_cast<Writes>(how)); });
    }
  }
  for (const bool accept4 : {false, true}) run("accept", [&] { return std::make_unique<AcceptWait>(accept4); });
  run("eventfd", [] { return std::make_unique<EventWait>(); });
}

}  // namespace test

#endif  // TEST_PRELOAD_WAITS_H_
