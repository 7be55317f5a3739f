// SPDX-License-Identifier: Apache-2.0
// libmn-dump.so: see runtime/observe/walker.h. One caller at a time. libunwind allocates from the program's heap once,
// as the library is opened; later it maps memory of its own.
#include <libunwind.h>

#include "runtime/observe/walker.h"

#define MN_DUMP_EXPORT extern "C" __attribute__((visibility("default")))

// Exported by libunwind for those who bring their own tables, without a declaration.
extern "C" int UNW_OBJ(dwarf_search_unwind_table)(unw_addr_space_t space, unw_word_t ip, unw_dyn_info_t* table,
                                                  unw_proc_info_t* out, int need_unwind_info, void* arg);

namespace {

using mn::WalkEnd;
using mn::WalkFrame;
using mn::WalkModule;
using mn::WalkRequest;

// LSB Core, "Exception Frame Header" and DWARF pointer encodings: what all linkers write.
constexpr unsigned char kVersion = 1, kPcRelative4 = 0x1b, kPlain4 = 0x03, kTableEncoding = 0x3b;
constexpr unw_word_t kTableOffset = 12;

bool read_word(WalkRequest* r, unw_word_t address, unw_word_t* word) {
  return r->read(r->arg, address, word);
}

int find_proc_info(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t* out, int need_unwind_info, void* arg) {
  auto* r = static_cast<WalkRequest*>(arg);
  WalkModule m;
  if (!r->module(r->arg, ip, &m)) return -UNW_ENOINFO;
  unw_word_t head, count;
  if (!read_word(r, m.frame_index & ~7ul, &head) || !read_word(r, (m.frame_index + 8) & ~7ul, &count))
    return -UNW_ENOINFO;
  unsigned shift = m.frame_index % 8 * 8;  // the header is aligned to 4
  if (shift != 0) {
    head = head >> shift | count << (64 - shift);
    count >>= shift;
  }
  auto byte = [head](int i) { return static_cast<unsigned char>(head >> 8 * i); };
  if (byte(0) != kVersion || byte(1) != kPcRelative4 || byte(2) != kPlain4 || byte(3) != kTableEncoding)
    return -UNW_ENOINFO;
  unw_dyn_info_t table{};
  table.format = UNW_INFO_FORMAT_REMOTE_TABLE;
  table.start_ip = m.low;
  table.end_ip = m.high;
  table.u.rti.segbase = m.frame_index;
  table.u.rti.table_data = m.frame_index + kTableOffset;
  table.u.rti.table_len = count & 0xffffffff;  // in words: an entry is two halves of one
  return UNW_OBJ(dwarf_search_unwind_table)(space, ip, &table, out, need_unwind_info, arg);
}

void put_unwind_info(unw_addr_space_t, unw_proc_info_t*, void*) {}

int no_dynamic_code(unw_addr_space_t, unw_word_t*, void*) {
  return -UNW_ENOINFO;
}

int access_memory(unw_addr_space_t, unw_word_t address, unw_word_t* value, int write, void* arg) {
  if (write != 0) return -UNW_EINVAL;
  return read_word(static_cast<WalkRequest*>(arg), address, value) ? 0 : -UNW_EINVAL;
}

int access_register(unw_addr_space_t, unw_regnum_t index, unw_word_t* value, int write, void* arg) {
  const auto& r = static_cast<WalkRequest*>(arg)->registers;
  if (write != 0) return -UNW_EREADONLYREG;
  switch (index) {
    case UNW_X86_64_RBX:
      return *value = r.rbx, 0;
    case UNW_X86_64_RBP:
      return *value = r.rbp, 0;
    case UNW_X86_64_R12:
      return *value = r.r12, 0;
    case UNW_X86_64_R13:
      return *value = r.r13, 0;
    case UNW_X86_64_R14:
      return *value = r.r14, 0;
    case UNW_X86_64_R15:
      return *value = r.r15, 0;
    case UNW_X86_64_RSP:
      return *value = r.rsp, 0;
    case UNW_X86_64_RIP:
      return *value = r.rip, 0;
    default:  // not preserved across calls
      return *value = 0, 0;
  }
}

int no_float(unw_addr_space_t, unw_regnum_t, unw_fpreg_t*, int, void*) {
  return -UNW_EBADREG;
}

int no_resume(unw_addr_space_t, unw_cursor_t*, void*) {
  return -UNW_EINVAL;
}

int no_name(unw_addr_space_t, unw_word_t, char*, size_t, unw_word_t*, void*) {
  return -UNW_ENOINFO;
}

unw_accessors_t accessors{};
unw_addr_space_t space = nullptr;

__attribute__((constructor)) void open_space() {
  accessors.find_proc_info = find_proc_info;
  accessors.put_unwind_info = put_unwind_info;
  accessors.get_dyn_info_list_addr = no_dynamic_code;
  accessors.access_mem = access_memory;
  accessors.access_reg = access_register;
  accessors.access_fpreg = no_float;
  accessors.resume = no_resume;
  accessors.get_proc_name = no_name;
  space = unw_create_addr_space(&accessors, 0);
  // Threads stand in the same functions: each description is worked out once.
  if (space != nullptr) unw_set_caching_policy(space, UNW_CACHE_GLOBAL);
}

}  // namespace

MN_DUMP_EXPORT void mn_walk_forget() {
  if (space != nullptr) unw_flush_cache(space, 0, 0);
}

MN_DUMP_EXPORT WalkEnd mn_walk_stack(const WalkRequest* request, WalkFrame* out, int most) {
  WalkRequest r = *request;
  WalkEnd end{0, false, r.registers.rsp};
  unw_cursor_t cursor;
  if (space == nullptr || unw_init_remote(&cursor, space, &r) != 0) return end;
  bool interrupted = true;  // the frame was not left by a call: the innermost, and what a signal interrupted
  while (end.frames < most) {
    unw_word_t ip = 0;
    if (unw_get_reg(&cursor, UNW_REG_IP, &ip) != 0 || unw_get_reg(&cursor, UNW_REG_SP, &end.sp) != 0) return end;
    if (ip == 0) {
      end.bottom = true;
      return end;
    }
    out[end.frames++] = {ip, interrupted ? ip : ip - 1};
    interrupted = unw_is_signal_frame(&cursor) > 0;
    int step = unw_step(&cursor);
    if (step > 0) continue;
    end.bottom = step == 0;
    return end;
  }
  return end;
}
