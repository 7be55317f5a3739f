// SPDX-License-Identifier: Apache-2.0
// Measures creating and joining threads: one by one, many at once, and in trees.
#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "bench.h"

namespace bench {
namespace {

void* nothing(void*) {
  return nullptr;
}

// One thread created and joined, again and again.
void create_join(benchmark::State& state) {
  for (auto _ : state) {
    pthread_t id;
    if (pthread_create(&id, nullptr, nothing, nullptr) != 0) {
      state.SkipWithError("cannot: pthread_create failed");
      break;
    }
    pthread_join(id, nullptr);
  }
}
BENCHMARK(create_join)->Name("create_join")->MeasureProcessCPUTime()->UseRealTime();

// A number of threads created, then all joined in the same order; time per thread.
void create_many_join(benchmark::State& state) {
  const int64_t threads = at_most(state.range(0));
  std::vector<pthread_t> ids(static_cast<size_t>(threads));
  if (threads < state.range(0)) {
    state.SetLabel("only " + std::to_string(threads) + " threads: the limit here");
  }
  while (state.KeepRunningBatch(threads)) {
    size_t made = 0;
    while (made < ids.size() && pthread_create(&ids[made], nullptr, nothing, nullptr) == 0) made++;
    for (size_t i = 0; i < made; i++) pthread_join(ids[i], nullptr);
    if (made < ids.size()) {
      state.SkipWithError("cannot: pthread_create failed");
      break;
    }
  }
}
BENCHMARK(create_many_join)
    ->Name("create_many_join")
    ->ArgName("threads")
    ->Arg(10'000)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

// ---- trees --------------------------------------------------------------------------------------

// Set when some thread of a tree could not be created; its part was then computed in place.
std::atomic<bool> incomplete;

struct Fib {
  int n;
  int64_t result;
};

// fib(n - 1) on a new thread, fib(n - 2) on this one, then join.
void* fib(void* arg) {
  auto* f = static_cast<Fib*>(arg);
  if (f->n < 2) {
    f->result = f->n;
    return nullptr;
  }
  Fib a{f->n - 1, 0};
  Fib b{f->n - 2, 0};
  pthread_t id;
  const bool made = pthread_create(&id, nullptr, fib, &a) == 0;
  fib(&b);
  if (made) {
    pthread_join(id, nullptr);
  } else {
    incomplete.store(true);
    fib(&a);
  }
  f->result = a.result + b.result;
  return nullptr;
}

int64_t fib_number(int n) {
  int64_t a = 0;
  int64_t b = 1;
  for (; n > 0; n--) {
    const int64_t next = a + b;
    a = b;
    b = next;
  }
  return a;
}

// Naive Fibonacci with a thread for every addition; time per thread.
void fib_tree(benchmark::State& state) {
  const int n = static_cast<int>(state.range(0));
  const int64_t threads = fib_number(n + 1) - 1;
  if (const std::string why = cannot_have(threads); !why.empty()) {
    state.SkipWithError(why.c_str());
  }
  incomplete.store(false);
  while (state.KeepRunningBatch(threads)) {
    Fib root{n, 0};
    fib(&root);
    if (incomplete.load()) {
      state.SkipWithError("cannot: pthread_create failed");
      break;
    }
    if (root.result != fib_number(n)) {
      state.SkipWithError("wrong result");
      break;
    }
  }
  state.counters["threads"] = static_cast<double>(threads);
}
BENCHMARK(fib_tree)->Name("fib")->ArgName("n")->Arg(20)->MeasureProcessCPUTime()->UseRealTime();

struct Node {
  int64_t first;
  int64_t leaves;
  int64_t sum;
};

// A node with leaves below it has ten children, each a thread; a leaf's sum is its number.
void* skynet_node(void* arg) {
  constexpr int kChildren = 10;
  auto* node = static_cast<Node*>(arg);
  if (node->leaves == 1) {
    node->sum = node->first;
    return nullptr;
  }
  Node child[kChildren];
  pthread_t id[kChildren];
  bool made[kChildren];
  const int64_t share = node->leaves / kChildren;
  for (int i = 0; i < kChildren; i++) {
    child[i] = {node->first + i * share, share, 0};
    made[i] = pthread_create(&id[i], nullptr, skynet_node, &child[i]) == 0;
  }
  for (int i = 0; i < kChildren; i++) {
    if (made[i]) {
      pthread_join(id[i], nullptr);
    } else {
      incomplete.store(true);
    }
    node->sum += child[i].sum;
  }
  return nullptr;
}

// A tree of threads with the given number of leaves (a power of ten); time per tree.
void skynet(benchmark::State& state) {
  const int64_t leaves = state.range(0);
  const int64_t threads = (leaves * 10 - 1) / 9;
  if (const std::string why = cannot_have(threads); !why.empty()) {
    state.SkipWithError(why.c_str());
  }
  incomplete.store(false);
  for (auto _ : state) {
    Node root{0, leaves, 0};
    skynet_node(&root);
    if (incomplete.load()) {
      state.SkipWithError("cannot: pthread_create failed");
      break;
    }
    if (root.sum != leaves * (leaves - 1) / 2) {
      state.SkipWithError("wrong result");
      break;
    }
  }
  state.counters["threads"] = static_cast<double>(threads - 1);
}
BENCHMARK(skynet)
    ->Name("skynet")
    ->ArgName("leaves")
    ->Arg(10'000)
    ->Arg(1'000'000)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
}  // namespace bench
