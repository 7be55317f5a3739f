// SPDX-License-Identifier: Apache-2.0
// What is left of a vector of buffers after some of it was moved: the first entries, as many as fit.
#pragma once

#include <sys/uio.h>

#include <cstddef>

namespace mn {

inline size_t iov_size(const iovec* iov, int count) {
  size_t size = 0;
  for (int i = 0; i < count; ++i) size += iov[i].iov_len;
  return size;
}

class IovTail {
 public:
  IovTail(const iovec* iov, int count, size_t skip) {
    int i = 0;
    while (i < count && skip >= iov[i].iov_len) skip -= iov[i++].iov_len;
    for (; i < count && count_ < kMost; ++i, skip = 0)
      iov_[count_++] = {static_cast<char*>(iov[i].iov_base) + skip, iov[i].iov_len - skip};
  }
  iovec* iov() { return iov_; }
  int count() const { return count_; }

 private:
  static constexpr int kMost = 32;
  iovec iov_[kMost];
  int count_ = 0;
};

}  // namespace mn
