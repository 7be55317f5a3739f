// SPDX-License-Identifier: Apache-2.0
// Tests ten thousand threads that wait at once in recv, poll, nanosleep, and hundreds in raw futexes: all wake, each
// for its own reason; and that under libmn they hold no kernel threads.
#include <dirent.h>
#include <sys/resource.h>

#include <algorithm>
#include <random>

#include "futex_util.h"
#include "sockets.h"

namespace {

constexpr int kMany = 10'000;
constexpr int kManyFutexes = 400;
constexpr int kFewKernelThreads = 16;
constexpr size_t kSmallStack = size_t{64} << 10;

int KernelThreads() {
  DIR* tasks = opendir("/proc/self/task");
  if (tasks == nullptr) return INT_MAX;
  int n = -2;  // . and ..
  while (readdir(tasks) != nullptr) ++n;
  closedir(tasks);
  return n;
}

// As many as there may be descriptors for, beside some others.
int ManyDescriptors() {
  rlimit limit{};
  EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlim_t most = limit.rlim_cur - std::min<rlim_t>(limit.rlim_cur / 2, 200);
  if (most >= kMany) return kMany;
  printf("%llu descriptors are allowed: %llu threads\n", static_cast<unsigned long long>(limit.rlim_cur),
         static_cast<unsigned long long>(most));
  return static_cast<int>(most);
}

std::vector<int> Shuffled(int n) {
  std::vector<int> order(static_cast<size_t>(n));
  for (int i = 0; i < n; ++i) order[static_cast<size_t>(i)] = i;
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  return order;
}

// Threads that run body(i) each and add one to right() if all was right. Fewer than were wanted where the system has no
// room for so many kernel threads.
class Crowd {
 public:
  Crowd(int wanted, std::function<bool(int)> body, size_t stack = 0) : body_(std::move(body)) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    if (stack != 0) {
      EXPECT_EQ(pthread_attr_setstacksize(&attr, stack), 0);
    }
    starts_.resize(static_cast<size_t>(wanted));
    threads_.reserve(static_cast<size_t>(wanted));
    int error = 0;
    for (int i = 0; i < wanted && error == 0; ++i) {
      starts_[static_cast<size_t>(i)] = {this, i};
      pthread_t id;
      error = pthread_create(&id, &attr, Start, &starts_[static_cast<size_t>(i)]);
      if (error == 0) threads_.push_back(id);
    }
    pthread_attr_destroy(&attr);
    if (error == 0) return;
    EXPECT_EQ(error, EAGAIN);
    printf("no room for more than %d threads\n", size());
  }
  ~Crowd() { JoinAll(); }

  int size() const { return static_cast<int>(threads_.size()); }
  int right() const { return right_; }
  bool all_began() const { return began_ == size(); }
  void JoinAll() {
    while (!threads_.empty()) {
      EXPECT_EQ(pthread_join(threads_.back(), nullptr), 0);
      threads_.pop_back();
    }
  }

 private:
  struct Begin {
    Crowd* crowd;
    int index;
  };
  static void* Start(void* argument) {
    const auto* begin = static_cast<Begin*>(argument);
    ++begin->crowd->began_;
    if (begin->crowd->body_(begin->index)) ++begin->crowd->right_;
    return nullptr;
  }

  std::function<bool(int)> body_;
  std::vector<Begin> starts_;
  std::vector<pthread_t> threads_;
  std::atomic<int> began_ = 0, right_ = 0;
};

// What holds under libmn only.
struct Bounds {
  int kernel_threads = INT_MAX;
  bool all = false;
};
constexpr Bounds kUnderLibmn = {kFewKernelThreads - 1, true};

// While all wait.
void Check(const Crowd& crowd, int wanted, const Bounds& bounds) {
  EXPECT_TRUE(test::Eventually([&] { return crowd.all_began(); }));
  test::LetThemWait();
  EXPECT_EQ(crowd.right(), 0);
  EXPECT_LE(KernelThreads(), bounds.kernel_threads);
  EXPECT_GT(crowd.size(), 0);
  if (bounds.all) {
    EXPECT_EQ(crowd.size(), wanted);
  }
}

void CheckEnd(Crowd& crowd) {
  const int n = crowd.size();
  crowd.JoinAll();
  EXPECT_EQ(crowd.right(), n);
}

