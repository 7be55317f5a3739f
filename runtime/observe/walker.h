// SPDX-License-Identifier: Apache-2.0
// Between libmn.so and its companion libmn-dump.so, which walks stacks with libunwind. The companion has a library of
// its own because libunwind.so.8 exports _Unwind_*: needed by libmn.so it would put a second unwinder in front of
// libgcc's for the whole program. It is opened locally, when it is needed.
//
// libunwind is told of the process as of a foreign one: it sees memory and modules only through the functions below. So
// it never faults, takes no lock of ld.so's, and reads stacks as they were when they were copied.
#pragma once

#include <cstdint>

#include "runtime/arch/context.h"

namespace mn {

struct WalkModule {
  uint64_t low, high;    // its mappings
  uint64_t frame_index;  // its .eh_frame_hdr in memory
};

struct WalkRequest {
  SavedRegisters registers;
  // One aligned word of memory. False: not readable.
  bool (*read)(void* arg, uint64_t address, uint64_t* word);
  // What `address` lies in. False: nothing, or without frame index.
  bool (*module)(void* arg, uint64_t address, WalkModule* out);
  void* arg;
};

struct WalkFrame {
  uint64_t address;
  uint64_t code;  // within the instruction: of a caller, the one before the address to return to
};

struct WalkEnd {
  int frames;
  bool bottom;  // of the stack; false: it could not go on, or there was no room for more
  uint64_t sp;  // of the last frame
};

using WalkStack = WalkEnd (*)(const WalkRequest* request, WalkFrame* out, int most);
// Forgets what it remembers of addresses: modules may have come and gone.
using WalkForget = void (*)();

constexpr const char* kWalkStackName = "mn_walk_stack";
constexpr const char* kWalkForgetName = "mn_walk_forget";

// --- in libmn.so (walker.cc)

// Before main: notes the root and the working directory, in which the path to the companion is right.
void walker_prepare();
// Opens the companion, on the calling thread. Takes ld.so's lock and the program's malloc's.
void walker_open();
// The same on a thread that may be left behind: the process may be stuck with these locks held.
void walker_open_in_time();
// Null: open.
const char* walker_missing();

WalkEnd walker_walk(const WalkRequest& request, WalkFrame* out, int most);
void walker_forget();

}  // namespace mn
