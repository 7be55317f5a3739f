// SPDX-License-Identifier: Apache-2.0
// Runs the thread benchmarks (creation, switches, locks, memory); run.py compares two runs of it.
//
// Takes Google Benchmark's own options; each row lasts about 0.2 s unless --benchmark_min_time says
// otherwise, because runs are short and interleaved rather than long.
#include <benchmark/benchmark.h>

#include <vector>

int main(int argc, char** argv) {
  char min_time[] = "--benchmark_min_time=0.2";
  std::vector<char*> args(argv, argv + argc);
  args.insert(args.begin() + (argc > 0 ? 1 : 0), min_time);  // the caller's come later and win
  args.push_back(nullptr);
  int count = static_cast<int>(args.size()) - 1;
  benchmark::Initialize(&count, args.data());
  if (benchmark::ReportUnrecognizedArguments(count, args.data())) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
