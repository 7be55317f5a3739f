// SPDX-License-Identifier: Apache-2.0
#include "runtime/os/libc_state.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <locale.h>
#include <netdb.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/check.h"
#include "runtime/os/libc_version.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"

namespace mn {
namespace {

struct ResolverContext;  // glibc's struct resolv_context

// From the thread pointer, within libc's TLS segment.
constinit ptrdiff_t g_resp = 0, g_dlerror = 0, g_context = 0;
constinit ptrdiff_t g_kept[LibcKept::kMost]{};
constinit size_t g_n_kept = 0;
// In struct pthread; 0: not there.
constinit size_t g_resolver = 0, g_priorities = 0, g_messages = 0, g_random = 0;
constinit bool g_learnt = false;
constinit bool g_can_free = false;  // all of it is known

using GetContext = ResolverContext* (*)(res_state);
using PutContext = void (*)(ResolverContext*);
constinit GetContext g_get_context = nullptr;
constinit PutContext g_put_context = nullptr;

constexpr uintptr_t kRandomInUse = 1;
constexpr auto kDlerrorWithoutMemory = ~uintptr_t{0};  // dl_action_result_malloc_failed

ptrdiff_t from_here(const void* variable) {
  return static_cast<const char*>(variable) - static_cast<const char*>(thread_pointer());
}

template <class T>
T& variable(void* tcb, ptrdiff_t offset) {
  return *reinterpret_cast<T*>(static_cast<char*>(tcb) + offset);
}

bool is_libcs(ptrdiff_t offset) {
  return offset >= tcb_layout.libc_tls &&
         offset < tcb_layout.libc_tls + static_cast<ptrdiff_t>(tcb_layout.libc_tls_size);
}

// What a new thread's segment holds, in one piece.
constexpr size_t kMostTls = 1024;
alignas(64) constinit char g_fresh[kMostTls]{};

// Whatever differs from the image once malloc was used is malloc's, except the variables that are known. Compared with
// the image and not with what was before, since a wrapper of pthread_create may have used malloc already.
void learn_what_is_mallocs() {
  void* volatile block = ::malloc(24);
  ::free(block);
  alignas(8) char now[kMostTls];
  char* tp = static_cast<char*>(thread_pointer());
  memcpy(now, tp + tcb_layout.libc_tls, tcb_layout.libc_tls_size);
  const struct {
    ptrdiff_t offset;
    size_t size;
  } known[] = {
      {from_here(&errno), sizeof(int)},
      {from_here(&h_errno), sizeof(int)},
      {g_resp, sizeof(void*)},
      {g_dlerror, sizeof(void*)},
      {from_here(__ctype_b_loc()), sizeof(void*)},
      {from_here(__ctype_tolower_loc()), sizeof(void*)},
      {from_here(__ctype_toupper_loc()), sizeof(void*)},
  };
  for (const auto& k : known) {
    const ptrdiff_t at = k.offset - tcb_layout.libc_tls;
    if (is_libcs(k.offset)) memcpy(now + at, g_fresh + at, k.size);
  }
  for (size_t at = 0; at + sizeof(uintptr_t) <= tcb_layout.libc_tls_size; at += sizeof(uintptr_t))
    if (memcmp(now + at, g_fresh + at, sizeof(uintptr_t)) != 0 && g_n_kept < LibcKept::kMost)
      g_kept[g_n_kept++] = tcb_layout.libc_tls + static_cast<ptrdiff_t>(at);
}

// Where libc keeps what cancelled look-ups leave: the list begins with the one that is made here.
void learn_contexts() {
  if (g_get_context == nullptr || g_put_context == nullptr) return;
  struct __res_state state {};
  ResolverContext* made = g_get_context(&state);
  if (made == nullptr) return;
  char* tp = static_cast<char*>(thread_pointer());
  for (size_t at = 0; at + sizeof(uintptr_t) <= tcb_layout.libc_tls_size; at += sizeof(uintptr_t)) {
    ptrdiff_t offset = tcb_layout.libc_tls + static_cast<ptrdiff_t>(at);
    if (variable<ResolverContext*>(tp, offset) == made) g_context = offset;
  }
  g_put_context(made);
}

// struct tls_internal_t: strsignal's buffer and strerror_l's. In the C locale, for which libc loads nothing: another
// thread may hold the loader's lock and wait for this one.
void learn_messages() {
  locale_t c = ::newlocale(LC_ALL_MASK, "C", nullptr);
  if (c == nullptr) return;
  locale_t before = ::uselocale(c);
  const char* error = ::strerror_l(-4711, c);
  const char* signal = ::strsignal(-4711);
  ::uselocale(before);
  void* tp = thread_pointer();
  for (size_t at = g_resolver; at + 2 * sizeof(char*) <= tcb_layout.size; at += sizeof(char*)) {
    auto* buffers = &tcb_at<const char*>(tp, at);
    if (buffers[0] == signal && buffers[1] == error) g_messages = at;
  }
  if (g_messages != 0 && libc_minor() >= 41) g_random = g_messages + 2 * sizeof(char*);
}

// struct pthread: ..., stackblock, stackblock_size, guardsize, reported_guardsize, tpp, res, ...
void learn_resolver(size_t stackblock) {
  const size_t expected = stackblock + 5 * sizeof(void*);
  if (stackblock == 0 || from_here(__res_state()) != static_cast<ptrdiff_t>(expected)) return;
  g_resolver = expected;
  g_priorities = expected - sizeof(void*);
}

void free_messages(void* tcb) {
  auto* buffers = &tcb_at<void*>(tcb, g_messages);
  for (int i = 0; i < 2; ++i) {
    if (buffers[i] == nullptr) continue;
    ::free(buffers[i]);
    buffers[i] = nullptr;
  }
}

void end_resolver(void* tcb) {
  auto& context = variable<ResolverContext*>(tcb, g_context);
  while (context != nullptr) g_put_context(context);
  auto& state = tcb_at<struct __res_state>(tcb, g_resolver);
  if (state.nscount != 0) ::res_nclose(&state);
  memset(&state, 0, sizeof state);
}

// dlerror() says a message once, and frees it when it is called again.
void free_dlerror(void* tcb) {
  auto& result = variable<uintptr_t>(tcb, g_dlerror);
  if (result != kDlerrorWithoutMemory) {
    for (int calls = 0; calls < 2 && result != 0; ++calls) ::dlerror();
    // One without a message, of a call that this thread was unwound from.
    if (result != 0) ::free(reinterpret_cast<void*>(result));
  }
  result = 0;
}

// In one go, for most threads have none of it.
inline bool has_anything(void* tcb) {
  const auto& state = tcb_at<struct __res_state>(tcb, g_resolver);
  const auto* messages = &tcb_at<uintptr_t>(tcb, g_messages);
  uintptr_t all = static_cast<uintptr_t>(state.nscount) | static_cast<uintptr_t>(state.retrans) |
                  static_cast<uintptr_t>(state.retry) | state.options;
  all |= messages[0] | messages[1] | tcb_at<uintptr_t>(tcb, g_priorities);
  all |= variable<uintptr_t>(tcb, g_context) | variable<uintptr_t>(tcb, g_dlerror);
  if (g_random != 0) all |= tcb_at<uintptr_t>(tcb, g_random) & kRandomInUse;
  return all != 0;
}

MN_COLD void free_all(void* tcb) {
  end_resolver(tcb);
  free_messages(tcb);
  free_dlerror(tcb);
  if (g_random != 0) tcb_at<uintptr_t>(tcb, g_random) &= ~kRandomInUse;  // of a call that was left
  void*& priorities = tcb_at<void*>(tcb, g_priorities);
  ::free(priorities);
  priorities = nullptr;
}

}  // namespace

bool libc_state_find() {
  const void* resp = ::dlsym(RTLD_DEFAULT, "__resp");
  const void* dlerror_result = ::dlsym(RTLD_DEFAULT, "__libc_dlerror_result");
  if (resp == nullptr || dlerror_result == nullptr) return false;
  g_resp = from_here(resp);
  g_dlerror = from_here(dlerror_result);
  g_get_context = reinterpret_cast<GetContext>(::dlsym(RTLD_DEFAULT, "__resolv_context_get_override"));
  g_put_context = reinterpret_cast<PutContext>(::dlsym(RTLD_DEFAULT, "__resolv_context_put"));
  if (!is_libcs(g_resp) || !is_libcs(g_dlerror) || tcb_layout.libc_tls_size > kMostTls) return false;
  memcpy(g_fresh, tcb_layout.libc_tls_image, tcb_layout.libc_tls_filled);
  return true;
}

void libc_state_learn(size_t stackblock) {
  if (g_learnt) return;
  g_learnt = true;
  learn_what_is_mallocs();
  learn_resolver(stackblock);
  if (g_resolver == 0) return;
  learn_contexts();
  learn_messages();
  if (g_messages != 0) free_messages(thread_pointer());
  g_can_free = g_context != 0 && g_messages != 0;
}

LibcKept libc_state_kept(const void* tcb) {
  LibcKept kept;
  void* from = const_cast<void*>(tcb);
  for (size_t i = 0; i < g_n_kept; ++i) kept.words[i] = variable<uintptr_t>(from, g_kept[i]);
  if (g_random != 0) kept.random = tcb_at<uintptr_t>(from, g_random);
  return kept;
}

void libc_state_begin(void* tcb, const LibcKept& kept) {
  memcpy(&variable<char>(tcb, tcb_layout.libc_tls), g_fresh, tcb_layout.libc_tls_size);
  for (size_t i = 0; i < g_n_kept; ++i)
    if (kept.words[i] != 0) variable<uintptr_t>(tcb, g_kept[i]) = kept.words[i];
  if (g_random != 0) tcb_at<uintptr_t>(tcb, g_random) = kept.random;
  if (MN_LIKELY(g_resolver != 0)) variable<void*>(tcb, g_resp) = &tcb_at<char>(tcb, g_resolver);
}

void libc_state_begin_again(void* tcb) {
  using Pair = uintptr_t __attribute__((vector_size(16), aligned(8), may_alias));
  using Line = uintptr_t __attribute__((vector_size(64), aligned(8), may_alias));
  uintptr_t words[LibcKept::kMost];
  const size_t n = g_n_kept, size = tcb_layout.libc_tls_size;
  for (size_t i = 0; i < n; ++i) words[i] = variable<uintptr_t>(tcb, g_kept[i]);
  char* to = &variable<char>(tcb, tcb_layout.libc_tls);
  size_t at = 0;
  for (; at + sizeof(Line) <= size; at += sizeof(Line))  // memcpy's call would be a third of the cost
    *reinterpret_cast<Line*>(to + at) = *reinterpret_cast<const Line*>(g_fresh + at);
  for (; at + sizeof(Pair) <= size; at += sizeof(Pair))
    *reinterpret_cast<Pair*>(to + at) = *reinterpret_cast<const Pair*>(g_fresh + at);
  for (; at < size; ++at) to[at] = g_fresh[at];
  for (size_t i = 0; i < n; ++i) variable<uintptr_t>(tcb, g_kept[i]) = words[i];
  if (MN_LIKELY(g_resolver != 0)) variable<void*>(tcb, g_resp) = &tcb_at<char>(tcb, g_resolver);
}

void libc_state_end() {
  void* tcb = thread_pointer();
  if (!g_can_free) return;
  if (MN_UNLIKELY(has_anything(tcb))) free_all(tcb);
}

}  // namespace mn
