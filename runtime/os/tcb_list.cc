// SPDX-License-Identifier: Apache-2.0
#include "runtime/os/tcb_list.h"

#include <dlfcn.h>

#include <atomic>

#include "runtime/os/lock.h"
#include "runtime/os/tcb.h"

namespace mn {
namespace {

struct Node {  // glibc's list_t
  Node* next;
  Node* prev;
};

constinit SpinLock g_lock;
constinit Node* g_head = nullptr;

Node* node_of(void* tcb) {
  return reinterpret_cast<Node*>(static_cast<char*>(tcb) + tcb_layout.list);
}

void link_after(Node* before, Node* node) {
  // Release: who walks the list finds it whole (pairs with the address dependency of libc's walk).
  std::atomic_ref<Node*>(before->next).store(node, std::memory_order_release);
}

}  // namespace

void tcb_list_find() {
  auto* global = static_cast<char*>(::dlsym(RTLD_DEFAULT, "_rtld_global"));
  size_t head;
  if (global == nullptr || !tcb_described("_thread_db_rtld_global__dl_stack_user", &head)) return;
  auto* list = reinterpret_cast<Node*>(global + head);
  // Main is there, and nobody else.
  if (list->next != node_of(thread_pointer()) || list->next->next != list || list->prev != list->next) return;
  g_head = list;
}

void tcb_list_add(void* tcb) {
  if (g_head == nullptr) return;
  Node* node = node_of(tcb);
  SpinGuard guard(g_lock);
  node->next = g_head->next;
  node->prev = g_head;
  node->next->prev = node;
  link_after(g_head, node);
}

void tcb_list_remove(void* tcb) {
  if (g_head == nullptr) return;
  Node* node = node_of(tcb);
  SpinGuard guard(g_lock);
  node->next->prev = node->prev;
  link_after(node->prev, node->next);
  node->next = node->prev = node;
}

void tcb_list_lock() {
  g_lock.lock();
}

void tcb_list_unlock() {
  g_lock.unlock();
}

void tcb_list_reset_after_fork() {
  if (g_head == nullptr) return;
  Node* self = node_of(thread_pointer());
  bool by_libc = g_head->next == g_head || (g_head->next == self && self->next == g_head);
  if (by_libc) return;
  g_head->next = g_head->prev = self;
  self->next = self->prev = g_head;
}

}  // namespace mn
