// SPDX-License-Identifier: Apache-2.0
// Intrusive lists: they allocate nothing and own nothing. A node may be on one list per link member.
#pragma once

#include "runtime/base/check.h"

namespace mn {

// First in, first out, through one pointer `T::*Link`. Not synchronised: its owner's lock guards it.
template <class T, T* T::*Link>
class Fifo {
 public:
  bool empty() const { return head_ == nullptr; }
  T* front() const { return head_; }

  void push_back(T* node) {
    node->*Link = nullptr;
    if (head_ == nullptr)
      head_ = node;
    else
      tail_->*Link = node;
    tail_ = node;
    ++size_;
  }

  void push_front(T* node) {
    node->*Link = head_;
    if (head_ == nullptr) tail_ = node;
    head_ = node;
    ++size_;
  }

  T* pop_front() {
    T* node = head_;
    if (node == nullptr) return nullptr;
    head_ = node->*Link;
    node->*Link = nullptr;
    --size_;
    return node;
  }

  // False: it is not there.
  bool remove(T* node) {
    T* before = nullptr;
    for (T* at = head_; at != nullptr; before = at, at = at->*Link) {
      if (at != node) continue;
      (before != nullptr ? before->*Link : head_) = node->*Link;
      if (tail_ == node) tail_ = before;
      node->*Link = nullptr;
      --size_;
      return true;
    }
    return false;
  }

  unsigned size() const { return size_; }
  void clear() { *this = Fifo{}; }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;
  unsigned size_ = 0;
};

// Last in, first out, through one pointer.
template <class T, T* T::*Link>
class Stack {
 public:
  bool empty() const { return head_ == nullptr; }
  unsigned size() const { return size_; }
  T* top() const { return head_; }

  void push(T* node) {
    node->*Link = head_;
    head_ = node;
    ++size_;
  }

  T* pop() {
    T* node = head_;
    if (node == nullptr) return nullptr;
    head_ = node->*Link;
    node->*Link = nullptr;
    --size_;
    return node;
  }

  void clear() { *this = Stack{}; }

 private:
  T* head_ = nullptr;
  unsigned size_ = 0;
};

}  // namespace mn
