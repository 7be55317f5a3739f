// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/version.h"

namespace mn {

constinit const char mn_version[] = "libmn " MN_VERSION;

}  // namespace mn