// Datagram sockets, each with an address of its own, and one that sends to them.
class Mailboxes {
 public:
  explicit Mailboxes(int n) {
    for (int i = 0; i < n; ++i) {
      boxes_.push_back(socket(AF_UNIX, SOCK_DGRAM, 0));
      sockaddr_un address = {};
      address.sun_family = AF_UNIX;
      EXPECT_EQ(bind(boxes_.back(), reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)), 0);
    }
  }
  ~Mailboxes() {
    for (const int box : boxes_) close(box);
    close(sender_);
  }
  int box(int i) const { return boxes_[static_cast<size_t>(i)]; }
  void Send(int i) const {
    sockaddr_un address = {};
    socklen_t size = sizeof address;
    EXPECT_EQ(getsockname(box(i), reinterpret_cast<sockaddr*>(&address), &size), 0) << box(i) << strerror(errno);
    EXPECT_EQ(sendto(sender_, &i, sizeof i, 0, reinterpret_cast<sockaddr*>(&address), size), ssize_t{sizeof i});
  }
  bool Receive(int i) const {
    int got = -1;
    return recv(box(i), &got, sizeof got, 0) == ssize_t{sizeof got} && got == i;
  }

 private:
  std::vector<int> boxes_;
  int sender_ = socket(AF_UNIX, SOCK_DGRAM, 0);
};

void Recv(const Bounds& bounds) {
  const int n = ManyDescriptors();
  const Mailboxes mail(n);
  Crowd crowd(
      n, [&](int i) { return mail.Receive(i); }, kSmallStack);
  Check(crowd, n, bounds);
  for (const int i : Shuffled(crowd.size())) mail.Send(i);
  CheckEnd(crowd);
}

// Every other thread is woken by a message of its own, then the rest by the end of a pipe that all watch.
void Poll(const Bounds& bounds) {
  const int n = ManyDescriptors();
  const Mailboxes mail(n);
  test::Channel stop(test::Kind::kPipe);
  const int stop_fd = stop.in;
  std::atomic<int> by_mail = 0;
  Crowd crowd(n, [&](int i) {
    pollfd fds[] = {{mail.box(i), POLLIN, 0}, {stop_fd, POLLIN, 0}};
    if (poll(fds, 2, -1) != 1) return false;
    if (i % 2 != 0) return fds[0].revents == 0 && fds[1].revents == POLLHUP;
    const bool right = fds[0].revents == POLLIN && fds[1].revents == 0 && mail.Receive(i);
    ++by_mail;
    return right;
  });
  Check(crowd, n, bounds);
  for (const int i : Shuffled(crowd.size())) {
    if (i % 2 == 0) mail.Send(i);
  }
  EXPECT_TRUE(test::Eventually([&] { return by_mail == (crowd.size() + 1) / 2; }));
  stop.CloseOut();
  CheckEnd(crowd);
}

void Sleep(const Bounds& bounds) {
  const int64_t end = test::NowNs() + 2 * test::kNsPerSecond;
  Crowd crowd(kMany, [=](int i) {
    const timespec time = test::FromNs(std::max<int64_t>(end - test::NowNs(), 0) + i * 1'000);
    const int64_t until = test::NowNs() + test::ToNs(time);
    return nanosleep(&time, nullptr) == 0 && test::NowNs() >= until;
  });
  EXPECT_TRUE(test::Eventually([&] { return crowd.all_began(); }));
  EXPECT_LE(KernelThreads(), bounds.kernel_threads);
  if (bounds.all) {
    EXPECT_EQ(crowd.size(), kMany);
  }
  CheckEnd(crowd);
}

void Futexes(const Bounds& bounds) {
  std::vector<std::atomic<uint32_t>> words(kManyFutexes);
  Crowd crowd(kManyFutexes, [&](int i) {
    auto& word = words[static_cast<size_t>(i)];
    long answer = 0;
    while (word == 0) answer = test::Wait(&word, 0);
    return answer == 0;
  });
  for (int i = 0; i < crowd.size(); ++i) EXPECT_TRUE(test::AwaitWaiting(&words[static_cast<size_t>(i)], 1));
  Check(crowd, kManyFutexes, bounds);
  for (const int i : Shuffled(crowd.size())) {
    auto& word = words[static_cast<size_t>(i)];
    word = 1;
    EXPECT_EQ(test::Wake(&word), 1);
  }
  CheckEnd(crowd);
}

TEST(ManyIo, InRecv) {
  Recv({});
}
TEST(ManyIo, InPoll) {
  Poll({});
}
TEST(ManyIo, InNanosleep) {
  Sleep({});
}
TEST(ManyIo, InFutexes) {
  Futexes({});
}

TEST(UnderLibmnManyIo, InRecv) {
  Recv(kUnderLibmn);
}
TEST(UnderLibmnManyIo, InPoll) {
  Poll(kUnderLibmn);
}
TEST(UnderLibmnManyIo, InNanosleep) {
  Sleep(kUnderLibmn);
}
TEST(UnderLibmnManyIo, InFutexes) {
  Futexes(kUnderLibmn);
}

}  // namespace
