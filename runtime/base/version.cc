// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/version.h"

namespace mn {

// Protected: ours, whatever the program calls mn_version.
extern "C" __attribute__((visibility("protected"), used)) const char mn_version[];
constinit const char mn_version[] = "libmn " MN_VERSION;

const char* version() {
  return mn_version;
}

}  // namespace mn
