// SPDX-License-Identifier: Apache-2.0
#include "runtime/sched/timer.h"

namespace mn {

void TimerHeap::set_root(Timer* t) {
  root_ = t;
  if (t != nullptr) {
    t->sibling = nullptr;
    t->link = &root_;
  }
  next_.store(t != nullptr ? t->when : kForever, std::memory_order_relaxed);
}

// Both are roots; the later one becomes the first child of the earlier.
Timer* TimerHeap::meld(Timer* a, Timer* b) {
  if (a == nullptr) return b;
  if (b == nullptr) return a;
  if (b->when < a->when) {
    Timer* swap = a;
    a = b;
    b = swap;
  }
  b->sibling = a->child;
  if (b->sibling != nullptr) b->sibling->link = &b->sibling;
  b->link = &a->child;
  a->child = b;
  return a;
}

// The two passes of the pairing heap, without recursion: pairs left to right onto a reversed list, then one by one.
Timer* TimerHeap::meld_children(Timer* first) {
  Timer* pairs = nullptr;
  while (first != nullptr) {
    Timer* a = first;
    Timer* b = a->sibling;
    first = b != nullptr ? b->sibling : nullptr;
    a->sibling = nullptr;
    if (b != nullptr) b->sibling = nullptr;
    Timer* merged = meld(a, b);
    merged->sibling = pairs;
    pairs = merged;
  }
  Timer* root = nullptr;
  while (pairs != nullptr) {
    Timer* rest = pairs->sibling;
    pairs->sibling = nullptr;
    root = meld(root, pairs);
    pairs = rest;
  }
  return root;
}

void TimerHeap::arm(Timer* t) {
  SpinGuard guard(lock_);
  t->child = t->sibling = nullptr;
  t->heap = this;
  set_root(meld(root_, t));
}

void TimerHeap::cancel(Timer* t) {
  SpinGuard guard(lock_);
  if (t->heap == nullptr) return;
  t->heap = nullptr;
  if (root_ == t) return set_root(meld_children(t->child));
  *t->link = t->sibling;
  if (t->sibling != nullptr) t->sibling->link = t->link;
  t->sibling = nullptr;
  set_root(meld(root_, meld_children(t->child)));
}

int TimerHeap::run(int64_t now) {
  if (MN_LIKELY(next() > now)) return 0;
  SpinGuard guard(lock_);
  int fired = 0;
  while (root_ != nullptr && root_->when <= now) {
    Timer* t = root_;
    set_root(meld_children(t->child));
    t->heap = nullptr;
    t->fire(t);
    ++fired;
  }
  return fired;
}

}  // namespace mn
