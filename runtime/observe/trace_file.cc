// SPDX-License-Identifier: Apache-2.0
// One track (tid) for each P, P0 being 1; a slice for each turn of a G. Where a wake-up led to a slice, an arrow leads
// there from the moment of waking. Times are CLOCK_MONOTONIC in microseconds.
#include "runtime/observe/trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/options.h"
#include "runtime/observe/describe.h"
#include "runtime/observe/output.h"
#include "runtime/observe/recorder.h"
#include "runtime/observe/stats.h"
#include "runtime/os/clock.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

constexpr int64_t kPeriod = 20 * 1000 * 1000;
constexpr size_t kBuffer = 64 * 1024;

constinit int g_fd = -1;
constinit char g_buffer[kBuffer];
constinit size_t g_filled = 0;
constinit uint64_t g_slices = 0, g_unseen = 0;
constinit int64_t g_due = 0;

struct Named {
  int error;
  const char* name;
};
constexpr Named kErrors[] = {{ENOSPC, "no space left on device"}, {EDQUOT, "disk quota exceeded"},
                             {EFBIG, "file too large"},           {EIO, "input/output error"},
                             {EACCES, "permission denied"},       {ENOENT, "no such directory"},
                             {ENOTDIR, "not a directory"},        {EROFS, "read-only file system"},
                             {EISDIR, "is a directory"},          {ENODEV, "not a file"}};

void give_up(const char* name, long error) {
  Text line;
  line << "libmn: trace: " << name << ": ";
  const char* why = nullptr;
  for (const Named& e : kErrors)
    if (e.error == error) why = e.name;
  if (why != nullptr)
    line << why;
  else
    line << "error " << int64_t{error};
  line << "; no more is traced\n";
  output(line);
  recorder_stop();
  if (g_fd >= 0) raw_syscall(SYS_close, g_fd);
  g_fd = -1;
  g_filled = 0;
}

void flush() {
  for (size_t done = 0; done < g_filled && g_fd >= 0;) {
    long n = raw_syscall(SYS_write, g_fd, sys_arg(g_buffer + done), static_cast<long>(g_filled - done));
    if (n == -EINTR) continue;
    if (n < 0) return give_up(options.trace, -n);
    done += static_cast<size_t>(n);
  }
  g_filled = 0;
}

void write(const Text& event) {
  if (g_filled + event.size() > kBuffer) flush();
  if (g_fd < 0) return;
  memcpy(g_buffer + g_filled, event.data(), event.size());
  g_filled += event.size();
}

// For a JSON string. What is not printable ASCII may be no UTF-8 either, and is a question mark.
void put_string(const char* s, size_t most, Text* out) {
  for (size_t i = 0; i < most && s[i] != '\0'; ++i) {
    char c = s[i];
    if (c == '"' || c == '\\') *out << '\\';
    *out << (c >= ' ' && c < 127 ? c : '?');
  }
}

// Microseconds, with nanoseconds behind the point.
void put_time(int64_t ns, Text* out) {
  *out << ns / 1000 << '.';
  int64_t rest = ns % 1000;
  if (rest < 100) *out << '0';
  if (rest < 10) *out << '0';
  *out << rest;
}

// ,{"ph":"X","pid":1,"tid":1,"ts":2.000
Text begin_event(const char* phase, int track, int64_t ts) {
  Text e;
  e << ",\n{\"ph\":\"" << phase << "\",\"pid\":" << sys_getpid() << ",\"tid\":" << track << ",\"ts\":";
  put_time(ts, &e);
  return e;
}

void write_name(const char* what, int track, const char* name, int number) {
  Text e = begin_event("M", track, 0);
  e << ",\"name\":\"" << what << "\",\"args\":{\"name\":\"";
  put_string(name, 16, &e);
  if (number >= 0) e << number;
  e << "\"}}";
  write(e);
}

void put_end(const TraceRecord& r, Text* out) {
  switch (r.how) {
    case SliceEnd::kYields:
      *out << "\"yields\"";
      return;
    case SliceEnd::kPreempted:
      *out << "\"preempted\"";
      return;
    case SliceEnd::kInKernel:
      *out << "\"blocks in the kernel\"";
      return;
    case SliceEnd::kEnds:
      *out << "\"ends\"";
      return;
    case SliceEnd::kRuns:
      *out << "\"runs\"";
      return;
    case SliceEnd::kWaits:
      *out << "\"waits\",\"for\":\"" << wait_word(static_cast<WaitKind>(r.kind)) << "\",\"address\":\"" << r.key << '"';
      if (r.holder == 0) return;
      *out << ",\"held by\":\"";
      describe_tid(r.holder, out);
      *out << '"';
  }
}

void write_flow(const char* phase, int track, int64_t ts, uint64_t flow) {
  Text e = begin_event(phase, track, ts);
  e << ",\"id\":" << flow << ",\"name\":\"wakes\",\"cat\":\"wake\"";
  if (phase[0] == 'f') e << ",\"bp\":\"e\"";
  e << '}';
  write(e);
}

