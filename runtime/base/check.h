// SPDX-License-Identifier: Apache-2.0
// Compiler vocabulary and the two checks. MN_CHECK stays in release builds: it guards what would otherwise corrupt the
// program silently. MN_DCHECK is compiled in by `make VARIANT=debug` only.
#pragma once

#define MN_LIKELY(x) __builtin_expect(!!(x), 1)
#define MN_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define MN_NOINLINE __attribute__((noinline))
// All that it calls is made part of it, as far as link-time optimisation sees. For calls that switch: the CPU predicts
// returns from the calls it saw, which were another thread's, so each frame between a switch and its caller costs a
// misprediction.
#define MN_FLATTEN __attribute__((flatten))
#define MN_INLINE inline __attribute__((always_inline))
#define MN_COLD __attribute__((cold, noinline))
#define MN_EXPORT __attribute__((visibility("default")))
#define MN_HIDDEN __attribute__((visibility("hidden")))
// Code that runs outside (sched/sched.h) and touches nothing of its M: a thread may be preempted in it as in the
// program's own. For what programs call in loops and what rarely goes inside; in the rest of libmn a preemption waits
// for the next enter(). Aligned: a mutex takes 6 to 7 ns, 15 % of which were where chance had put its code.
#define MN_PREEMPTIBLE __attribute__((section("mn_preemptible"), aligned(64)))
// TLS of libmn lives in the static block: one instruction to reach, no call into ld.so, async-signal-safe.
#define MN_TLS __thread __attribute__((tls_model("initial-exec")))

namespace mn {

// Prints one constant line (`what`, where it stands), runs the fatal hook once, aborts. Defined in os/, the lowest
// layer that can write.
[[noreturn]] void fatal(const char* what, const char* where);

// Ends the process by a signal's default action, whatever the program has made of it. In os/.
[[noreturn]] void end_by_signal(int sig);

// What upper layers want done before the abort (a dump of all Gs). May be null.
using FatalHook = void (*)();
extern FatalHook fatal_hook;

}  // namespace mn

#define MN_STRINGIFY_(x) #x
#define MN_STRINGIFY(x) MN_STRINGIFY_(x)
#define MN_CHECK(cond, context)                                                                                      \
  do {                                                                                                               \
    if (MN_UNLIKELY(!(cond))) ::mn::fatal(context ": " #cond " does not hold", __FILE__ ":" MN_STRINGIFY(__LINE__)); \
  } while (0)

#ifdef MN_DEBUG
#define MN_DCHECK(cond, context) MN_CHECK(cond, context)
#else
#define MN_DCHECK(cond, context) \
  do {                           \
  } while (false && (cond))
#endif
