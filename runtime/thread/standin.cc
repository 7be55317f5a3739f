// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/standin.h"

#include "runtime/arch/inject.h"
#include "runtime/os/real.h"

namespace mn {

constinit int stand_in_signal = 0;

namespace {

constinit struct sigaction g_action {};
constinit SignalHandler g_handler = nullptr;

void handle(int sig, siginfo_t* info, void* context) {
  g_handler(sig, info, context);
  handler_ends(context);
}

bool is_ours(const struct sigaction& action) {
  return stand_in_signal != 0 && action.sa_sigaction == g_action.sa_sigaction;
}

}  // namespace

void stand_in(int sig, SignalHandler handler) {
  g_handler = handler;
  g_action.sa_sigaction = handle;
  g_action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  stand_in_signal = sig;
  struct sigaction present;
  if (real.sigaction(sig, nullptr, &present) != 0 || present.sa_handler != SIG_DFL) return;
  real.sigaction(sig, &g_action, nullptr);
}

const struct sigaction* stand_in_for(int sig) {
  return sig == stand_in_signal && sig != 0 ? &g_action : nullptr;
}

bool stands_in(int sig) {
  struct sigaction present;
  return stand_in_for(sig) != nullptr && real.sigaction(sig, nullptr, &present) == 0 && is_ours(present);
}

void hide_stand_in(struct sigaction* action) {
  if (!is_ours(*action)) return;
  *action = {};
  action->sa_handler = SIG_DFL;
}

}  // namespace mn