void write_slice(int track, const TraceRecord& r) {
  Text e = begin_event("X", track, r.begin);
  e << ",\"dur\":";
  put_time(r.end - r.begin, &e);
  e << ",\"name\":\"";
  describe_tid(r.tid, &e);
  e << "\",\"cat\":\"thread\",\"args\":{\"name\":\"";
  put_string(r.name, sizeof r.name, &e);
  e << "\",\"end\":";
  put_end(r, &e);
  e << "}}";
  write(e);
  if (r.flow != 0) write_flow("f", track, r.begin, r.flow);
  ++g_slices;
}

void write_gap(int track, const TraceRecord& r) {
  Text e = begin_event("X", track, r.begin);
  e << ",\"dur\":";
  put_time(r.end - r.begin, &e);
  e << ",\"name\":\"not recorded\",\"cat\":\"gap\",\"args\":{\"switches\":" << r.count << "}}";
  write(e);
  g_unseen += r.count;
}

void see(const P* p, const TraceRecord& r) {
  int track = p->id + 1;
  switch (r.what) {
    case TraceWhat::kSlice:
      return write_slice(track, r);
    case TraceWhat::kWake:
      return write_flow("s", track, r.begin, r.flow);
    case TraceWhat::kGap:
      return write_gap(track, r);
  }
}

void write_counter(const char* name, int64_t now, uint64_t value) {
  Text e = begin_event("C", 0, now);
  e << ",\"name\":\"" << name << "\",\"args\":{\"threads\":" << value << "}}";
  write(e);
}

void read_all(int64_t now) {
  uint64_t runnable = sched.global_size.load(std::memory_order_relaxed);
  for (int i = 0; i < sched.nprocs; ++i) {
    recorder_read(sched.ps[i], see);
    runnable += sched.ps[i]->runq.size();
  }
  write_counter("runnable", now, runnable);
  write_counter("alive", now, static_cast<uint64_t>(threads_alive()));
  flush();
}

// What has that name and is neither a file nor a link, as an error.
long what_exists(const char* name) {
  long fd = raw_syscall(SYS_openat, AT_FDCWD, sys_arg(name), O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -EEXIST;
  struct stat what;
  bool known = raw_syscall(SYS_fstat, fd, sys_arg(&what)) == 0;
  raw_syscall(SYS_close, fd);
  if (!known || S_ISREG(what.st_mode) || S_ISLNK(what.st_mode)) return -EEXIST;
  return S_ISDIR(what.st_mode) ? -EISDIR : -ENODEV;
}

long create(const char* name) {
  long fd = raw_syscall(SYS_openat, AT_FDCWD, sys_arg(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  return fd == -EEXIST ? what_exists(name) : fd;
}

}  // namespace

void trace_start() {
  g_fd = -1;
  if (!recorder_start()) give_up(options.trace, ENOMEM);
}

void trace_open() {
  if (options.trace == nullptr) return;
  long fd = create(options.trace);
  if (fd == -EEXIST) {
    Text name, line;
    name << options.trace << '.' << sys_getpid();
    fd = create(name.c_str());
    line << "libmn: trace: " << options.trace << " exists: writing " << name.c_str() << '\n';
    if (fd >= 0) output(line);
  }
  if (fd < 0) return give_up(options.trace, -fd);
  g_fd = static_cast<int>(fd);
  g_filled = 0;
  g_slices = g_unseen = 0;
  Text first;
  first << "[{\"ph\":\"M\",\"pid\":" << sys_getpid()
        << ",\"tid\":0,\"ts\":0,\"name\":\"process_name\",\"args\":{\"name\":\"";
  put_string(sched.main_g != nullptr ? sched.main_g->name : "", 16, &first);
  first << "\"}}";
  write(first);
  for (int i = 0; i < sched.nprocs; ++i) write_name("thread_name", i + 1, "P", i);
}

int64_t trace_tick(int64_t now) {
  if (g_fd < 0) return kForever;
  if (now < g_due) return g_due;
  g_due = now + kPeriod;
  read_all(now);
  return g_due;
}

void trace_close() {
  if (g_fd < 0) return;
  recorder_stop();
  read_all(now_ns());
  for (int i = 0; i < sched.nprocs; ++i)
    if (TraceRecord r; recorder_unfinished(sched.ps[i], &r)) see(sched.ps[i], r);
  Text last = begin_event("M", 0, 0);
  last << ",\"name\":\"libmn\",\"args\":{\"slices\":" << g_slices << ",\"switches not recorded\":" << g_unseen
       << "}}\n]\n";
  write(last);
  flush();
  if (g_fd >= 0) raw_syscall(SYS_close, g_fd);
  g_fd = -1;
}

}  // namespace mn
