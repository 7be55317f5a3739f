// SPDX-License-Identifier: Apache-2.0
#include "runtime/os/tcb_list.h"

#include <dlfcn.h>

#include <atomic>

#include "runtime/os/kernel_thread.h"
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
constinit Node g_off{nullptr, nullptr};  // what comes before a TCB that was taken off

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

bool tcb_list_known() {
  return g_head != nullptr;
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
  node->prev = &g_off;
}

bool tcb_list_settle() {
  return g_head == nullptr || create_kernel_thread([](void* arg) { return arg; }, nullptr) == 0;
}

void tcb_list_before_fork() {
  // libc's child takes its node off first: of one that is off already, the way on may lead to memory given back.
  Node* self = node_of(thread_pointer());
  if (g_head != nullptr && self->prev == &g_off) self->next = g_head;
}

void tcb_list_reset_after_fork(bool ours) {
  g_lock.reset_after_fork();
  if (g_head == nullptr) return;
  Node* self = node_of(thread_pointer());
  if (g_head->next == self && self->next == g_head) return;
  if (g_head->next == g_head) {
    if (!ours) return;
    // libc has made its lists anew, and believes that it made this thread's stack: the next fork would add that to its
    // cache of stacks.
    self->next->prev = self->prev;
    self->prev->next = self->next;
  }
  g_head->next = g_head->prev = self;
  self->next = self->prev = g_head;
}

}  // namespace mn
