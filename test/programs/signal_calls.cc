// SPDX-License-Identifier: Apache-2.0
// A handler runs in the thread that the signal is for, whatever it waits for. Its call then goes on, or returns EINTR,
// which depends on the call and on SA_RESTART: a table of calls, all at once, each in a thread that is sent signals.
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <threads.h>

#include "never_ready.h"

namespace {

constexpr int kNever = 0, kAlways = 1, kUnlessRestarted = 2;  // whether a call returns EINTR
const timespec kLong = {30, 0};

timespec Later(clockid_t clock = CLOCK_REALTIME) {
  timespec at;
  clock_gettime(clock, &at);
  at.tv_sec += 30;
  return at;
}

int Error(int error) {  // as calls say it that return -1
  errno = error;
  return error == 0 ? 0 : -1;
}

// What a thread waits for, and who else plays a part in it.
struct Scene : NeverReady {
  Scene() {
    epoll_event in = {EPOLLIN, {}};
    Check(epoll_ctl(epoll, EPOLL_CTL_ADD, empty[0], &in), "epoll_ctl");
    Check(semaphores = semget(IPC_PRIVATE, 1, 0600), "semget");
    pthread_barrier_init(&barrier, nullptr, 2);
    pthread_mutex_lock(&mutex);
    pthread_rwlock_wrlock(&rwlock);
    Check(flock(files[0], LOCK_EX), "flock");
  }
  ~Scene() { semctl(semaphores, 0, IPC_RMID); }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;

