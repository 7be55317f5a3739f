// SPDX-License-Identifier: Apache-2.0
// Chaos of descriptors: numbers are closed and given to other files while threads wait under them. Every byte that was
// sent is received once, and every thread that waits for a file wakes when something comes there.
// usage: descriptors [SECONDS]
// test: stress=60
//
// Files live under numbers of their own that nobody waits under (kept). Some 20 other numbers, the slots, are given to
// one file after the other. Whoever waits under a slot gets what belongs to the file that the slot named when the call
// began, or a later one; all files are in one account, so either is right.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <random>
#include <vector>

#include "chaos.h"

namespace {

constexpr int kFirstSlot = 300, kSlots = 20;
constexpr int kReaders = 24, kSenders = 2, kBreakers = 3;
constexpr int64_t kMostOnTheWay = 64;
constexpr int kPatience = 30'000;  // rounds of a millisecond or more
constexpr int kPollMs = 200;
constexpr uint64_t kEvent = uint64_t{1} << 32;  // of an eventfd; a timer does not count so far

enum Kind { kUnixStream, kTcp, kDatagram, kPipe, kKinds };

struct Listener {
  int fd;
  sockaddr_in address{};
  Listener() : fd(Check(socket(AF_INET, SOCK_STREAM, 0), "socket")) {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    Check(bind(fd, reinterpret_cast<sockaddr*>(&address), size), "bind");
    Check(listen(fd, 512), "listen");
    Check(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  }
  int Connect() const {
    const int client = Check(socket(AF_INET, SOCK_STREAM, 0), "socket");
    Check(connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address), "connect");
    return client;
  }
};

// What was sent and received; a byte says of which channel it is.
struct Channel {
  int in = -1, out = -1;
  std::atomic<int64_t> sent{0}, received{0};

  explicit Channel(int kind) {
    int ends[2] = {-1, -1};
    if (kind == kPipe) {
      Check(pipe(ends), "pipe");
    } else if (kind == kTcp) {
      const Listener listener;
      ends[1] = listener.Connect();
      ends[0] = Check(accept(listener.fd, nullptr, nullptr), "accept");
      close(listener.fd);
    } else {
      Check(socketpair(AF_UNIX, kind == kDatagram ? SOCK_DGRAM : SOCK_STREAM, 0, ends), "socketpair");
    }
    in = ends[0];
    out = ends[1];
    Check(fcntl(out, F_SETFL, fcntl(out, F_GETFL) | O_NONBLOCK), "F_SETFL");
  }
};

class World {
 public:
  World() {
    for (int i = 0; i < 2 * kKinds; ++i) channels_.push_back(new Channel(i % kKinds));
    epoll_ = Check(epoll_create1(0), "epoll_create1");
    for (size_t i = 0; i < channels_.size(); ++i) {
      epoll_event event = {};
      event.events = EPOLLIN;
      event.data.u64 = i;
      Check(epoll_ctl(epoll_, EPOLL_CTL_ADD, channels_[i]->in, &event), "epoll_ctl");
      files_.push_back(channels_[i]->in);
    }
    events_ = Check(eventfd(0, 0), "eventfd");
    timer_ = Check(timerfd_create(CLOCK_MONOTONIC, 0), "timerfd_create");
    const itimerspec every = {{0, 5'000'000}, {0, 5'000'000}};
    Check(timerfd_settime(timer_, 0, &every, nullptr), "timerfd_settime");
    for (const int fd : {events_, timer_, epoll_, listener_.fd}) files_.push_back(fd);
  }

  void Round(int64_t until) {
    stop_ = ended_ = false;
    Check(socketpair(AF_UNIX, SOCK_STREAM, 0, silent_), "socketpair");
    std::vector<pthread_t> readers, others;
    for (int i = 0; i < kReaders; ++i) Start(&readers, &World::Read, i);
    for (int i = 0; i < kSenders; ++i) Start(&others, &World::Send, i);
    for (int i = 0; i < kBreakers; ++i) Start(&others, &World::Break, i);
    while (NowNs() < until) usleep(5000);
    stop_ = true;
    Check(shutdown(silent_[0], SHUT_RDWR), "shutdown");
    // Something comes to every file until nobody waits any more.
    for (int i = 0; alive_ != 0; ++i) {
      if (i == kPatience) Fail("threads wait for what has come", alive_);
      usleep(1000);
    }
    ended_ = true;
    for (const auto* threads : {&readers, &others}) {
      for (const pthread_t thread : *threads) pthread_join(thread, nullptr);
    }
    for (int slot = kFirstSlot; slot < kFirstSlot + kSlots; ++slot) close(slot);
    close(silent_[0]);
    close(silent_[1]);
    Settle();
  }

 private:
  using Body = void (World::*)(unsigned seed);
  struct Begin {
    World* world;
    Body body;
    unsigned seed;
  };

  void Start(std::vector<pthread_t>* threads, Body body, int index) {
    if (body == &World::Read) ++alive_;
    pthread_t thread;
    auto* begin = new Begin{this, body, static_cast<unsigned>(index) + 100 * ++rounds_};
    const int error = pthread_create(
        &thread, nullptr,
        [](void* argument) -> void* {
          auto* b = static_cast<Begin*>(argument);
          (b->world->*b->body)(b->seed);
          delete b;
          return nullptr;
        },
        begin);
    if (error != 0) Fail("pthread_create", error);
    threads->push_back(thread);
  }

  // What a read of up to 8 bytes gave.
  void Count(const unsigned char* bytes, ssize_t n) {
    if (n <= 0) return;
    uint64_t value = 0;
    memcpy(&value, bytes, static_cast<size_t>(n));
    if (n == sizeof value && value % kEvent == 0) {
      events_received_ += static_cast<int64_t>(value / kEvent);
    } else if (n != sizeof value || value / kEvent != 0) {
      for (ssize_t i = 0; i < n; ++i) ++channels_.at(bytes[i] - size_t{'a'})->received;
    }  // else of the timer
  }

