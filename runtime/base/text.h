// SPDX-License-Identifier: Apache-2.0
// One line of text built in a fixed buffer, for messages where neither stdio nor malloc may be called. What does not
// fit is cut off.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mn {

class Text {
 public:
  Text& operator<<(const char* s) {
    while (*s != '\0') put(*s++);
    return *this;
  }
  // Of whoever started the process: what a terminal would obey is shown as \x and two digits.
  Text& foreign(const char* s) {
    for (; *s != '\0'; ++s) {
      const auto c = static_cast<unsigned char>(*s);
      if (c >= ' ' && c < 0x7f)
        put(*s);
      else
        *this << "\\x"
              << "0123456789abcdef"[c / 16] << "0123456789abcdef"[c % 16];
    }
    return *this;
  }
  Text& operator<<(char c) {
    put(c);
    return *this;
  }
  Text& operator<<(uint64_t v) {
    char digits[20];
    unsigned n = 0;
    do {
      digits[n++] = static_cast<char>('0' + v % 10);
      v /= 10;
    } while (v != 0);
    while (n != 0) put(digits[--n]);
    return *this;
  }
  Text& operator<<(int64_t v) {
    if (v < 0) put('-');
    return *this << (v < 0 ? ~static_cast<uint64_t>(v) + 1 : static_cast<uint64_t>(v));
  }
  Text& operator<<(const void* p) {
    char digits[16];
    unsigned n = 0;
    auto v = reinterpret_cast<uintptr_t>(p);
    do {
      digits[n++] = "0123456789abcdef"[v % 16];
      v /= 16;
    } while (v != 0);
    *this << "0x";
    while (n != 0) put(digits[--n]);
    return *this;
  }
  Text& operator<<(int v) { return *this << static_cast<int64_t>(v); }
  Text& operator<<(unsigned v) { return *this << static_cast<uint64_t>(v); }

  const char* data() const { return buf_; }
  size_t size() const { return len_; }
  const char* c_str() {
    buf_[len_] = '\0';
    return buf_;
  }

 private:
  void put(char c) {
    if (len_ < sizeof buf_ - 1) buf_[len_++] = c;
  }

  char buf_[512];
  size_t len_ = 0;
};

// Parses a whole string of decimal digits. False when it is empty, holds anything else, or exceeds 64 bits.
inline bool parse_decimal(const char* s, uint64_t* out) {
  if (*s == '\0') return false;
  uint64_t v = 0;
  for (; *s != '\0'; ++s) {
    if (*s < '0' || *s > '9') return false;
    if (__builtin_mul_overflow(v, uint64_t{10}, &v)) return false;
    if (__builtin_add_overflow(v, static_cast<uint64_t>(*s - '0'), &v)) return false;
  }
  *out = v;
  return true;
}

// The same with K, M or G behind it: 2^10, 2^20, 2^30.
inline bool parse_bytes(const char* s, uint64_t* out) {
  size_t n = 0;
  while (s[n] >= '0' && s[n] <= '9') ++n;
  const unsigned shift = s[n] == 'K' ? 10 : s[n] == 'M' ? 20 : s[n] == 'G' ? 30 : 0;
  if (shift == 0) return parse_decimal(s, out);
  char digits[21];  // of 64 bits
  if (n >= sizeof digits || s[n + 1] != '\0') return false;
  for (size_t i = 0; i < n; ++i) digits[i] = s[i];
  digits[n] = '\0';
  return parse_decimal(digits, out) && !__builtin_mul_overflow(*out, uint64_t{1} << shift, out);
}

inline bool same_text(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) ++a, ++b;
  return *a == *b;
}

}  // namespace mn
