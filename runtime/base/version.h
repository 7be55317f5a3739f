// SPDX-License-Identifier: Apache-2.0
// Which libmn this is. The Makefile takes it from scripts/mnlib/version.txt.
#pragma once

namespace mn {

// "libmn 0.1.0". Also exported as mn_version, so that it can be read out of the file and out of a process.
const char* version();

}  // namespace mn
