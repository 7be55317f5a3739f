// SPDX-License-Identifier: Apache-2.0
#include "runtime/observe/stack.h"

#include "runtime/observe/output.h"
#include "runtime/observe/safe_read.h"
#include "runtime/observe/walker.h"

namespace mn {
namespace {

constexpr int kMostFrames = 64, kMostGuesses = 24;

// What libunwind sees. Of files that are mapped it reads many words of few pages, which do not change.
struct View {
  const StackCopy* stack;
  Modules* modules;
  struct Page {
    uint64_t address;
    char bytes[512];
  } pages[32] = {};

  bool copied(uint64_t address, size_t bytes) const {
    return address >= stack->registers.rsp && address + bytes <= stack->registers.rsp + stack->size;
  }

  bool word(uint64_t address, uint64_t* out) {
    if (copied(address, sizeof *out)) {
      __builtin_memcpy(out, stack->bytes + (address - stack->registers.rsp), sizeof *out);
      return true;
    }
    if (modules->find(address) == nullptr) return safe_read(address, out);
    uint64_t base = address & ~(sizeof pages[0].bytes - 1);
    if (address + sizeof *out > base + sizeof pages[0].bytes) return safe_read(address, out);
    Page* page = &pages[base / sizeof page->bytes % (sizeof pages / sizeof pages[0])];
    if (page->address != base) {
      page->address = 0;
      if (safe_read(base, page->bytes, sizeof page->bytes) != sizeof page->bytes) return safe_read(address, out);
      page->address = base;
    }
    __builtin_memcpy(out, page->bytes + (address - base), sizeof *out);
    return true;
  }
};

bool read_word(void* arg, uint64_t address, uint64_t* word) {
  return static_cast<View*>(arg)->word(address, word);
}

bool module_of(void* arg, uint64_t address, WalkModule* out) {
  const Module* m = static_cast<View*>(arg)->modules->find(address);
  if (m == nullptr || m->frame_index == 0) return false;
  *out = {m->low, m->high, m->frame_index};
  return true;
}

void print_frame(int number, const char* mark, const WalkFrame& f, Modules* modules) {
  Text line;
  line << "    #" << number << ' ' << mark;
  modules->describe(f.address, f.code, &line);
  line << '\n';
  output(line);
}

// Whether a call ends just before `address` (Intel SDM, CALL): E8 with 4 bytes, or FF /2 with 2 to 7.
bool follows_call(uint64_t address) {
  unsigned char code[7];
  if (safe_read(address - sizeof code, code, sizeof code) != sizeof code) return false;
  if (code[2] == 0xe8) return true;
  for (unsigned length = 2; length <= 7; ++length) {
    const unsigned char* at = code + sizeof code - length;
    if (at[0] == 0xff && (at[1] >> 3 & 7) == 2) return true;
  }
  return false;
}

// Words of the stack above `sp` that may be return addresses.
void print_guesses(int number, const StackCopy& stack, uint64_t sp, Modules* modules) {
  uint64_t from = sp > stack.registers.rsp ? sp - stack.registers.rsp : 0;
  for (uint64_t at = (from + 7) & ~7ul, guesses = 0; at + 8 <= stack.size && guesses < kMostGuesses; at += 8) {
    uint64_t word;
    __builtin_memcpy(&word, stack.bytes + at, sizeof word);
    const Module* m = modules->find(word);
    if (m == nullptr || !m->code || !follows_call(word)) continue;
    print_frame(number++, "? ", {word, word - 1}, modules);
    ++guesses;
  }
}

}  // namespace

void StackCopy::take(const SavedRegisters& r) {
  registers = r;
  size = safe_read(r.rsp, bytes, kBytes);
}

void print_stack(const StackCopy& stack, Modules* modules) {
  WalkEnd end{0, false, stack.registers.rsp};
  WalkFrame frames[kMostFrames];
  if (walker_missing() == nullptr) {
    View view{&stack, modules};
    WalkRequest request{stack.registers, read_word, module_of, &view};
    end = walker_walk(request, frames, kMostFrames);
  } else {
    frames[end.frames++] = {stack.registers.rip, stack.registers.rip};
  }
  for (int i = 0; i < end.frames; ++i) print_frame(i, "", frames[i], modules);
  if (end.bottom) return;
  if (end.frames == kMostFrames) {
    Text more;
    output(more << "    ...\n");
    return;
  }
  print_guesses(end.frames, stack, end.sp, modules);
}

}  // namespace mn
