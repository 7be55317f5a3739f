// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/member.h"

#include "runtime/sync/away.h"
#include "runtime/sync/guard.h"

namespace mn {
namespace {

struct Absence {
  Away* away;
  void (*undo)(void*);
  void* undo_arg;
};

// Outside; the thread unwinds.
void give_up(void* arg) {
  auto* absence = static_cast<Absence*>(arg);
  enter();
  forget_away(absence->away);
  leave();
  absence->undo(absence->undo_arg);
}

MN_NOINLINE int go_on(const void* key, WaitOptions how, Absence absence) {
  Membership member{absence.away};
  how.member = &member;
  int result = 0;
  WaitHooks none;
  while (member.away != nullptr) {
    absence.away = member.away;
    leave_guarded(give_up, &absence);
    enter();
    result = wait_on(key, how, none);
  }
  return result;
}

}  // namespace

int wait_as_member(const void* key, const WaitOptions& how, WaitHooks& hooks, void (*undo)(void*), void* undo_arg) {
  Membership member;
  WaitOptions options = how;
  options.member = &member;
  int result = wait_on(key, options, hooks);
  if (MN_LIKELY(member.away == nullptr)) return result;
  return go_on(key, how, {member.away, undo, undo_arg});
}

}  // namespace mn
