// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/note.h"

#include <atomic>

namespace mn {

constinit G process_notes;

namespace {

constexpr int kRecords = 512;

// owner: null free; kClaimed being filled; else the G it is for.
struct Record {
  std::atomic<G*> owner{nullptr};
  int sig = 0;
  uint64_t order = 0;  // of all notes
  siginfo_t info{};
};

constinit Record g_records[kRecords];
constinit G g_claimed;  // only its address matters
constinit std::atomic<uint64_t> g_order{0};

}  // namespace

void note_signal(G* g, int sig, const siginfo_t* info) {
  // Standard signals do not queue: one that is pending already adds nothing.
  if (sig < kFirstQueued && g != kProcess && (g->sigpend.load(std::memory_order_relaxed) & bit(sig)) != 0) return;
  for (Record& r : g_records) {
    G* free = nullptr;
    // Acquire: pairs with the release that freed the record.
    if (!r.owner.compare_exchange_strong(free, &g_claimed, std::memory_order_acquire)) continue;
    r.sig = sig;
    r.order = g_order.fetch_add(1, std::memory_order_relaxed);
    r.info = *info;
    r.owner.store(g, std::memory_order_release);  // Release: pairs with take_note.
    break;
  }
  // Seq_cst: pairs with must_look_up (waitq.cc).
  g->sigpend.fetch_or(bit(sig), std::memory_order_seq_cst);
}

// Oldest first: real-time signals come in the order in which they were sent.
bool take_note(G* g, int sig, siginfo_t* info) {
  for (;;) {
    Record* oldest = nullptr;
    for (Record& r : g_records) {
      if (r.owner.load(std::memory_order_acquire) != g || r.sig != sig) continue;  // Acquire: pairs with note_signal.
      if (oldest == nullptr || r.order < oldest->order) oldest = &r;
    }
    if (oldest == nullptr) return false;
    G* mine = g;
    // Acquire: pairs with note_signal, which may have used the record again.
    if (!oldest->owner.compare_exchange_strong(mine, &g_claimed, std::memory_order_acquire)) continue;
    bool same = oldest->sig == sig;
    if (same) *info = oldest->info;
    oldest->owner.store(same ? nullptr : g, std::memory_order_release);  // Release: read; pairs with note_signal.
    if (same) return true;
  }
}

void forget_notes() {
  for (Record& r : g_records) r.owner.store(nullptr, std::memory_order_relaxed);
}

}  // namespace mn
