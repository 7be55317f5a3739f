// SPDX-License-Identifier: Apache-2.0
// How processes end, by threads, while others compute, allocate, print and wait, and what their parents see of it. What
// runs at the end of a child (destructors of statics and of thread_local objects, handlers of atexit, what streams
// hold) writes letters into a pipe. Each end is looked at in the child of main and in those of threads.
#include "processes.h"

namespace {

// --- letters

int g_log = -1;  // in the child

void Log(char letter) {
  if (g_log != -1 && write(g_log, &letter, 1) != 1) _exit(1);
}

struct Logs {
  ~Logs() { Log(letter); }
  char letter;
};

const Logs g_static{'s'};

// What is left to do when the child exits: in this order, "cbas", and for quick_exit "rq".
void LeaveThingsToDo() {
  static const Logs a{'a'};
  atexit([] { Log('b'); });
  static const Logs c{'c'};
  at_quick_exit([] { Log('q'); });
  at_quick_exit([] { Log('r'); });
}

void LeaveThreadLocal() {
  thread_local const Logs d{'d'};
}

// Expects of a child, whose main does `body`, that it ends with `status` and writes `letters` before.
template <class Body>
void Ends(const char* what, int status, const char* letters, Body body) {
  Pipe pipe;
  const pid_t child = Fork([&] {
    g_log = pipe.in();
    LeaveThingsToDo();
    body();
    Fail(what);
  });
  const std::string got = pipe.Read();
  Expect(what, Wait(child), status);
  ExpectText(what, got, letters);
}

[[noreturn]] void Stay() {
  for (;;) pause();
}

// Main stays where it is while a thread ends the process. The threads that run are not joined by anybody.
template <class Body>
[[noreturn]] void InThread(Body body) {
  new Busy(6);
  const std::jthread thread([&] {
    LeaveThreadLocal();
    body();
  });
  Stay();
}

// From main and from two threads at once, while others run. Nothing on a stack joins them, for a child that leaves by
// pthread_exit unwinds its copy; and nobody does before they are done, for their children would take them for joined.
void FromEverywhere(void (*end)()) {
  const Busy* const busy = new Busy;
  auto* const threads = new std::vector<std::jthread>;
  static std::atomic<int> at_work;
  at_work = 2;
  for (int i = 0; i < 2; ++i) threads->emplace_back([end] { end(), --at_work; });
  end();
  Await([] { return at_work == 0; }, "threads whose children end");
  delete threads;
  delete busy;
}

// --- ends

void Exits() {
  FromEverywhere([] {
    Ends("exit in a thread", 7, "dcbas", [] { InThread([] { exit(7); }); });
    Ends("exit in main", 8, "dcbas", [] {
      new Busy(6);
      LeaveThreadLocal();
      exit(8);
    });
    Ends("what a stream holds at exit", 9, "dcbaswritten", [] {
      FILE* stream = fdopen(dup(g_log), "w");
      fputs("written", stream);
      InThread([] { exit(9); });
    });
  });
}

// The thread_local objects of those that run are left alone: no d.
void ExitWhileThreadsRun() {
  for (int i = 0; i < 20; ++i) {
    Ends("exit while threads run", 40 + i, "cbas", [i] {
      new Busy(8);
      static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
      static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
      static std::atomic<int> begun{0};
      for (int j = 0; j < 4; ++j) {
        std::thread([j] {
          LeaveThreadLocal();
          ++begun;
          pthread_mutex_lock(&mutex);
          while (j < 2) pthread_cond_wait(&cond, &mutex);
          for (;;) printf("%s", "");
        }).detach();
      }
      while (begun < i % 5) sched_yield();
      exit(40 + i);
    });
  }
}

void ImmediateEnds() {
  FromEverywhere([] {
    Ends("_exit in a thread", 10, "", [] { InThread([] { _exit(10); }); });
    Ends("quick_exit in a thread", 11, "rq", [] { InThread([] { quick_exit(11); }); });
  });
}

void Signals() {
  FromEverywhere([] {
    Ends("abort in a thread", -SIGABRT, "", [] { InThread([] { abort(); }); });
    Ends("abort with a handler", -SIGABRT, "h", [] {
      signal(SIGABRT, [](int) { Log('h'); });
      InThread([] { abort(); });
    });
    Ends("abort of which the thread does not want to know", -SIGABRT, "", [] {
      signal(SIGABRT, SIG_IGN);
      sigset_t all;
      sigfillset(&all);
      pthread_sigmask(SIG_SETMASK, &all, nullptr);
      InThread([] { abort(); });
    });
    Ends("raise in a thread", -SIGTERM, "", [] { InThread([] { raise(SIGTERM), Stay(); }); });
    Ends("pthread_kill of main", -SIGUSR1, "", [] {
      const pthread_t main = pthread_self();
      InThread([main] { pthread_kill(main, SIGUSR1), Stay(); });
    });
    Ends("kill by a thread", -SIGKILL, "", [] { InThread([] { kill(getpid(), SIGKILL), Stay(); }); });
  });
}

void TwoExitsAtOnce() {
  const Busy busy;
  for (int i = 0; i < 20; ++i) {
    Pipe pipe;
    const pid_t child = Fork([&] {
      g_log = pipe.in();
      LeaveThingsToDo();
      static std::atomic<int> ready{0};
      const auto end = [](int status) {
        for (++ready; ready < 2;) sched_yield();
        exit(status);
      };
      std::thread([&] { end(3); }).detach();
      end(4);
    });
    // Either may be done while the other is in the midst of a handler.
    const std::string letters = pipe.Read();
    for (const char letter : letters)
      if (letters.find(letter) != letters.rfind(letter)) ExpectText("a handler ran twice", letters, "cbas");
    const int status = Wait(child);
    if (status != 3 && status != 4) Fail("two exits at once", status);
  }
}

void HandlersOfExit() {
  FromEverywhere([] {
    Ends("a handler that makes threads", 12, "dtcbas", [] {
      atexit([] { std::jthread([] { Log('t'); }).join(); });
      InThread([] { exit(12); });
    });
    Ends("a handler that exits", 13, "dcbas", [] {
      atexit([] { exit(13); });
      InThread([] { exit(14); });
    });
    Ends("a handler that leaves more to do", 15, "dxycbas", [] {
      atexit([] {
        Log('x');
        atexit([] { Log('y'); });
      });
      InThread([] { exit(15); });
    });
    Ends("a handler that ends the process", 16, "d", [] {
      atexit([] { std::jthread([] { _exit(16); }).join(); });
      InThread([] { exit(17); });
    });
    Ends("a handler that forks", 18, "dfcbas", [] {
      atexit([] { Expect("its child", Wait(Fork([] { Log('f'), _exit(19); })), 19); });
      InThread([] { exit(18); });
    });
    // The thread's exit does what is left, or waits for the first one's to do it.
    Pipe pipe;
    const pid_t child = Fork([&] {
      g_log = pipe.in();
      LeaveThingsToDo();
      atexit([] {
        std::thread([] { exit(20); }).detach();
        usleep(2000);
      });
      exit(21);
    });
    const std::string letters = pipe.Read();
    for (const char letter : letters)
      if (letters.find(letter) != letters.rfind(letter)) ExpectText("a handler ran twice", letters, "cbas");
    if (const int status = Wait(child); status != 20 && status != 21) Fail("exit in a handler's thread", status);
  });
}

// --- main leaves by pthread_exit

std::atomic<int> g_turn{0};
pthread_t g_main;

void* GoOn(void* argument) {
  const int me = static_cast<int>(reinterpret_cast<intptr_t>(argument));
  if (me == 0 && pthread_join(g_main, nullptr) != 0) _exit(1);
  Await([&] { return g_turn == me; }, "the thread before");
  Log(static_cast<char>('0' + me));
  ++g_turn;
  return nullptr;
}

void* GoOnAndExit(void*) {
  if (pthread_join(g_main, nullptr) != 0) _exit(1);
  LeaveThreadLocal();
  exit(22);
}

void MainLeaves() {
  FromEverywhere([] {
    Ends("threads that go on", 0, "0123cbas", [] {
      g_main = pthread_self();
      for (intptr_t i = 0; i < 4; ++i) {
        pthread_t thread;
        if (pthread_create(&thread, nullptr, GoOn, reinterpret_cast<void*>(i)) != 0) _exit(1);
        pthread_detach(thread);
      }
      pthread_exit(nullptr);
    });
    Ends("the only thread", 0, "dcbas", [] {
      LeaveThreadLocal();
      pthread_exit(nullptr);
    });
    Ends("a thread that exits later", 22, "dcbas", [] {
      g_main = pthread_self();
      pthread_t thread;
      if (pthread_create(&thread, nullptr, GoOnAndExit, nullptr) != 0) _exit(1);
      pthread_exit(nullptr);
    });
    Ends("a child of a thread that goes on", 23, "cbas", [] {
      static const pid_t child = Fork([] { usleep(1000), _exit(23); });
      pthread_t thread;
      const auto wait = [](void*) -> void* { exit(Wait(child)); };
      if (pthread_create(&thread, nullptr, wait, nullptr) != 0) _exit(1);
      pthread_exit(nullptr);
    });
  });
}

// --- parents

void ThreadsWaitForTheirOwn() {
  const Busy busy;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([i] {
      const pid_t exits = Fork([i] { usleep(500), _exit(60 + i); }), killed = Fork([] { Stay(); });
      siginfo_t info = {};
      if (waitpid(killed, nullptr, WNOHANG) != 0) Fail("it has not ended");
      Check(waitid(P_PID, static_cast<id_t>(exits), &info, WEXITED | WNOWAIT), "waitid");
      if (info.si_pid != exits || info.si_code != CLD_EXITED || info.si_status != 60 + i)
        Fail("waitid", info.si_status);
      Expect("exited", Wait(exits), 60 + i);
      int status = 0;
      kill(killed, SIGSTOP);
      if (waitpid(killed, &status, WUNTRACED) != killed || !WIFSTOPPED(status)) Fail("not stopped", status);
      kill(killed, SIGCONT);
      if (waitpid(killed, &status, WCONTINUED) != killed || !WIFCONTINUED(status)) Fail("not continued", status);
      kill(killed, i % 2 == 0 ? SIGTERM : SIGKILL);
      Expect("killed", Wait(killed), i % 2 == 0 ? -SIGTERM : -SIGKILL);
      if (waitpid(killed, nullptr, 0) != -1 || errno != ECHILD) Fail("there is no child", errno);
    });
  }
}