  int semaphores;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, cond_mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_barrier_t barrier;
  bool over = false;  // cond_mutex
  pid_t child = 0;
  pthread_t friend_thread{};
};

// A call that blocks, and what ends it.
struct Call {
  const char* name;
  int interrupted;
  int (*block)(Scene&);
  void (*end)(Scene&);
};

void Post(Scene& s) {
  sem_post(&s.sem);
}
void Feed(Scene& s) {
  Expect(write(s.empty[1], "", 1) == 1, "write");
}
void Send(Scene& s) {
  Expect(send(s.sockets[1], "", 1, 0) == 1, "send");
}
void Nothing(Scene&) {}

int AwaitCond(Scene& s, int (*wait)(Scene&)) {
  int error = 0;
  pthread_mutex_lock(&s.cond_mutex);
  while (!s.over && error == 0) error = wait(s);
  Expect(pthread_mutex_trylock(&s.cond_mutex) == EBUSY, "the condition variable's mutex is free");
  pthread_mutex_unlock(&s.cond_mutex);
  return Error(error);
}
void Signal(Scene& s) {
  pthread_mutex_lock(&s.cond_mutex);
  s.over = true;
  pthread_cond_signal(&s.cond);
  pthread_mutex_unlock(&s.cond_mutex);
}

pid_t Fork(Scene& s) {  // by the thread that waits, before it does
  if ((s.child = Check(fork(), "fork")) != 0) return s.child;
  alarm(60);
  for (;;) pause();
}
void Kill(Scene& s) {
  kill(s.child, SIGKILL);
}
void* Befriend(void* scene) {
  while (sem_wait(&static_cast<Scene*>(scene)->sem) != 0) continue;
  return nullptr;
}

const Call kCalls[] = {
    {"sem_wait", kUnlessRestarted, [](Scene& s) -> int { return sem_wait(&s.sem); }  // namespace
     ,
     Post},
    {"sem_timedwait", kAlways,
     [](Scene& s) -> int {
       const timespec later = Later();
       return sem_timedwait(&s.sem, &later);
     },
     Post},
    {"pthread_cond_wait", kNever,
     [](Scene& s) -> int { return AwaitCond(s, [](Scene& t) { return pthread_cond_wait(&t.cond, &t.cond_mutex); }); },
     Signal},
    {"pthread_cond_timedwait", kNever,
     [](Scene& s) -> int {
       return AwaitCond(s, [](Scene& t) {
         const timespec later = Later();
         return pthread_cond_timedwait(&t.cond, &t.cond_mutex, &later);
       });
     },
     Signal},
    {"pthread_mutex_lock", kNever, [](Scene& s) -> int { return Error(pthread_mutex_lock(&s.mutex)); },
     [](Scene& s) { pthread_mutex_unlock(&s.mutex); }},
    {"pthread_mutex_timedlock", kNever,
     [](Scene& s) -> int {
       const timespec later = Later();
       return Error(pthread_mutex_timedlock(&s.mutex, &later));
     },
     [](Scene& s) { pthread_mutex_unlock(&s.mutex); }},
    {"pthread_rwlock_rdlock", kNever, [](Scene& s) -> int { return Error(pthread_rwlock_rdlock(&s.rwlock)); },
     [](Scene& s) { pthread_rwlock_unlock(&s.rwlock); }},
    {"pthread_barrier_wait", kNever,
     [](Scene& s) -> int { return Error(std::max(0, pthread_barrier_wait(&s.barrier))); },
     [](Scene& s) { pthread_barrier_wait(&s.barrier); }},
    {"pthread_join", kNever,
     [](Scene& s) -> int {
       pthread_create(&s.friend_thread, nullptr, Befriend, &s);
       return Error(pthread_join(s.friend_thread, nullptr));
     },
     Post},
    {"read", kUnlessRestarted, [](Scene& s) -> int { return static_cast<int>(read(s.empty[0], s.page, 1)); }, Feed},
    {"write", kUnlessRestarted, [](Scene& s) -> int { return static_cast<int>(write(s.full[1], s.page, 1)); },
     [](Scene& s) { Expect(read(s.full[0], s.page, 4096) == 4096, "read"); }},
    {"read of an eventfd", kUnlessRestarted, [](Scene& s) -> int { return static_cast<int>(read(s.event, s.page, 8)); },
     [](Scene& s) { eventfd_write(s.event, 1); }},
    {"recv", kUnlessRestarted, [](Scene& s) -> int { return static_cast<int>(recv(s.sockets[0], s.page, 1, 0)); },
     Send},
    {"recv with a time-out", kAlways,
     [](Scene& s) -> int {
       const timeval later = {30, 0};
       setsockopt(s.sockets[0], SOL_SOCKET, SO_RCVTIMEO, &later, sizeof later);
       return static_cast<int>(recv(s.sockets[0], s.page, 1, 0));
     },
     Send},
    {"accept", kUnlessRestarted,
     [](Scene& s) -> int {
       const int fd = accept(s.listener, nullptr, nullptr);
       return fd == -1 ? -1 : close(fd);
     },
     [](Scene& s) {
       sockaddr_un address = {};
       socklen_t size = sizeof address;
       getsockname(s.listener, reinterpret_cast<sockaddr*>(&address), &size);
       Check(connect(s.sockets[1] = socket(AF_UNIX, SOCK_STREAM, 0), reinterpret_cast<sockaddr*>(&address), size),
             "connect");
     }},
    {"poll", kAlways,
     [](Scene& s) -> int {
       pollfd p = {s.empty[0], POLLIN, 0};
       return poll(&p, 1, 30'000);
     },
     Feed},
    {"select", kAlways,
     [](Scene& s) -> int {
       fd_set set;
       FD_ZERO(&set);
       FD_SET(s.empty[0], &set);
       return select(s.empty[0] + 1, &set, nullptr, nullptr, nullptr);
     },
     Feed},
    {"epoll_wait", kAlways,
     [](Scene& s) -> int {
       epoll_event got;
       return epoll_wait(s.epoll, &got, 1, -1);
     },
     Feed},
    {"nanosleep", kAlways,
     [](Scene&) -> int {
       timespec rest = {};
       const int result = nanosleep(&kLong, &rest);
       if (result == -1 && (rest.tv_sec == 0 || rest.tv_sec > 30)) Fail("what is left of nanosleep", rest.tv_sec);
       return result;
     },
     Nothing},
    {"clock_nanosleep", kAlways,
     [](Scene&) -> int {
       const timespec later = Later(CLOCK_MONOTONIC);
       return Error(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &later, nullptr));
     },
     Nothing},
    {"usleep", kAlways, [](Scene&) -> int { return usleep(30'000'000); }, Nothing},
    {"sleep", kAlways, [](Scene&) -> int { return Error(sleep(30) == 0 ? 0 : EINTR); }, Nothing},
    {"thrd_sleep", kAlways, [](Scene&) -> int { return thrd_sleep(&kLong, nullptr) == -1 ? Error(EINTR) : 0; },
     Nothing},
    {"pause", kAlways, [](Scene&) -> int { return pause(); }, Nothing},
    {"sigtimedwait", kAlways,
     [](Scene&) -> int {
       const sigset_t set = Set({SIGHUP});
       return sigtimedwait(&set, nullptr, &kLong);
     },
     Nothing},
    {"msgrcv", kAlways, [](Scene& s) -> int { return static_cast<int>(msgrcv(s.queue, s.page, 1, 0, 0)); }, Nothing},
    {"semop", kAlways,
     [](Scene& s) -> int {
       sembuf take = {0, -1, 0};
       return semop(s.semaphores, &take, 1);
     },
     Nothing},
    {"mq_receive", kUnlessRestarted,
     [](Scene& s) -> int { return static_cast<int>(mq_receive(s.no_messages, s.page, 16, nullptr)); },
     [](Scene& s) { mq_send(s.no_messages, "", 1, 0); }},
    {"flock", kUnlessRestarted, [](Scene& s) -> int { return flock(s.files[1], LOCK_EX); },
     [](Scene& s) { flock(s.files[0], LOCK_UN); }},
    {"fcntl", kUnlessRestarted,
     [](Scene& s) -> int {
       struct flock all = {};
       all.l_type = F_WRLCK;
       return fcntl(s.files[1], F_OFD_SETLKW, &all);
     },
     [](Scene& s) {
       struct flock none = {};
       none.l_type = F_UNLCK;
       Check(fcntl(s.files[0], F_OFD_SETLK, &none), "unlock");
     }},
    {"waitpid", kUnlessRestarted, [](Scene& s) -> int { return waitpid(s.child != 0 ? s.child : Fork(s), nullptr, 0); },
     Kill},
};

// All at once. They are sent signals until enough handlers have run, or the call has returned.
void Interrupt(bool restart) {
  Handle(SIGUSR1, Note, restart ? SA_RESTART : 0);
  struct Actor {
    const Call* call;
    Scene scene;
    std::atomic<Seen*> seen{nullptr};
    std::atomic<bool> returned{false}, over{false};
    int result = 0, error = 0;
    std::unique_ptr<Thread> thread;
  };
  std::vector<std::unique_ptr<Actor>> actors;
  for (const Call& call : kCalls) {
    actors.push_back(std::make_unique<Actor>());
    Actor& actor = *actors.back();
    actor.call = &call;
    actor.thread = std::make_unique<Thread>([&actor] {
      actor.seen = &t_seen;
      actor.result = actor.call->block(actor.scene);
      actor.error = errno;
      actor.returned = true;
      Mask(SIG_BLOCK, {SIGUSR1});
      while (!actor.over) usleep(500);
    });
  }
  for (const auto& actor : actors) {
    const int how = actor->call->interrupted;
    const bool returns = how == kAlways || (how == kUnlessRestarted && !restart);
    Await([&] { return actor->seen != nullptr; }, actor->call->name);
    if (actor->call->end == Kill) Await([&] { return actor->scene.child != 0; }, actor->call->name);
    for (int i = 0; i < 3 || (returns && !actor->returned); ++i) {
      const int before = actor->seen.load()->count;
      if (actor->returned) break;
      pthread_kill(actor->thread->id, SIGUSR1);
      Await([&] { return actor->seen.load()->count > before || actor->returned; }, actor->call->name);
      usleep(500);
    }
    if (!returns && actor->returned) Fail(actor->call->name, actor->result, actor->error);
    if (!returns) actor->call->end(actor->scene);
    Await([&] { return actor->returned.load(); }, actor->call->name);
    if (returns ? actor->result != -1 || actor->error != EINTR : actor->result < 0)
      Fail(actor->call->name, actor->result, actor->error);
    if (actor->seen.load()->elsewhere || actor->seen.load()->count == 0) Fail(actor->call->name, -2);
    if (returns && actor->scene.child != 0) kill(actor->scene.child, SIGKILL), waitpid(actor->scene.child, nullptr, 0);
    actor->over = true;
    actor->thread->Join();
  }
}

}  // namespace

int main() {
  for (const bool restart : {false, true}) {
    Interrupt(restart);
    puts(restart ? "calls are interrupted and go on" : "calls are interrupted");
    fflush(stdout);
  }
  return 0;
}
