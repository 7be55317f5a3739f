// SPDX-License-Identifier: Apache-2.0
// Which libmn this is. The Makefile takes it from scripts/mnlib/VERSION.
#pragma once

namespace mn {

// "libmn 0.1.0". Exported, so that it can be read out of the file and out of a process.
extern "C" __attribute__((visibility("default"), used)) const char mn_version[];

}  // namespace mn
