// SPDX-License-Identifier: Apache-2.0
#include "runtime/os/tcb.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/check.h"
#include "runtime/os/libc_state.h"
#include "runtime/os/libc_version.h"
#include "runtime/os/memory.h"
#include "runtime/os/real.h"
#include "runtime/os/stack_prot.h"
#include "runtime/os/syscall.h"
#include "runtime/os/tcb_list.h"
#include "runtime/os/tls_images.h"

namespace mn {

constinit TcbLayout tcb_layout{};

namespace {

// tcbhead_t of x86-64 (glibc sysdeps/x86_64/nptl/tls.h); compilers emit the guards' offsets, so they are ABI.
constexpr size_t kHeadTcb = 0x00, kHeadDtv = 0x08, kHeadSelf = 0x10, kHeadMultipleThreads = 0x18;
constexpr size_t kHeadStackGuard = 0x28, kHeadPointerGuard = 0x30, kHeadFeature1 = 0x48;
constexpr size_t kKeyBlock = 32;     // keys per block (PTHREAD_KEY_2NDLEVEL_SIZE)
constexpr int32_t kRseqFailed = -2;  // RSEQ_CPU_ID_REGISTRATION_FAILED: sched_getcpu asks the kernel
constexpr size_t kRseqCpuId = 4, kRseqArea = 32;
constexpr uint32_t kRseqSignature = 0x53053053;

struct KeyData {
  uintptr_t seq;
  void* data;
};

union Dtv {  // since glibc 2.25
  size_t counter;
  struct {
    void* val;
    void* to_free;
  } pointer;
};

ptrdiff_t g_rseq_offset;
bool g_have_rseq;
// _dl_allocate_tls_init's second argument for a thread that is not main. Up to 2.40 it says that the images are to be
// copied; from 2.41 on (glibc fe06fb313b) that the thread is main, for which it then marks modules as initialised, and
// that without ld.so's lock: a library that was just being loaded was not initialised in other threads, and its mark is
// in a word with others that dlopen and dlclose were changing.
bool g_init_argument;

template <class T>
T& at(void* tcb, ptrdiff_t offset) {
  return *reinterpret_cast<T*>(static_cast<char*>(tcb) + offset);
}

// 0 when libc does not say.
size_t field(const char* name) {
  size_t offset = 0;
  tcb_described(name, &offset);
  return offset;
}

int find_libc_tls(dl_phdr_info* info, size_t, void* tp) {
  bool libc = false;
  const ElfW(Phdr)* tls = nullptr;
  auto probe = reinterpret_cast<uintptr_t>(real.pthread_self);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& ph = info->dlpi_phdr[i];
    if (ph.p_type == PT_LOAD && probe - (info->dlpi_addr + ph.p_vaddr) < ph.p_memsz) libc = true;
    if (ph.p_type == PT_TLS) tls = &ph;
  }
  if (!libc || tls == nullptr || info->dlpi_tls_data == nullptr) return 0;
  tcb_layout.libc_tls = static_cast<char*>(info->dlpi_tls_data) - static_cast<char*>(tp);
  tcb_layout.libc_tls_size = tls->p_memsz;
  tcb_layout.libc_tls_image = reinterpret_cast<const char*>(info->dlpi_addr + tls->p_vaddr);
  tcb_layout.libc_tls_filled = tls->p_filesz;
  return 1;
}

// Which byte of the caller's struct pthread `set` changes; 0 when none does.
size_t changed_byte(int (*set)(int, int*), int value) {
  static char before[8192];
  auto* tcb = static_cast<char*>(thread_pointer());
  size_t size = tcb_layout.size < sizeof before ? tcb_layout.size : sizeof before;
  memcpy(before, tcb, size);
  int old;
  if (set(value, &old) != 0) return 0;
  size_t at = 0;
  for (size_t i = 0; i < size; ++i)
    if (tcb[i] != before[i]) at = i;
  set(old, nullptr);
  return at;
}

KeyData* first_keys(void* tcb) {
  return &at<KeyData>(tcb, static_cast<ptrdiff_t>(tcb_layout.specific - kKeyBlock * sizeof(KeyData)));
}

void init_head(void* tcb) {
  void* self = thread_pointer();
  at<void*>(tcb, kHeadTcb) = tcb;
  at<void*>(tcb, kHeadSelf) = tcb;
  at<int>(tcb, kHeadMultipleThreads) = 1;
  at<uintptr_t>(tcb, kHeadStackGuard) = at<uintptr_t>(self, kHeadStackGuard);
  at<uintptr_t>(tcb, kHeadPointerGuard) = at<uintptr_t>(self, kHeadPointerGuard);
  at<uint32_t>(tcb, kHeadFeature1) = at<uint32_t>(self, kHeadFeature1);
}

void init_lists(void* tcb) {
  const TcbLayout& l = tcb_layout;
  auto list = static_cast<ptrdiff_t>(l.list), robust = static_cast<ptrdiff_t>(l.robust_head);
  void* self = thread_pointer();
  // fork's child unlinks its own list node; robust mutexes hang off the robust head. Both are circular when empty.
  at<void*>(tcb, list) = &at<char>(tcb, list);
  at<void*>(tcb, list + 8) = &at<char>(tcb, list);
  at<void*>(tcb, robust - 8) = &at<char>(tcb, robust);
  at<void*>(tcb, robust) = &at<char>(tcb, robust);
  at<long>(tcb, robust + 8) = at<long>(self, robust + 8);
  at<KeyData*>(tcb, static_cast<ptrdiff_t>(l.specific)) = first_keys(tcb);
  if (g_have_rseq) at<int32_t>(tcb, g_rseq_offset + static_cast<ptrdiff_t>(kRseqCpuId)) = kRseqFailed;
}

// Where what an unwinding runs is, and where libc says that it knows the thread's policy. Both lie round
// cancelhandling, in all versions so far.
const char* find_neighbours() {
  TcbLayout& l = tcb_layout;
  l.cleanup = l.cancelhandling - 2 * sizeof(void*);
  l.flags = l.cancelhandling + sizeof(int);
  void* tp = thread_pointer();
  __pthread_unwind_buf_t buffer;
  real.__pthread_register_cancel(&buffer);
  bool found = tcb_at<void*>(tp, l.cleanup + sizeof(void*)) == &buffer;
  real.__pthread_unregister_cancel(&buffer);
  if (!found) return "the cleanup buffers are not where expected";
  int& flags = tcb_at<int>(tp, l.flags);
  const int before = flags;
  int policy;
  sched_param param;
  if (real.pthread_getschedparam(reinterpret_cast<pthread_t>(tp), &policy, &param) != 0 ||
      (flags | kFlagsSchedulingTold) != flags || tcb_at<int>(tp, l.schedpolicy) != policy)
    return "the scheduling parameters are not where expected";
  flags = before;
  return nullptr;
}

}  // namespace

