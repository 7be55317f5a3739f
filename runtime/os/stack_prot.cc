// SPDX-License-Identifier: Apache-2.0
#include "runtime/os/stack_prot.h"

#include <dlfcn.h>
#include <link.h>

#include <atomic>
#include <cstdint>

#include "runtime/os/libc_version.h"
#include "runtime/os/lock.h"
#include "runtime/os/memory.h"
#include "runtime/os/tcb.h"

namespace mn {
namespace {

struct Node {  // glibc's list_t
  Node* next;
  Node* prev;
};

constexpr int kNobody = -1;

constinit const std::atomic<uint32_t>* g_flags = nullptr;
constinit uint32_t g_executable = 0;  // the bit of it

constinit Node* g_head = nullptr;                      // of libc's list
constinit size_t* g_cached_size = nullptr;             // what libc counts of the stacks that it has for reuse
constinit void *g_first = nullptr, *g_last = nullptr;  // between them is ours
constinit SpinLock g_lock;
constinit size_t g_size = 0;  // of all that was added

Node* node_of(void* tcb) {
  return &tcb_at<Node>(tcb, tcb_layout.list);
}

// A TCB of nobody, with room for static TLS.
void* new_tcb() {
  const size_t size = round_up(tcb_reserve() + tcb_layout.static_align, kPageSize);
  char* memory = static_cast<char*>(map_memory(size));
  if (memory == nullptr) return nullptr;
  const auto end = reinterpret_cast<uintptr_t>(memory) + size - round_up(tcb_layout.size, 64);
  void* tcb = reinterpret_cast<void*>(end & ~(tcb_layout.static_align - 1));
  tcb_set_tid(tcb, kNobody);
  return tcb;
}

void put_behind(Node* before, Node* first, Node* last) {
  first->prev = before;
  last->next = before->next;
  before->next->prev = last;
  // Release: who walks the list finds it whole (pairs with the address dependency of libc's walk).
  std::atomic_ref<Node*>(before->next).store(first, std::memory_order_release);
}

// ld.so's variables of that name, as libc describes them to debuggers; null: it does not.
char* described(const char* name) {
  auto* global = static_cast<char*>(::dlsym(RTLD_DEFAULT, "_rtld_global"));
  size_t offset;
  return global != nullptr && tcb_described(name, &offset) ? global + offset : nullptr;
}

}  // namespace

void stack_prot_find() {
  const char* modules = described("_thread_db_rtld_global__dl_tls_dtv_slotinfo_list");
  if (modules == nullptr) return;
  const auto* flags = reinterpret_cast<const std::atomic<uint32_t>*>(modules - 2 * sizeof(size_t));
  const size_t highest = *reinterpret_cast<const size_t*>(modules - sizeof(size_t));
  const bool as_segment = libc_minor() < 42;  // PF_*, else PROT_*
  const uint32_t usual = as_segment ? PF_R | PF_W : PROT_READ | PROT_WRITE;
  const uint32_t executable = as_segment ? PF_X : PROT_EXEC;
  constexpr size_t kMostModules = 100'000;
  if ((flags->load(std::memory_order_relaxed) & ~executable) != usual || highest == 0 || highest > kMostModules) return;
  g_executable = executable;
  g_flags = flags;
}

bool stacks_are_executable() {
  return g_flags != nullptr && (g_flags->load(std::memory_order_relaxed) & g_executable) != 0;
}

void stack_prot_begin() {
  if (g_flags == nullptr || libc_minor() >= 41 || g_head != nullptr) return;
  char* used = described("_thread_db_rtld_global__dl_stack_used");
  const char* user = described("_thread_db_rtld_global__dl_stack_user");
  auto* head = reinterpret_cast<Node*>(used);
  if (used == nullptr || head->next != head || user != used + sizeof(Node)) return;
  g_first = new_tcb();
  g_last = new_tcb();
  if (g_first == nullptr || g_last == nullptr) return;
  node_of(g_first)->next = node_of(g_last);
  node_of(g_last)->prev = node_of(g_first);
  put_behind(head, node_of(g_first), node_of(g_last));
  g_cached_size = reinterpret_cast<size_t*>(used + 3 * sizeof(Node));  // used, user, cache
  g_head = head;
}

void stack_prot_add(void* base, size_t size) {
  if (g_head == nullptr || tcb_layout.stackblock == 0) return;
  void* tcb = new_tcb();
  if (tcb == nullptr) return;
  tcb_set_stack(tcb, base, size);
  SpinGuard guard(g_lock);
  put_behind(node_of(g_first), node_of(tcb), node_of(tcb));
  g_size += size;
}

void stack_prot_reset_after_fork() {
  g_lock.reset_after_fork();
  if (g_head == nullptr) return;
  Node *first = node_of(g_first), *last = node_of(g_last);
  first->prev->next = last->next;
  last->next->prev = first->prev;
  put_behind(g_head, first, last);
  if (tcb_tid(g_first) == kNobody) return;  // a fork by system call, of which libc knows nothing
  for (Node* node = first; node != last->next; node = node->next)
    tcb_set_tid(reinterpret_cast<char*>(node) - tcb_layout.list, kNobody);
  *g_cached_size -= g_size;
}

}  // namespace mn
