// SPDX-License-Identifier: Apache-2.0
// For scripts/lint, which has the compiler include this first: std::atomic and std::atomic_ref whose operations all
// want their memory order said. What means seq_cst silently, such as ++x, x = 1 and x.load(), does not compile.
#include <atomic>

#define MN_STRICT(Strict, Loose)                                                           \
  template <class T>                                                                       \
  struct Strict : Loose<T> {                                                               \
    using Loose<T>::Loose;                                                                 \
    operator T() const = delete;                                                           \
    T operator=(T) const = delete;                                                         \
    T operator++() = delete;                                                               \
    T operator++(int) = delete;                                                            \
    T operator--() = delete;                                                               \
    T operator--(int) = delete;                                                            \
    void operator+=(auto) = delete;                                                        \
    void operator-=(auto) = delete;                                                        \
    void operator&=(auto) = delete;                                                        \
    void operator|=(auto) = delete;                                                        \
    void operator^=(auto) = delete;                                                        \
    T load(memory_order order) const { return Loose<T>::load(order); }                     \
    void store(T value, memory_order order) { Loose<T>::store(value, order); }             \
    T exchange(T value, memory_order order) { return Loose<T>::exchange(value, order); }   \
    auto fetch_add(auto by, memory_order order) { return Loose<T>::fetch_add(by, order); } \
    auto fetch_sub(auto by, memory_order order) { return Loose<T>::fetch_sub(by, order); } \
    auto fetch_and(auto by, memory_order order) { return Loose<T>::fetch_and(by, order); } \
    auto fetch_or(auto by, memory_order order) { return Loose<T>::fetch_or(by, order); }   \
    auto fetch_xor(auto by, memory_order order) { return Loose<T>::fetch_xor(by, order); } \
    bool compare_exchange_weak(T& old, T value, auto order, auto... rest) {                \
      return Loose<T>::compare_exchange_weak(old, value, order, rest...);                  \
    }                                                                                      \
    bool compare_exchange_strong(T& old, T value, auto order, auto... rest) {              \
      return Loose<T>::compare_exchange_strong(old, value, order, rest...);                \
    }                                                                                      \
  };

namespace std {
MN_STRICT(mn_atomic, atomic)
MN_STRICT(mn_atomic_ref, atomic_ref)
}  // namespace std

#define atomic mn_atomic
#define atomic_ref mn_atomic_ref
