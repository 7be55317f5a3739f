// SPDX-License-Identifier: Apache-2.0
// Around a child that runs in the caller's memory, with its thread pointer, until it executes a program or ends.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace mn {

// By the thread, before; returns its mask. *by_a_child: it is itself such a child.
uint64_t vfork_prepare(bool* by_a_child);
// In the child, and in the parent afterwards. `child`: its number, or negative.
void vfork_child(uint64_t mask);
void vfork_parent(uint64_t mask, bool by_a_child, pid_t child);

}  // namespace mn
