// SPDX-License-Identifier: Apache-2.0
// libc's thread control block (struct pthread) and static TLS, made by us for threads that libc does not know.
//
// Nothing about the layout is hard-coded that libc can be asked for: it exports descriptors for debuggers
// (_thread_db_*: {bits, count, offset}), the kernel knows where the robust list is, ld.so exports the size of the
// static TLS and __rseq_offset. What x86-64 code has compiled in (tcb, dtv, self, stack and pointer guard at fixed
// offsets from %fs) is ABI. tcb_discover() checks what it can and refuses rather than guess.
//
// A TCB's life: tcb_create() once per memory block (the dtv comes from libc's malloc), tcb_recycle() before each later
// thread in the same block, tcb_discard() before the memory is given back. What libc keeps in it for a thread, and what
// of that outlives the thread, is libc_state.h's.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mn {

inline void* thread_pointer() {
  void* tp;
  __asm__ volatile("mov %%fs:0, %0" : "=r"(tp));
  return tp;
}

// Thread ids of Gs start here: above PID_MAX_LIMIT (2^22), so that none is ever a kernel thread's, below the 30 bits
// that futex-based locks keep for the owner.
constexpr int kFakeTidBase = 1 << 22;

struct TcbLayout {
  size_t size = 0;            // sizeof(struct pthread)
  size_t tid = 0;             // int
  size_t list = 0;            // list_t
  size_t cleanup = 0;         // two pointers: old-style clean-up buffers, and where an unwinding ends
  size_t cancelhandling = 0;  // int
  size_t flags = 0;           // int; kFlagsSchedulingTold
  size_t schedpolicy = 0;     // int
  size_t schedparam = 0;      // struct sched_param
  size_t cancelstate = 0;     // the bytes that pthread_setcancelstate and
  size_t canceltype = 0;      // pthread_setcanceltype change: within cancelhandling before glibc 2.37
  size_t specific = 0;        // struct pthread_key_data* [32]; the first block of 32 lies just before
  size_t robust_head = 0;     // struct robust_list_head
  size_t stackblock = 0;      // void* and size_t; 0 when not found
  size_t static_size = 0;     // static TLS and TCB together
  size_t static_align = 0;
  ptrdiff_t libc_tls = 0;  // libc's TLS segment, from the thread pointer (negative)
  size_t libc_tls_size = 0;
  const char* libc_tls_image = nullptr;  // what a thread finds there first: so many bytes, then zeros
  size_t libc_tls_filled = 0;
};

// Of TcbLayout::flags: priority and policy in the TCB are what the thread was given (glibc's ATTR_FLAG_SCHED_SET and
// ATTR_FLAG_POLICY_SET).
constexpr int kFlagParamSet = 0x20, kFlagPolicySet = 0x40;
constexpr int kFlagsSchedulingTold = kFlagParamSet | kFlagPolicySet;

extern TcbLayout tcb_layout;

// Fills tcb_layout from the calling thread. Null, or why libmn cannot work here.
const char* tcb_discover();
// Only where the fields are; part of the above.
const char* tcb_describe();
// Where a field is, by libc's descriptor for debuggers; false: there is none of that name.
bool tcb_described(const char* name, size_t* offset);

// Finds struct pthread's stack fields in the TCB of the calling thread, one that libc itself created on a stack that it
// mapped.
void tcb_find_stackblock();

// Bytes to reserve at the top of a thread's memory for static TLS and TCB, and where in them the TCB is.
size_t tcb_reserve();

// Builds TLS and TCB. `tcb` is aligned to static_align, zeroed, with tcb_reserve() bytes around it. False: no memory.
bool tcb_create(void* tcb, int tid);
void tcb_recycle(void* tcb);
void tcb_discard(void* tcb);
void tcb_set_stack(void* tcb, void* base, size_t size);

// Frees dynamically allocated TLS blocks of the calling thread and forgets its thread-specific data; its last act.
void tcb_retire_self();

// Whether the calling thread ever stored thread-specific data.
bool tcb_self_has_specific();

// Stops the kernel from writing the calling kernel thread's CPU number into `tcb`, whose G may leave this kernel
// thread.
void tcb_unregister_rseq(void* tcb);

template <class T>
inline T& tcb_at(void* tcb, size_t offset) {
  return *reinterpret_cast<T*>(static_cast<char*>(tcb) + offset);
}

inline int tcb_tid(const void* tcb) {
  return *reinterpret_cast<const int*>(static_cast<const char*>(tcb) + tcb_layout.tid);
}
inline int tcb_cancelhandling(const void* tcb) {
  return *reinterpret_cast<const volatile int*>(static_cast<const char*>(tcb) + tcb_layout.cancelhandling);
}
// libc asks the thread to change its credentials (nptl/descr.h, SETXID_BITMASK). It marks the TCBs on its lists, sends
// each thread that it has marked a signal, by the tid in the TCB, and clears the mark when that is answered, or when
// there is no such thread.
inline bool tcb_asked_for_credentials(const void* tcb) {
  constexpr int kSetxid = 1 << 6;
  return (tcb_cancelhandling(tcb) & kSetxid) != 0;
}
// Bit 0 says so, whether glibc keeps the state among others (before 2.37) or by itself.
inline bool tcb_cancel_disabled(const void* tcb) {
  return (static_cast<const volatile char*>(tcb)[tcb_layout.cancelstate] & 1) != 0;
}
// Asynchronous, as the program or a call of libc's that blocks has made it.
inline bool tcb_cancel_asynchronous(const void* tcb) {
  int bit = tcb_layout.canceltype == tcb_layout.cancelstate ? 2 : 1;
  return (static_cast<const volatile char*>(tcb)[tcb_layout.canceltype] & bit) != 0;
}
inline void tcb_set_tid(void* tcb, int tid) {
  tcb_at<int>(tcb, tcb_layout.tid) = tid;
}

}  // namespace mn
