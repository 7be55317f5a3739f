// SPDX-License-Identifier: Apache-2.0
// Cancellation points: a table of glibc's. Each acts upon a cancellation that is pending before the call, and, where it
// blocks, upon one that comes meanwhile; then clean-up handlers and destructors have run, once and in order, and the
// thread's result says that it was cancelled. Calls that are none do not act, whether they block or not. What one call
// did before it was cancelled is not asserted (glibc bug 12683).
#include "cancellation_scene.h"

namespace {

struct Call {
  const char* name;
  bool blocks;
  void (*call)(Scene&);
};

// A condition variable's mutex is locked again before the clean-up handlers run, which unlock it.
template <class Wait>
void WaitLocked(Scene& s, Wait wait) {
  pthread_mutex_lock(&s.mutex);
  pthread_cleanup_push(
      [](void* mutex) {
        auto* m = static_cast<pthread_mutex_t*>(mutex);
        Expect(pthread_mutex_trylock(m) == EBUSY && pthread_mutex_unlock(m) == 0, "the wait's mutex is free");
      },
      &s.mutex);
  for (;;) wait();
  pthread_cleanup_pop(1);
}

sigset_t Hangup() {
  return Set({SIGHUP});
}

const Call kCalls[] = {
    {"pthread_testcancel", false, [](Scene&) { pthread_testcancel(); }},
    {"read", true, [](Scene& s) { (void)!read(s.empty[0], s.page, 1); }},
    {"read of an eventfd", true, [](Scene& s) { (void)!read(s.event, s.page, 8); }},
    {"readv", true, [](Scene& s) { (void)!readv(s.empty[0], &s.iov, 1); }},
    {"write", true, [](Scene& s) { (void)!write(s.full[1], s.page, 1); }},
    {"writev", true, [](Scene& s) { (void)!writev(s.full[1], &s.iov, 1); }},
    {"pread", false, [](Scene& s) { (void)!pread(s.files[0], s.page, 1, 0); }},
    {"pwrite", false, [](Scene& s) { (void)!pwrite(s.files[0], s.page, 1, 0); }},
    {"preadv", false, [](Scene& s) { (void)!preadv(s.files[0], &s.iov, 1, 0); }},
    {"pwritev", false, [](Scene& s) { (void)!pwritev(s.files[0], &s.iov, 1, 0); }},
    {"preadv2", false, [](Scene& s) { (void)!preadv2(s.files[0], &s.iov, 1, 0, 0); }},
    {"pwritev2", false, [](Scene& s) { (void)!pwritev2(s.files[0], &s.iov, 1, 0, 0); }},
    {"recv", true, [](Scene& s) { recv(s.sockets[0], s.page, 1, 0); }},
    {"recvfrom", true, [](Scene& s) { recvfrom(s.sockets[0], s.page, 1, 0, nullptr, nullptr); }},
    {"recvmsg", true, [](Scene& s) { recvmsg(s.sockets[0], &s.header, 0); }},
    {"recvmmsg", true, [](Scene& s) { recvmmsg(s.sockets[0], &s.many, 1, 0, nullptr); }},
    {"send", true, [](Scene& s) { send(s.stuffed[0], s.page, sizeof s.page, 0); }},
    {"sendto", true, [](Scene& s) { sendto(s.stuffed[0], s.page, sizeof s.page, 0, nullptr, 0); }},
    {"sendmsg", true, [](Scene& s) { sendmsg(s.stuffed[0], &s.header, 0); }},
    {"sendmmsg", true, [](Scene& s) { sendmmsg(s.stuffed[0], &s.many, 1, 0); }},
    {"accept", true, [](Scene& s) { accept(s.listener, nullptr, nullptr); }},
    {"accept4", true, [](Scene& s) { accept4(s.listener, nullptr, nullptr, SOCK_CLOEXEC); }},
    {"connect", true, [](Scene& s) { connect(s.caller, reinterpret_cast<sockaddr*>(&s.crowd), s.crowd_size); }},
    {"open", true, [](Scene& s) { open(s.fifo.c_str(), O_RDONLY); }},
    {"openat", true, [](Scene& s) { openat(AT_FDCWD, s.fifo.c_str(), O_RDONLY); }},
    {"creat", true, [](Scene& s) { creat(s.other_fifo.c_str(), 0600); }},
    {"fopen", true, [](Scene& s) { fopen(s.fifo.c_str(), "r"); }},
    {"close", false, [](Scene& s) { close(dup(s.event)); }},
    {"fsync", false, [](Scene& s) { fsync(s.files[0]); }},
    {"fdatasync", false, [](Scene& s) { fdatasync(s.files[0]); }},
    {"msync", false, [](Scene&) { msync(nullptr, 0, MS_SYNC); }},
    {"fallocate", false, [](Scene& s) { fallocate(s.files[0], 0, 0, 1); }},
    {"sync_file_range", false, [](Scene& s) { sync_file_range(s.files[0], 0, 1, 0); }},
    {"splice", true, [](Scene& s) { splice(s.empty[0], nullptr, s.full[1], nullptr, 1, 0); }},
    {"tee", true, [](Scene& s) { tee(s.empty[0], s.full[1], 1, 0); }},
    {"vmsplice", true, [](Scene& s) { vmsplice(s.full[1], &s.iov, 1, 0); }},
    {"copy_file_range", false, [](Scene& s) { copy_file_range(s.files[0], nullptr, s.files[1], nullptr, 1, 0); }},
    {"getrandom", false, [](Scene& s) { (void)!getrandom(s.page, 1, 0); }},
    {"fcntl F_OFD_SETLKW", true,
     [](Scene& s) {
       struct flock all = {};
       all.l_type = F_WRLCK;
       fcntl(s.files[1], F_OFD_SETLKW, &all);
     }},
    {"fcntl F_SETLKW", true,
     [](Scene& s) {
       struct flock all = {};
       all.l_type = F_RDLCK;
       fcntl(s.files[1], F_SETLKW, &all);
     }},
    {"lockf", true, [](Scene& s) { (void)!lockf(s.files[1], F_LOCK, 1); }},
    {"poll", true, [](Scene&) { poll(nullptr, 0, -1); }},
    {"poll of a descriptor", true,
     [](Scene& s) {
       pollfd p = {s.empty[0], POLLIN, 0};
       poll(&p, 1, 30000);
     }},
    {"ppoll", true,
     [](Scene& s) {
       pollfd p = {s.empty[0], POLLIN, 0};
       ppoll(&p, 1, nullptr, nullptr);
     }},
    {"ppoll with a mask", true,
     [](Scene&) {
       const sigset_t set = Hangup();
       ppoll(nullptr, 0, nullptr, &set);
     }},
    {"select", true,
     [](Scene& s) {
       fd_set set;
       FD_ZERO(&set);
       FD_SET(s.empty[0], &set);
       select(s.empty[0] + 1, &set, nullptr, nullptr, nullptr);
     }},
    {"pselect", true, [](Scene&) { pselect(0, nullptr, nullptr, nullptr, &kLong, nullptr); }},
    {"epoll_wait", true,
     [](Scene& s) {
       epoll_event got;
       epoll_wait(s.epoll, &got, 1, -1);
     }},
    {"epoll_pwait", true,
     [](Scene& s) {
       const sigset_t set = Hangup();
       epoll_event got;
       epoll_pwait(s.epoll, &got, 1, -1, &set);
     }},
    {"nanosleep", true, [](Scene&) { nanosleep(&kLong, nullptr); }},
    {"clock_nanosleep", true, [](Scene&) { clock_nanosleep(CLOCK_REALTIME, 0, &kLong, nullptr); }},
    {"usleep", true, [](Scene&) { usleep(40'000'000); }},
    {"sleep", true, [](Scene&) { sleep(40); }},
    {"thrd_sleep", true, [](Scene&) { thrd_sleep(&kLong, nullptr); }},
    {"pause", true, [](Scene&) { pause(); }},
    {"sem_wait", true, [](Scene& s) { sem_wait(&s.sem); }},
    {"sem_wait of a free one", false,
     [](Scene&) {
       sem_t mine;
       sem_init(&mine, 0, 1);
       sem_wait(&mine);
     }},
    {"sem_timedwait", true,
     [](Scene& s) {
       const timespec later = Later(CLOCK_REALTIME);
       sem_timedwait(&s.sem, &later);
     }},
    {"sem_clockwait", true,
     [](Scene& s) {
       const timespec later = Later(CLOCK_MONOTONIC);
       sem_clockwait(&s.sem, CLOCK_MONOTONIC, &later);
     }},
    {"pthread_cond_wait", true, [](Scene& s) { WaitLocked(s, [&s] { pthread_cond_wait(&s.cond, &s.mutex); }); }},
    {"pthread_cond_timedwait", true,
     [](Scene& s) {
       WaitLocked(s, [&s] {
         const timespec later = Later(CLOCK_REALTIME);
         pthread_cond_timedwait(&s.cond, &s.mutex, &later);
       });
     }},
    {"pthread_cond_clockwait", true,
     [](Scene& s) {
       WaitLocked(s, [&s] {
         const timespec later = Later(CLOCK_MONOTONIC);
         pthread_cond_clockwait(&s.cond, &s.mutex, CLOCK_MONOTONIC, &later);
       });
     }},
    {"pthread_join", true, [](Scene& s) { pthread_join(s.sleepers[0], nullptr); }},
    {"pthread_timedjoin_np", true,
     [](Scene& s) {
       const timespec later = Later(CLOCK_REALTIME);
       pthread_timedjoin_np(s.sleepers[1], nullptr, &later);
     }},
    {"sigwait", true,
     [](Scene&) {
       const sigset_t set = Hangup();
       int number;
       sigwait(&set, &number);
     }},
    {"sigwaitinfo", true,
     [](Scene&) {
       const sigset_t set = Hangup();
       sigwaitinfo(&set, nullptr);
     }},
    {"sigtimedwait", true,
     [](Scene&) {
       const sigset_t set = Hangup();
       sigtimedwait(&set, nullptr, &kLong);
     }},
    {"sigsuspend", true,
     [](Scene&) {
       const sigset_t set = Hangup();
       sigsuspend(&set);
     }},
    {"wait", true,
     [](Scene&) {
       while (wait(nullptr) > 0) continue;  // another's child
     }},
    {"waitpid", true, [](Scene& s) { waitpid(s.child, nullptr, 0); }},
    {"wait3", true,
     [](Scene&) {
       while (wait3(nullptr, 0, nullptr) > 0) continue;
     }},
    {"wait4", true, [](Scene& s) { wait4(s.child, nullptr, 0, nullptr); }},
    {"waitid", true,
     [](Scene& s) {
       siginfo_t info;
       waitid(P_PID, static_cast<id_t>(s.child), &info, WEXITED);
     }},
    {"msgrcv", true, [](Scene& s) { msgrcv(s.queue, s.page, 1, 0, 0); }},
    {"msgsnd", true, [](Scene& s) { msgsnd(s.packed, &s.message, sizeof s.message.text, 0); }},
    {"mq_receive", true, [](Scene& s) { mq_receive(s.no_messages, s.page, 16, nullptr); }},
    {"mq_timedreceive", true,
     [](Scene& s) {
       const timespec later = Later(CLOCK_REALTIME);
       mq_timedreceive(s.no_messages, s.page, 16, nullptr, &later);
     }},
    {"mq_send", true, [](Scene& s) { mq_send(s.messages, "", 1, 0); }},
    {"mq_timedsend", true,
     [](Scene& s) {
       const timespec later = Later(CLOCK_REALTIME);
       mq_timedsend(s.messages, "", 1, 0, &later);
     }},
    {"tcdrain", false, [](Scene& s) { tcdrain(s.terminal); }},
    {"system", true, [](Scene&) { (void)!system("exec sleep 40"); }},
    {"fgetc", true, [](Scene& s) { fgetc(s.stream); }},
};

std::atomic<int> g_cleanups{0}, g_objects{0};

struct Object {
  Object() { ++g_objects; }
  ~Object() { --g_objects; }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
};

enum class When { kPending, kPendingDisabled, kMeanwhile };

struct Actor {
  const Call* call;
  When when;
  Scene* scene;
  std::atomic<bool> ready{false}, cancelled{false};
  pthread_t thread{};
};

void* Act(void* argument) {
  Actor& actor = *static_cast<Actor*>(argument);
  int order = 2;
  pthread_cleanup_push(
      [](void* o) {
        Expect(--*static_cast<int*>(o) == 0, "the order of clean-ups");
        ++g_cleanups;
      },
      &order);
  const Object object;
  pthread_cleanup_push(
      [](void* o) {
        Expect(--*static_cast<int*>(o) == 1, "the order of clean-ups");
        ++g_cleanups;
      },
      &order);
  if (actor.when == When::kPending) pthread_cancel(pthread_self());
  if (actor.when == When::kPendingDisabled) pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  actor.ready = true;
  if (actor.when == When::kPendingDisabled) {
    while (!actor.cancelled) sched_yield();
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
  }
  actor.call->call(*actor.scene);
  fprintf(stderr, "%s returned\n", actor.call->name);
  pthread_cleanup_pop(0);
  pthread_cleanup_pop(0);
  return nullptr;
}

void Points(When when) {
  g_cleanups = 0;
  Scene scene;
  std::vector<std::unique_ptr<Actor>> actors;
  for (const Call& call : kCalls)
    if (when != When::kMeanwhile || call.blocks) {
      actors.push_back(std::make_unique<Actor>());
      actors.back()->call = &call;
      actors.back()->when = when;
      actors.back()->scene = &scene;
    }
  for (const auto& actor : actors)
    Expect(pthread_create(&actor->thread, nullptr, Act, actor.get()) == 0, "pthread_create");
  for (const auto& actor : actors) Await([&] { return actor->ready.load(); }, actor->call->name);
  if (when == When::kMeanwhile) usleep(50'000);  // most block by then
  bool good = true;
  for (const auto& actor : actors) {
    if (when != When::kPending) pthread_cancel(actor->thread);
    actor->cancelled = true;
  }
  for (const auto& actor : actors) {
    const timespec later = [] {
      timespec t = Later(CLOCK_REALTIME);
      t.tv_sec -= 20;
      return t;
    }();
    void* result = nullptr;
    const int error = pthread_timedjoin_np(actor->thread, &result, &later);
    if (error != 0 || result != PTHREAD_CANCELED) {
      good = false;
      fprintf(stderr, "%s: %s (%d)\n", actor->call->name, error != 0 ? "still blocks" : "was not cancelled",
              static_cast<int>(when));
    }
  }
  if (!good) Fail("cancellation points");
  Expect(g_cleanups == 2 * static_cast<int>(actors.size()) && g_objects == 0, "clean-ups", g_cleanups, g_objects);
  Expect(ftrylockfile(scene.stream) == 0, "a cancelled read's stream is locked");
}

}  // namespace

int main() {
  Mask(SIG_BLOCK, {SIGHUP});
  Points(When::kPending);
  puts("pending");
  Points(When::kPendingDisabled);
  puts("pending, from another");
  Points(When::kMeanwhile);
  puts("meanwhile");
  return 0;
}
