// SPDX-License-Identifier: Apache-2.0
// Signals of Gs (signal.cc has the rules). errno values.
#pragma once

#include <pthread.h>
#include <signal.h>

namespace mn {

int signal_mask(int how, const sigset_t* set, sigset_t* old);
int signal_action(int sig, const struct sigaction* action, struct sigaction* old);
// `value` null: as pthread_kill; otherwise as pthread_sigqueue.
int signal_thread(pthread_t t, int sig, const sigval* value);

void signals_init();
void signals_reset_after_fork();

}  // namespace mn
