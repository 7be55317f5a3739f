// SPDX-License-Identifier: Apache-2.0
// What the kernel keeps for a thread. Those of liburing only where it is installed.
#include <dlfcn.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/io.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cases.h"

static void ArchPrctl(Function function) {
  enum { kGetGs = 0x1004 };  // asm/prctl.h
  unsigned long base = 1;
  CHECK(CALL_AS((int (*)(int, unsigned long*))function, kGetGs, &base) == 0 && base == 0);
  CHECK(CALL_AS((int (*)(int, unsigned long*))function, -1, &base) == -1 && errno == EINVAL);
}
static void CapSet(Function function) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  CHECK(CALL_AS((int (*)(void*, void*))function, NULL, data) == -1 && errno == EFAULT);
  header.pid = -1;
  CHECK(CALL_AS((int (*)(void*, void*))function, &header, data) == -1);
}
static void GetPriority(Function function) {
  CALL(getpriority, PRIO_PROCESS, 0);
  CHECK(CALL(getpriority, PRIO_PROCESS, (id_t)-1) == -1 && errno == ESRCH);
}
static void SetPriority(Function function) {
  CHECK(CALL(setpriority, PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0)) == 0);
}
static void Nice(Function function) {
  CALL(nice, 0);
}
static void IoPerm(Function function) {
  CHECK(CALL(ioperm, (unsigned long)-1, 1, 0) == -1);
}
static void IoPl(Function function) {
  CHECK(CALL(iopl, 4) == -1);
}
static void Personality(Function function) {
  CHECK(CALL(personality, 0xffffffff) != -1);
}
static void PTrace(Function function) {
  const pid_t none = 0x7ffffff;
  CHECK(CALL_AS((long (*)(int, pid_t, void*, void*))function, PTRACE_CONT, none, NULL, NULL) == -1 && errno == ESRCH);
}

// liburing's, with room for its struct io_uring

typedef int (*Call)();
static long ring[64];
static struct io_uring_params params;

// As the program sees it. NULL: there is no liburing, or it has no such function.
static Call Uring(const char* name) {
  void* library = dlopen("liburing.so.2", RTLD_NOW | RTLD_GLOBAL);
  void* symbol = library == NULL || dlsym(library, name) == NULL ? NULL : dlsym(RTLD_DEFAULT, name);
  Call call;
  memcpy(&call, &symbol, sizeof call);
  if (call == NULL) Say("absent");
  return call;
}
// After a ring was made, unless that is what the function does.
static Call WithRing(const char* name) {
  Call call = Uring(name);
  if (call != NULL && Uring("io_uring_queue_init")(1, ring, 0) != 0) {
    Say("no rings here");
    return NULL;
  }
  return call;
}

static void UringQueueInit(Function function) {
  (void)function;
  Call call = Uring("io_uring_queue_init");
  if (call != NULL) CALL_AS(call, 1, ring, 0);
}
static void UringQueueInitParams(Function function) {
  (void)function;
  Call call = Uring("io_uring_queue_init_params");
  if (call != NULL) CALL_AS(call, 1, ring, &params);
}
static void UringQueueInitMem(Function function) {
  (void)function;
  Call call = Uring("io_uring_queue_init_mem");
  if (call != NULL) CALL_AS(call, 1, ring, &params, NULL, (size_t)0);
}
static void UringSetup(Function function) {
  (void)function;
  Call call = Uring("io_uring_setup");
  if (call != NULL) CALL_AS(call, 1, &params);
}
static void UringEnableRings(Function function) {
  (void)function;
  Call call = WithRing("io_uring_enable_rings");
  if (call != NULL) CALL_AS(call, ring);
}
static void UringRegisterRingFd(Function function) {
  (void)function;
  Call call = WithRing("io_uring_register_ring_fd");
  if (call != NULL) CALL_AS(call, ring);
}
static void UringRegisterAffinity(Function function) {
  (void)function;
  Call call = WithRing("io_uring_register_iowq_aff");
  if (call != NULL) CALL_AS(call, ring, (size_t)0, NULL);
}
static void UringRegisterMaxWorkers(Function function) {
  (void)function;
  unsigned workers[2] = {0, 0};
  Call call = WithRing("io_uring_register_iowq_max_workers");
  if (call != NULL) CALL_AS(call, ring, workers);
}

#define OF_LIBURING(name, body) \
  { #name, body, (Function)body }

static const struct Case kCases[] = {
    BY_NAME(arch_prctl, ArchPrctl),
    BY_NAME(capset, CapSet),
    DECLARED(getpriority, GetPriority),
    DECLARED(setpriority, SetPriority),
    DECLARED(nice, Nice),
    DECLARED(ioperm, IoPerm),
    DECLARED(iopl, IoPl),
    DECLARED(personality, Personality),
    DECLARED(ptrace, PTrace),
    OF_LIBURING(io_uring_queue_init, UringQueueInit),
    OF_LIBURING(io_uring_queue_init_params, UringQueueInitParams),
    OF_LIBURING(io_uring_queue_init_mem, UringQueueInitMem),
    OF_LIBURING(io_uring_setup, UringSetup),
    OF_LIBURING(io_uring_enable_rings, UringEnableRings),
    OF_LIBURING(io_uring_register_ring_fd, UringRegisterRingFd),
    OF_LIBURING(io_uring_register_iowq_aff, UringRegisterAffinity),
    OF_LIBURING(io_uring_register_iowq_max_workers, UringRegisterMaxWorkers),
};

const struct Family kKernelFamily = FAMILY(kCases);
