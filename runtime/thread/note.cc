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
  Sent sent = Sent::kToThread;
  uint64_t order = 0;  // of all notes
  siginfo_t info{};
};

constinit Record g_records[kRecords];
constinit G g_claimed;  // only its address matters
constinit std::atomic<uint64_t> g_order{0};

void give(Record* r, G* g) {
  r->owner.store(g, std::memory_order_release);  // Release: whole; pairs with claim and note_signal.
}

bool is(const Record& r, const G* g, int sig) {
  return r.owner.load(std::memory_order_acquire) == g && r.sig == sig;  // Acquire: pairs with give.
}

bool noted(const G* g, int sig, Sent sent) {
  if ((g->sigpend.load(std::memory_order_relaxed) & bit(sig)) == 0) return false;
  for (const Record& r : g_records)
    if (is(r, g, sig) && r.sent == sent) return true;
  return false;
}

// Makes r the caller's, if it is for g and of sig.
bool claim(Record* r, G* g, int sig) {
  // Acquire: pairs with note_signal, which may have used the record again.
  if (!r->owner.compare_exchange_strong(g, &g_claimed, std::memory_order_acquire)) return false;
  if (r->sig == sig) return true;
  give(r, g);
  return false;
}

// Notes of g that were sent to the process go back to it, and true if there were such; the others go to `other`.
template <class Other>
bool sort_notes(G* g, int sig, Other other) {
  // Before the records: one noted later sets it again (pairs with note_signal).
  g->sigpend.fetch_and(~bit(sig), std::memory_order_seq_cst);
  bool any = false;
  for (Record& r : g_records) {
    if (!is(r, g, sig) || !claim(&r, g, sig)) continue;
    if (r.sent == Sent::kToThread) {
      other(&r);
    } else {
      give(&r, kProcess);
      any = true;
    }
  }
  return any;
}

}  // namespace

bool note_signal(G* g, int sig, const siginfo_t* info, Sent sent) {
  // Standard signals do not queue: one that is pending already adds nothing.
  if (sig < kFirstQueued && g != kProcess && noted(g, sig, sent)) return true;
  for (Record& r : g_records) {
    G* free = nullptr;
    // Acquire: pairs with the release that freed the record.
    if (!r.owner.compare_exchange_strong(free, &g_claimed, std::memory_order_acquire)) continue;
    r.sig = sig;
    r.order = g_order.fetch_add(1, std::memory_order_relaxed);
    r.sent = sent;
    r.info = *info;
    give(&r, g);
    // Seq_cst: pairs with must_look_up (waitq.cc).
    g->sigpend.fetch_or(bit(sig), std::memory_order_seq_cst);
    return true;
  }
  return false;
}

// Oldest first: real-time signals come in the order in which they were sent.
bool take_note(G* g, int sig, siginfo_t* info, Sent* sent) {
  for (;;) {
    Record* oldest = nullptr;
    for (Record& r : g_records)
      if (is(r, g, sig) && (oldest == nullptr || r.order < oldest->order)) oldest = &r;
    if (oldest == nullptr) return false;
    if (!claim(oldest, g, sig)) continue;
    *info = oldest->info;
    if (sent != nullptr) *sent = oldest->sent;
    give(oldest, nullptr);
    return true;
  }
}

bool has_note(G* g, int sig) {
  for (Record& r : g_records)
    if (is(r, g, sig)) return true;
  return false;
}

bool return_notes(G* g, int sig) {
  bool others = false;
  bool any = sort_notes(g, sig, [&](Record* r) {
    give(r, g);
    others = true;
  });
  if (others) g->sigpend.fetch_or(bit(sig), std::memory_order_seq_cst);  // pairs with must_look_up (waitq.cc)
  return any;
}

bool forget_notes(G* g, int sig) {
  return sort_notes(g, sig, [](Record* r) { give(r, nullptr); });
}

void forget_all_notes() {
  for (Record& r : g_records)
    if (r.owner.load(std::memory_order_relaxed) != nullptr) r.owner.store(nullptr, std::memory_order_relaxed);
}

}  // namespace mn