bool tcb_described(const char* name, size_t* offset) {
  const auto* descriptor = static_cast<const uint32_t*>(::dlsym(RTLD_DEFAULT, name));
  if (descriptor != nullptr) *offset = descriptor[2];
  return descriptor != nullptr;
}

const char* tcb_describe() {
  TcbLayout& l = tcb_layout;
  const auto* size = static_cast<const uint32_t*>(::dlsym(RTLD_DEFAULT, "_thread_db_sizeof_pthread"));
  if (size == nullptr) return "libc does not describe struct pthread";
  l.size = *size;
  l.tid = field("_thread_db_pthread_tid");
  l.list = field("_thread_db_pthread_list");
  l.cancelhandling = field("_thread_db_pthread_cancelhandling");
  l.specific = field("_thread_db_pthread_specific");
  l.schedpolicy = field("_thread_db_pthread_schedpolicy");
  l.schedparam = field("_thread_db_pthread_schedparam_sched_priority");
  if (l.tid == 0 || l.list == 0 || l.cancelhandling == 0 || l.specific == 0 || l.schedpolicy == 0 || l.schedparam == 0)
    return "libc does not describe the fields of struct pthread";
  return nullptr;
}

const char* tcb_discover() {
  if (const char* why = tcb_describe()) return why;
  TcbLayout& l = tcb_layout;
  void* tp = thread_pointer();
  if (at<void*>(tp, kHeadTcb) != tp || at<void*>(tp, kHeadSelf) != tp) return "the thread control block is not glibc's";
  if (tcb_tid(tp) != sys_gettid()) return "the thread id is not where libc says";
  if (at<KeyData*>(tp, static_cast<ptrdiff_t>(l.specific)) != first_keys(tp))
    return "thread-specific data are not where expected";

  char* head = nullptr;
  size_t head_size = 0;
  if (raw_syscall(SYS_get_robust_list, 0, sys_arg(&head), sys_arg(&head_size)) != 0 || head == nullptr)
    return "the kernel knows no robust list";
  l.robust_head = static_cast<size_t>(head - static_cast<char*>(tp));
  if (l.robust_head >= l.size) return "the robust list is not in struct pthread";

  real._dl_get_tls_static_info(&l.static_size, &l.static_align);
  if (l.static_size < l.size || l.static_size > (size_t{1} << 30) || (l.static_align & (l.static_align - 1)) != 0)
    return "the static TLS has an unlikely size";
  ::dl_iterate_phdr(find_libc_tls, tp);
  if (l.libc_tls >= 0 || l.libc_tls_size == 0) return "libc's TLS segment was not found";

  l.cancelstate = changed_byte(real.pthread_setcancelstate, PTHREAD_CANCEL_DISABLE);
  l.canceltype = changed_byte(real.pthread_setcanceltype, PTHREAD_CANCEL_ASYNCHRONOUS);
  if (l.cancelstate == 0 || l.canceltype == 0) return "the cancellation state is not in struct pthread";
  if (const char* why = find_neighbours()) return why;
  if (!libc_state_find()) return "libc's resolver state was not found";

  const auto* rseq_offset = static_cast<const ptrdiff_t*>(::dlsym(RTLD_DEFAULT, "__rseq_offset"));
  const auto* rseq_size = static_cast<const unsigned*>(::dlsym(RTLD_DEFAULT, "__rseq_size"));
  g_have_rseq = rseq_offset != nullptr && rseq_size != nullptr;
  if (g_have_rseq) g_rseq_offset = *rseq_offset;
  g_init_argument = libc_minor() < 41;
  tls_images_learn(static_cast<char*>(tp) + l.libc_tls);
  tcb_list_find();
  stack_prot_find();
  return nullptr;
}

