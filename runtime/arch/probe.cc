// SPDX-License-Identifier: Apache-2.0
#include "runtime/arch/probe.h"

#include <ucontext.h>

namespace mn {

extern "C" {
MN_HIDDEN extern const char mn_probe_load_at[], mn_probe_exchange_at[], mn_probe_copy_at[], mn_probe_failed[];
}

bool probe_recover(void* ucontext) {
  auto& pc = static_cast<ucontext_t*>(ucontext)->uc_mcontext.gregs[REG_RIP];
  const auto* at = reinterpret_cast<const char*>(pc);
  if (at != mn_probe_load_at && at != mn_probe_exchange_at && at != mn_probe_copy_at) return false;
  pc = reinterpret_cast<greg_t>(mn_probe_failed);
  return true;
}

}  // namespace mn
