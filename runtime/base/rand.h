// SPDX-License-Identifier: Apache-2.0
// A small generator for choosing victims: Marsaglia, "Xorshift RNGs" (2003). Not for secrets.
#pragma once

#include <cstdint>

namespace mn {

class Xorshift32 {
 public:
  constexpr explicit Xorshift32(uint32_t seed) : state_(seed != 0 ? seed : 0x9e3779b9u) {}

  uint32_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return state_;
  }

  // Uniform enough in [0, n) for n far below 2^32 (Lemire's multiply-shift).
  uint32_t below(uint32_t n) { return static_cast<uint32_t>((uint64_t{next()} * n) >> 32); }

 private:
  uint32_t state_;
};

}  // namespace mn
