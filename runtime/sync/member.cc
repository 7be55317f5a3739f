// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/member.h"

#include "runtime/sync/away.h"
#include "runtime/sync/guard.h"

namespace mn {
namespace {

struct Absence {
  Away* away;
  OnLeaving leaving;
};

// Outside.
void give_up(void* arg) {
  auto* absence = static_cast<Absence*>(arg);
  enter();
  forget_away(absence->away);
  leave();
  absence->leaving.undo(absence->leaving.arg);
}

}  // namespace

MN_NOINLINE int wait_after_handlers(const void* key, Deadline deadline, uint32_t* counter, WaitKind kind, Stays stays,
                                    OnLeaving l) {
  WaitOptions how{.deadline = deadline, .counter = counter, .kind = kind, .stays = stays};
  WaitHooks none;
  int result = kWentAway;
  while (result == kWentAway) {
    how.back = this_g()->away;
    Absence absence{how.back, l};
    leave_guarded(give_up, &absence);
    enter();
    result = wait_on(key, how, none);
  }
  return result;
}

}  // namespace mn