void tcb_find_stackblock() {
  constexpr size_t kMostStack = size_t{1} << 30;  // far more than one of the runtime's threads has
  void* tp = thread_pointer();
  auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0)), top = reinterpret_cast<uintptr_t>(tp);
  for (size_t off = 0x80; off + 16 <= tcb_layout.size; off += 8) {
    auto block = at<uintptr_t>(tp, static_cast<ptrdiff_t>(off));
    auto length = at<size_t>(tp, static_cast<ptrdiff_t>(off + 8));
    // It begins with a page, holds this frame, and ends with the TCB.
    uintptr_t end = block + length;
    bool likely = (block & (kPageSize - 1)) == 0 && length < kMostStack;
    if (likely && block < here && here < top && end > top && end - top <= round_up(tcb_layout.size, kPageSize)) {
      tcb_layout.stackblock = off;
      return;
    }
  }
}

size_t tcb_reserve() {
  return round_up(tcb_layout.static_size, tcb_layout.static_align < 64 ? 64 : tcb_layout.static_align);
}

bool tcb_create(void* tcb, int tid) {
  if (real._dl_allocate_tls(tcb) == nullptr) return false;
  init_head(tcb);
  init_lists(tcb);
  tcb_set_tid(tcb, tid);
  libc_state_begin(tcb, LibcKept{});
  return true;
}

