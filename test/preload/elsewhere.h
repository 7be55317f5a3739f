// SPDX-License-Identifier: Apache-2.0
// Where the tests run instead of where they are started, as the environment says: in another root directory, an empty
// one, or where no path can be opened.
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confined.h"

namespace test {

inline constexpr char kElsewhere[] = "PRELOAD_TESTS_IN";
inline constexpr char kNoPaths[] = "no paths";  // else a folder, the new root
inline constexpr int kCannotGo = 77;

inline bool Go(const char* place) {
  if (strcmp(place, kNoPaths) == 0) return Install(RefuseOnly({SYS_openat, SYS_open}, EACCES), How::kPrctl);
  return chroot(place) == 0 && chdir("/") == 0;
}

}  // namespace test
