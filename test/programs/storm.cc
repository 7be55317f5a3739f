// SPDX-License-Identifier: Apache-2.0
// A storm of signals, cancellations and forks: random threads, at random moments, for as long as it is to last. In the
// end every thread is accounted for: each that was made was joined, as cancelled or not; its cleanup handlers, its
// destructors and those of its keys ran once; it took every signal that was queued for it; every lock is free, every
// token there, and every child ended as it should.
// usage: storm [SECONDS]
// test: stress=120
//
// Workers live in slots. Each is started by its slot's keeper, works until it is cancelled or has done enough, and is
// joined by the keeper. Tormentors signal and cancel whoever is in a slot; they hold the slot's lock, so that it is not
// joined meanwhile. Workers fork, too, and their children make threads.
//
// In a round a worker either cannot be cancelled, and then handlers do all that they may do, are counted and may jump;
// or it can, and then handlers do next to nothing and those that are counted wait: a thread that glibc cancels in a
// call that blocks may be in the first instruction of a handler (glibc bug 12683).
#include "storm.h"

#include <stdlib.h>

#include <vector>

namespace {

constexpr int kSlots = 24, kTormentors = 3;
constexpr int64_t kPatienceNs = 30'000'000'000;
constexpr char kDone = 0;  // a worker's result is its address, or PTHREAD_CANCELED

Slot g_slots[kSlots];

// Closes the slot; what was queued for the thread until then has been taken.
void CleanUp(void* argument) {
  auto* slot = static_cast<Slot*>(argument);
  ++g_cleanups.closed;
  pthread_mutex_lock(&slot->lock);
  slot->open = false;
  pthread_mutex_unlock(&slot->lock);
  getppid();  // the kernel gives what is pending before it returns
  if (slot->taken != slot->queued) Fail("queued signals are missing", slot->taken, slot->queued);
}

class Steady {
 public:
  Steady() {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    t_steady = true;
  }
  ~Steady() {
    t_steady = false;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
  }
  Steady(const Steady&) = delete;
  Steady& operator=(const Steady&) = delete;
};

// What is counted waits meanwhile.
class Counted {
 public:
  Counted() { pthread_sigmask(SIG_BLOCK, &g_counted, nullptr); }
  ~Counted() { pthread_sigmask(SIG_UNBLOCK, &g_counted, nullptr); }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
};

void* Work(void* argument) {
  auto* slot = static_cast<Slot*>(argument);
  t_slot = slot;
  Random random(static_cast<unsigned>(NowNs()) | 1);
  ++g_keys.opened;
  if (pthread_setspecific(g_key, slot) != 0) Fail("pthread_setspecific");
  t_object.Touch();
  ++g_cleanups.opened;
  pthread_cleanup_push(CleanUp, slot);
  const Object object;
  pthread_mutex_lock(&slot->lock);
  slot->open = true;
  pthread_mutex_unlock(&slot->lock);
  for (unsigned rounds = random() % 200; rounds != 0 && !g_over; --rounds) {
    slot->progress.store(NowNs(), std::memory_order_relaxed);
    if (random() % 2 == 0) {
      const Steady steady;
      WorkSteadily(random);
    } else {
      const Counted counted;
      WorkOn(random);
    }
  }
  pthread_cleanup_pop(1);
  return const_cast<char*>(&kDone);
}

void* Keep(void* argument) {
  auto* slot = static_cast<Slot*>(argument);
  while (!g_over) {
    slot->queued = slot->taken = 0;
    slot->cancelled = false;
    pthread_mutex_lock(&slot->lock);
    slot->thread = Start(Work, slot);
    pthread_mutex_unlock(&slot->lock);
    ++g_threads.opened;
    void* result = nullptr;
    if (pthread_join(slot->thread, &result) != 0) Fail("pthread_join", slot->index);
    ++g_threads.closed;
    if (result == PTHREAD_CANCELED && !slot->cancelled) Fail("cancelled by nobody", slot->index);
    if (result == PTHREAD_CANCELED) ++g_cancelled;
    if (result != PTHREAD_CANCELED && result != &kDone) Fail("another's result", slot->index);
  }
  return nullptr;
}

void* Torment(void* argument) {
  Random random(static_cast<unsigned>(reinterpret_cast<intptr_t>(argument)) + 1);
  while (!g_over) {
    Slot& slot = g_slots[random() % kSlots];
    pthread_mutex_lock(&slot.lock);
    if (slot.open) {
      const sigval value = {.sival_ptr = &slot};
      switch (random() % 16) {
        case 0:
          slot.cancelled = true;
          if (pthread_cancel(slot.thread) != 0) Fail("pthread_cancel", slot.index);
          break;
        case 1:
        case 2:
        case 3:
          pthread_kill(slot.thread, SIGUSR2);
          break;
        case 4:
        case 5:
          pthread_kill(slot.thread, SIGUSR1);
          break;
        default:
          if (pthread_sigqueue(slot.thread, SIGRTMIN + 1, value) == 0) ++slot.queued;
      }
    }
    pthread_mutex_unlock(&slot.lock);
    usleep(static_cast<useconds_t>(random() % 300));
  }
  return nullptr;
}

void SetUp() {
  if (sem_init(&g_sem, 0, kTokens) != 0 || pipe2(g_pipe, O_NONBLOCK) != 0) Fail("sem_init, pipe2");
  if (pthread_key_create(&g_key, [](void*) { ++g_keys.closed; }) != 0) Fail("pthread_key_create");
  if (pthread_atfork([] { ++g_prepared.opened; }, [] { ++g_prepared.closed; }, nullptr) != 0) Fail("pthread_atfork");
  Handle(SIGUSR1, Interrupt, SA_RESTART);
  Handle(SIGUSR2, Interrupt, 0);
  Handle(SIGALRM, Alarm, SA_RESTART);
  struct sigaction action = {};
  action.sa_sigaction = Count;
  sigfillset(&action.sa_mask);  // no jump out of it
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  Check(sigaction(SIGRTMIN + 1, &action, nullptr), "sigaction");
  sigemptyset(&g_counted);
  sigaddset(&g_counted, SIGRTMIN + 1);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  const itimerval often = {{0, 3000}, {0, 3000}};
  Check(setitimer(ITIMER_REAL, &often, nullptr), "setitimer");
}

void SettleAccounts() {
  char byte;
  while (read(g_pipe[0], &byte, 1) == 1) ++g_bytes.closed;
  for (const Account* account : g_accounts)
    if (account->opened != account->closed) Fail(account->what, account->opened, account->closed);
  int tokens = -1;
  if (sem_getvalue(&g_sem, &tokens) != 0 || tokens != kTokens) Fail("tokens left", tokens);
  if (pthread_mutex_trylock(&g_mutex) != 0 || pthread_rwlock_trywrlock(&g_rwlock) != 0) Fail("a lock is held");
  if (g_alarms == 0) Fail("no alarm came");
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? atof(argv[1]) : 1;
  SetUp();
  const int64_t end = NowNs() + static_cast<int64_t>(seconds * 1e9);
  std::vector<pthread_t> threads;
  for (int i = 0; i < kSlots; ++i) {
    g_slots[i].index = i;
    g_slots[i].progress = NowNs();
    threads.push_back(Start(Keep, &g_slots[i]));
  }
  for (intptr_t i = 0; i < kTormentors; ++i) threads.push_back(Start(Torment, reinterpret_cast<void*>(i)));
  while (NowNs() < end) {
    usleep(100'000);
    for (const Slot& slot : g_slots)
      if (NowNs() - slot.progress > kPatienceNs) Fail("a thread stands still", slot.index);
  }
  g_over = true;
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  const itimerval never = {};
  Check(setitimer(ITIMER_REAL, &never, nullptr), "setitimer");
  SettleAccounts();
  fprintf(stderr, "%lld threads, %lld cancelled, %lld children, %lld jumps\n", static_cast<long long>(g_threads.opened),
          static_cast<long long>(g_cancelled), static_cast<long long>(g_children.opened),
          static_cast<long long>(g_jumps));
  puts("every thread is accounted for");
  return 0;
}