void tcb_recycle(void* tcb) {
  if (MN_LIKELY(tls_images_restore(tcb))) {
    libc_state_begin_again(tcb);
  } else {
    const LibcKept kept = libc_state_kept(tcb);
    real._dl_allocate_tls_init(tcb, g_init_argument);
    libc_state_begin(tcb, kept);
  }
  at<int>(tcb, static_cast<ptrdiff_t>(tcb_layout.cancelhandling)) = 0;
  at<char>(tcb, static_cast<ptrdiff_t>(tcb_layout.cancelstate)) = 0;
  at<char>(tcb, static_cast<ptrdiff_t>(tcb_layout.canceltype)) = 0;
}

void tcb_discard(void* tcb) {
  auto** blocks = &at<KeyData*>(tcb, static_cast<ptrdiff_t>(tcb_layout.specific));
  for (size_t i = 1; i < kKeyBlock; ++i) ::free(blocks[i]);
  real._dl_deallocate_tls(tcb, false);
}

void tcb_set_stack(void* tcb, void* base, size_t size) {
  if (tcb_layout.stackblock == 0) return;
  at<void*>(tcb, static_cast<ptrdiff_t>(tcb_layout.stackblock)) = base;
  at<size_t>(tcb, static_cast<ptrdiff_t>(tcb_layout.stackblock + 8)) = size;
}

bool tcb_self_has_specific() {
  // libc sets the byte behind the block pointers on the first pthread_setspecific.
  return at<bool>(thread_pointer(), static_cast<ptrdiff_t>(tcb_layout.specific + kKeyBlock * sizeof(void*)));
}

// Of modules that were loaded later: their variables are allocated when a thread first uses them.
static void free_dynamic_tls(void* tcb) {
  auto* dtv = at<Dtv*>(tcb, kHeadDtv);
  size_t modules = dtv[-1].counter;
  for (size_t i = 1; i <= modules; ++i) {
    if (dtv[i].pointer.to_free == nullptr) continue;
    void* block = dtv[i].pointer.to_free;
    dtv[i].pointer.to_free = nullptr;
    dtv[i].pointer.val = reinterpret_cast<void*>(~uintptr_t{0});  // TLS_DTV_UNALLOCATED
    ::free(block);
  }
}

void tcb_retire_self() {
  void* tcb = thread_pointer();
  if (!tls_images_are_all()) free_dynamic_tls(tcb);
  auto specific = static_cast<ptrdiff_t>(tcb_layout.specific);
  auto& used = at<bool>(tcb, specific + static_cast<ptrdiff_t>(kKeyBlock * sizeof(void*)));
  if (!used) return;
  auto** blocks = &at<KeyData*>(tcb, specific);
  ::memset(static_cast<void*>(blocks[0]), 0, kKeyBlock * sizeof(KeyData));
  for (size_t i = 1; i < kKeyBlock; ++i) {
    if (blocks[i] == nullptr) continue;
    ::free(blocks[i]);
    blocks[i] = nullptr;
  }
  used = false;
}

void tcb_unregister_rseq(void* tcb) {
  if (!g_have_rseq) return;
  char* area = &at<char>(tcb, g_rseq_offset);
  if (raw_syscall(SYS_rseq, sys_arg(area), kRseqArea, 1 /* RSEQ_FLAG_UNREGISTER */, kRseqSignature) != 0) return;
  at<int32_t>(tcb, g_rseq_offset + static_cast<ptrdiff_t>(kRseqCpuId)) = kRseqFailed;
}

}  // namespace mn
