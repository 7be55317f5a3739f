// SPDX-License-Identifier: Apache-2.0
// Load for the echo servers: one thread, many connections, on each of them one request at a time.
// usage: load PORT CONNECTIONS WARM_UP_MS WINDOW_MS
// Connects in batches, then sends a request on every connection and the next when the answer is there; every answer is
// compared. What ends in the window that follows the warm-up counts. Writes "begin" when it begins and, at its end, one
// line of JSON: requests in it, its length, and quantiles of the time from a request to its answer. Exit status 1:
// something failed.
#include <fcntl.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

#include "echo.h"

enum { kBatch = 200, kEvents = 512 };

// Times by the power of two of their nanoseconds and, within it, 64 equal parts: 1.6 % at most.
enum { kPartBits = 6, kParts = 1 << kPartBits, kPowers = 64 - kPartBits };
static uint64_t histogram[kPowers * kParts];

struct Connection {
  int fd;
  uint32_t sequence;
  uint32_t got;
  int64_t sent_at;
  char answer[kRequestSize];
};

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static size_t slot_of(uint64_t ns) {
  if (ns < kParts) return ns;
  const int power = 63 - __builtin_clzll(ns);
  return ((size_t)(power - kPartBits + 1) << kPartBits) + (size_t)(ns >> (power - kPartBits)) - kParts;
}

static double middle_of(size_t slot) {
  if (slot < kParts) return (double)slot;
  const int shift = (int)(slot >> kPartBits) - 1;
  return (double)((uint64_t)((slot & (kParts - 1)) + kParts) << shift) + (double)(1ull << shift) / 2;
}

static double quantile_us(uint64_t total, double q) {
  const double wanted = q * (double)total;
  uint64_t seen = 0;
  for (size_t slot = 0; slot < sizeof histogram / sizeof histogram[0]; ++slot) {
    seen += histogram[slot];
    if (seen > 0 && (double)seen >= wanted) return middle_of(slot) / 1000;
  }
  return 0;
}

static void fill(char* data, size_t index, uint32_t sequence) {
  for (size_t i = 0; i < kRequestSize; ++i) data[i] = (char)(index * 31 + sequence * 7 + i);
}

static void send_request(struct Connection* c, size_t index, int64_t now) {
  char data[kRequestSize];
  fill(data, index, c->sequence);
  c->got = 0;
  c->sent_at = now;
  if (send(c->fd, data, sizeof data, MSG_NOSIGNAL) != kRequestSize) fail("send");
}

// Takes what is there. 1: the answer is whole.
static int take_answer(struct Connection* c, size_t index) {
  const ssize_t n = recv(c->fd, c->answer + c->got, kRequestSize - c->got, MSG_DONTWAIT);
  if (n == 0) errno = ECONNRESET;
  if (n < 0 && errno == EAGAIN) return 0;
  if (n <= 0) fail("recv");
  c->got += (uint32_t)n;
  if (c->got < kRequestSize) return 0;
  char expected[kRequestSize];
  fill(expected, index, c->sequence);
  errno = EBADMSG;
  if (memcmp(expected, c->answer, kRequestSize) != 0) fail("answer");
  return 1;
}

// A batch at a time, so that the backlog holds it: the last of each batch has been served before the next begins.
static void connect_all(struct Connection* all, size_t count, int port, int poller) {
  const struct sockaddr_in address = loopback(port);
  for (size_t i = 0; i < count; ++i) {
    all[i].fd = socket(AF_INET, SOCK_STREAM, 0);
    if (all[i].fd < 0 || connect(all[i].fd, (const struct sockaddr*)&address, sizeof address) != 0) fail("connect");
    send_at_once(all[i].fd);
    if (i % kBatch == kBatch - 1 || i == count - 1) {
      send_request(&all[i], i, now_ns());
      do {
        char byte;
        if (recv(all[i].fd, &byte, 1, MSG_PEEK) <= 0) fail("recv");
      } while (!take_answer(&all[i], i));
      ++all[i].sequence;
    }
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = i}};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, all[i].fd, &event) != 0) fail("epoll_ctl");
  }
}

// Without the states that a connection goes through when it is closed: the next run needs the ports.
static void reset_all(struct Connection* all, size_t count) {
  const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  for (size_t i = 0; i < count; ++i) {
    setsockopt(all[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(all[i].fd);
  }
}

int main(int argc, char** argv) {
  if (argc != 5) {
    fputs("usage: load PORT CONNECTIONS WARM_UP_MS WINDOW_MS\n", stderr);
    return 2;
  }
  const size_t count = (size_t)atol(argv[2]);
  const int64_t warm_up = atol(argv[3]) * 1000000ll;
  const int64_t window = atol(argv[4]) * 1000000ll;
  struct Connection* all = calloc(count, sizeof *all);
  const int poller = epoll_create1(0);
  if (all == NULL || poller < 0) fail("begin");
  connect_all(all, count, atoi(argv[1]), poller);

  for (size_t i = 0; i < count; ++i) send_request(&all[i], i, now_ns());
  const int64_t begin = now_ns() + warm_up;
  const int64_t end = begin + window;
  uint64_t requests = 0;
  int64_t now = 0;
  int64_t max = 0;
  int begun = 0;
  while (now < end) {
    struct epoll_event events[kEvents];
    const int n = epoll_wait(poller, events, kEvents, 100);
    if (n < 0) fail("epoll_wait");
    now = now_ns();
    if (!begun && now >= begin) {
      puts("begin");
      fflush(stdout);
      begun = 1;
    }
    for (int e = 0; e < n; ++e) {
      struct Connection* c = &all[events[e].data.u64];
      if (!take_answer(c, events[e].data.u64)) continue;
      now = now_ns();
      if (now >= begin && now < end) {
        const int64_t took = now - c->sent_at;
        ++requests;
        ++histogram[slot_of((uint64_t)took)];
        if (took > max) max = took;
      }
      ++c->sequence;
      send_request(c, events[e].data.u64, now);
    }
  }
  // What never was answered is not in the quantiles: the oldest is.
  for (size_t i = 0; i < count; ++i)
    if (now - all[i].sent_at > max) max = now - all[i].sent_at;
  printf(
      "{\"requests\": %llu, \"seconds\": %.3f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, "
      "\"max_us\": %.1f}\n",
      (unsigned long long)requests, (double)window / 1e9, quantile_us(requests, 0.5), quantile_us(requests, 0.99),
      quantile_us(requests, 0.999), (double)max / 1000);
  fflush(stdout);
  // The driver looks at the server with all its connections, and then closes our stdin.
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  reset_all(all, count);
  return 0;
}