void Groups() {
  const Busy busy;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([] {
      const pid_t leader = Fork([] { Stay(); });
      if (setpgid(leader, leader) != 0) Fail("setpgid");
      for (int j = 0; j < 3; ++j)
        if (setpgid(Fork([] { Stay(); }), leader) != 0) Fail("setpgid", j);
      Check(killpg(leader, SIGTERM), "killpg");
      for (int j = 0; j < 4; ++j) {
        int status = 0;
        if (waitpid(-leader, &status, 0) <= 0 || !WIFSIGNALED(status) || WTERMSIG(status) != SIGTERM)
          Fail("waitpid of a group", status);
      }
      if (waitpid(-leader, nullptr, 0) != -1 || errno != ECHILD) Fail("the group is not empty", errno);
    });
  }
}

std::atomic<pid_t> g_ended{0};
std::atomic<int> g_code{0}, g_status{0};

void NoteEnd(int, siginfo_t* info, void*) {
  g_code = info->si_code;
  g_status = info->si_status;
  g_ended = info->si_pid;
}

// By a handler, whose signal any thread may take, and by a thread that waits for it.
void ChildSignal() {
  struct sigaction action = {};
  action.sa_sigaction = NoteEnd;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP;
  Check(sigaction(SIGCHLD, &action, nullptr), "sigaction");
  {
    const Busy busy;
    for (int i = 0; i < 10; ++i) {
      const pid_t child = Fork([i] { i % 2 == 0 ? _exit(i) : (raise(SIGKILL), Stay()); });
      Await([&] { return g_ended == child; }, "SIGCHLD");
      if (g_code != (i % 2 == 0 ? CLD_EXITED : CLD_KILLED) || g_status != (i % 2 == 0 ? i : SIGKILL))
        Fail("what SIGCHLD says", g_code, g_status);
      Wait(child);
    }
  }
  signal(SIGCHLD, SIG_DFL);
  const pid_t waits = Fork([] {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    new Busy;
    std::jthread([&] {
      for (int i = 0; i < 10; ++i) {
        const pid_t child = Fork([i] { _exit(i); });
        siginfo_t info = {};
        const timespec patience = {kPatienceMs / 1000, 0};
        if (sigtimedwait(&set, &info, &patience) != SIGCHLD) Fail("sigtimedwait");
        if (info.si_pid != child || info.si_status != i) Fail("what it says", info.si_pid, info.si_status);
        Wait(child);
      }
      _exit(50);
    }).join();
  });
  Expect("a child that waits for SIGCHLD", Wait(waits), 50);
  signal(SIGCHLD, SIG_IGN);  // no zombies
  const pid_t child = Fork([] { _exit(0); });
  if (waitpid(child, nullptr, 0) != -1 || errno != ECHILD) Fail("a child that nobody wants to know of", errno);
  signal(SIGCHLD, SIG_DFL);
}

}  // namespace

int main() {
  SetUp();
  RunParts({{"exit, of main and threads", Exits},
            {"exit while threads run", ExitWhileThreadsRun},
            {"_exit and quick_exit", ImmediateEnds},
            {"abort and other signals", Signals},
            {"two exits at once", TwoExitsAtOnce},
            {"threads and children of atexit handlers", HandlersOfExit},
            {"pthread_exit of main", MainLeaves},
            {"threads wait for their own children", ThreadsWaitForTheirOwn},
            {"process groups", Groups},
            {"SIGCHLD", ChildSignal}});
  return 0;
}
