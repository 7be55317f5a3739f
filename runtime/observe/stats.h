// SPDX-License-Identifier: Apache-2.0
// The line of MN_STATS=1.
#pragma once

namespace mn {

// Writes "libmn: stats: key=value ..." to stderr.
void stats_init();
// Once per process, if it was asked for.
void stats_at_exit();

}  // namespace mn