  // Without waiting; false: there was nothing.
  bool Take(const Channel& channel) {
    unsigned char bytes[8];
    pollfd fd = {channel.in, POLLIN, 0};
    if (poll(&fd, 1, 0) != 1) return false;
    ssize_t n = recv(channel.in, bytes, 1, MSG_DONTWAIT);
    if (n == -1 && errno == ENOTSOCK) return false;  // a pipe: somebody else may take it first
    Count(bytes, n);
    return n > 0;
  }

  void Read(unsigned seed) {
    std::minstd_rand random(seed + 1);
    unsigned char bytes[8];
    while (!stop_) {
      const int slot = kFirstSlot + static_cast<int>(random() % kSlots);
      switch (random() % 6) {
        case 0:
        case 1:
          Count(bytes, read(slot, bytes, sizeof bytes));
          break;
        case 2:
          Count(bytes, recv(slot, bytes, sizeof bytes, 0));
          break;
        case 3: {
          pollfd fds[2] = {{slot, POLLIN, 0}, {kFirstSlot + static_cast<int>(random() % kSlots), POLLIN, 0}};
          // Not for ever: it waits for the files that it finds at first, and when one of them wakes it, looks at those
          // that have the numbers by then (Linux, fs/select.c), for which nothing would wake it.
          if (poll(fds, 2, kPollMs) < 0) Fail("poll");
          break;
        }
        case 4: {
          epoll_event event;
          if (epoll_wait(slot, &event, 1, -1) == 1) Take(*channels_.at(event.data.u64));
          break;
        }
        case 5: {
          const int client = accept(slot, nullptr, nullptr);
          if (client == -1) break;
          ++accepted_;
          close(client);
          break;
        }
      }
    }
    --alive_;
  }

  void Put(size_t index) {
    Channel& channel = *channels_[index];
    if (channel.sent - channel.received > kMostOnTheWay) return;
    const char byte = static_cast<char>('a' + index);
    ++channel.sent;
    if (write(channel.out, &byte, 1) != 1) Fail("write");
  }

  void Send(unsigned seed) {
    std::minstd_rand random(seed + 1);
    while (!ended_) {
      const size_t what = random() % (channels_.size() + 2);
      if (what < channels_.size()) {
        Put(what);
      } else if (what == channels_.size()) {
        ++events_sent_;
        if (write(events_, &kEvent, sizeof kEvent) != sizeof kEvent) Fail("write to an eventfd");
      } else if (connected_ - accepted_ < kMostOnTheWay) {
        ++connected_;
        close(listener_.Connect());
      }
      if (random() % 16 == 0 || stop_) usleep(random() % 300);
    }
  }

  // Until the readers have ended: natively too, who waits under a number that nobody uses any more need not wake.
  void Break(unsigned seed) {
    std::minstd_rand random(seed + 1);
    while (!stop_) {
      const int slot = kFirstSlot + static_cast<int>(random() % kSlots);
      const size_t what = random() % (files_.size() + 1);
      const int file = what < files_.size() ? files_[what] : silent_[0];
      switch (random() % 8) {
        case 0:
          close(slot);
          break;
        case 1:
          Check(close_range(static_cast<unsigned>(slot), static_cast<unsigned>(slot), 0), "close_range");
          break;
        case 2:
          Check(dup3(file, slot, O_CLOEXEC), "dup3");
          break;
        case 3: {
          const int copy = Check(dup(file), "dup");
          dup2(copy, slot);
          close(copy);
          break;
        }
        default:
          Check(dup2(file, slot), "dup2");
      }
      if (random() % 4 == 0) usleep(random() % 200);
    }
  }

  // Nobody reads now: what was not received is still there.
  void Settle() {
    for (Channel* channel : channels_) {
      for (int i = 0; channel->received != channel->sent; ++i) {
        if (i == kPatience) Fail("bytes are missing", channel->sent, channel->received);
        unsigned char bytes[8];
        pollfd fd = {channel->in, POLLIN, 0};
        if (poll(&fd, 1, 1) == 1) Count(bytes, read(channel->in, bytes, 8));
      }
      pollfd fd = {channel->in, POLLIN, 0};
      if (poll(&fd, 1, 0) != 0) Fail("more than was sent", channel->sent, channel->received);
    }
    unsigned char bytes[8];
    pollfd fd = {events_, POLLIN, 0};
    if (poll(&fd, 1, 0) == 1) Count(bytes, read(events_, bytes, 8));
    if (events_sent_ != events_received_) Fail("events are missing", events_sent_, events_received_);
    for (pollfd p = {listener_.fd, POLLIN, 0}; poll(&p, 1, 10) == 1; ++accepted_) {
      close(Check(accept(listener_.fd, nullptr, nullptr), "accept"));
    }
    if (connected_ != accepted_) Fail("connections are missing", connected_, accepted_);
  }

  std::vector<Channel*> channels_;
  std::vector<int> files_;
  Listener listener_;
  int epoll_, events_, timer_;
  int silent_[2] = {-1, -1};
  unsigned rounds_ = 0;
  std::atomic<bool> stop_{false}, ended_{false};
  std::atomic<int> alive_{0};
  std::atomic<int64_t> events_sent_{0}, events_received_{0}, connected_{0}, accepted_{0};
};

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? atof(argv[1]) : 2;
  const int64_t end = NowNs() + static_cast<int64_t>(seconds * 1e9);
  World world;
  do {
    world.Round(NowNs() + 200'000'000);
  } while (NowNs() < end);
  puts("all was received");
  return 0;
}
