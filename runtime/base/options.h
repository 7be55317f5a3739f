// SPDX-License-Identifier: Apache-2.0
// The MN_* environment variables: one table (options.def) holds name, default, range and help.
#pragma once

#include <cstdint>

#include "runtime/base/text.h"

namespace mn {

// MN_DUMP_SIGNAL was not given.
constexpr uint64_t kDumpSignalDefault = ~uint64_t{0};

struct Options {
#define NUMBER(field, variable, dflt, least, most, help) uint64_t field = dflt;
#define CHOICE(field, variable, dflt, words, help) uint64_t field = dflt;
#define FLAGS(field, variable, words, help) uint64_t field = 0;
#define SIGNAL(field, variable, dflt, help) uint64_t field = dflt;
#define TEXT(field, variable, help) const char* field = nullptr;
#include "runtime/base/options.def"
};

extern Options options;

enum DisableBit : uint64_t {
  kDisableFsGsBase = 1,
  kDisableGuardInstall = 2,
  kDisableMembarrier = 4,
  kDisableCpuTimers = 8,
  kDisableHeal = 16,
};

// Reads all variables from `environ_list` (null-terminated "NAME=value"). False on the first bad value, with one line
// in *error that names the variable, the value and what it may be. An empty value means the default.
bool options_parse(const char* const* environ_list, Options* out, Text* error);

// Whether a list with commas has one of two programs, by the last part of their paths; true of all when it is null.
bool names_program(const char* names, const char* path, const char* other_path);

// Calls emit(line) once per option.
void options_help(void (*emit)(const char* data, unsigned long size));

}  // namespace mn
