// SPDX-License-Identifier: Apache-2.0
// Tests the intrusive lists: first in first out, last in first out, sizes, and clearing.
#include "runtime/base/list.h"

#include <gtest/gtest.h>

#include <array>

namespace {

struct Node {
  Node* next = nullptr;
  Node* other = nullptr;
};

using Fifo = mn::Fifo<Node, &Node::next>;
using Stack = mn::Stack<Node, &Node::other>;

TEST(Fifo, KeepsOrder) {
  std::array<Node, 3> n;
  Fifo list;
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.pop_front(), nullptr);
  for (Node& node : n) list.push_back(&node);
  EXPECT_EQ(list.size(), 3u);
  EXPECT_EQ(list.front(), &n[0]);
  for (Node& node : n) {
    EXPECT_EQ(list.pop_front(), &node);
    EXPECT_EQ(node.next, nullptr);
  }
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.size(), 0u);
}

TEST(Fifo, PushFrontOvertakes) {
  std::array<Node, 3> n;
  Fifo list;
  list.push_front(&n[0]);  // onto an empty list: head and tail
  list.push_back(&n[1]);
  list.push_front(&n[2]);
  EXPECT_EQ(list.pop_front(), &n[2]);
  EXPECT_EQ(list.pop_front(), &n[0]);
  EXPECT_EQ(list.pop_front(), &n[1]);
}

TEST(Fifo, IsUsableAfterItRanEmptyOrWasCleared) {
  std::array<Node, 2> n;
  Fifo list;
  for (int i = 0; i < 3; ++i) {
    list.push_back(&n[0]);
    EXPECT_EQ(list.pop_front(), &n[0]);
  }
  list.push_back(&n[0]);
  list.clear();
  EXPECT_TRUE(list.empty());
  list.push_back(&n[1]);
  EXPECT_EQ(list.size(), 1u);
  EXPECT_EQ(list.pop_front(), &n[1]);
}

TEST(Stack, LastInFirstOut) {
  std::array<Node, 3> n;
  Stack stack;
  EXPECT_EQ(stack.pop(), nullptr);
  for (Node& node : n) stack.push(&node);
  EXPECT_EQ(stack.size(), 3u);
  EXPECT_EQ(stack.top(), &n[2]);
  EXPECT_EQ(stack.pop(), &n[2]);
  EXPECT_EQ(stack.pop(), &n[1]);
  stack.push(&n[2]);
  EXPECT_EQ(stack.pop(), &n[2]);
  EXPECT_EQ(stack.pop(), &n[0]);
  EXPECT_TRUE(stack.empty());
  stack.push(&n[1]);
  stack.clear();
  EXPECT_EQ(stack.size(), 0u);
}

TEST(Lists, ANodeMayBeOnOneOfEachLink) {
  Node node;
  Fifo list;
  Stack stack;
  list.push_back(&node);
  stack.push(&node);
  EXPECT_EQ(list.pop_front(), &node);
  EXPECT_EQ(stack.pop(), &node);
}

}  // namespace
