// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/options.h"

#include <signal.h>

#include <initializer_list>

namespace mn {

constinit Options options{};

namespace {

enum class Kind { kNumber, kBytes, kChoice, kFlags, kSignal, kText };

struct Row {
  Kind kind;
  const char* variable;
  uint64_t Options::*field;
  const char* Options::*text;
  uint64_t least, most;  // kNumber, kBytes
  const char* words;     // the others: separated by '|' or ','
  const char* help;
};

constexpr Row kRows[] = {
#define NUMBER(field, variable, dflt, least, most, help) \
  {Kind::kNumber, variable, &Options::field, nullptr, least, most, nullptr, help},
#define BYTES(field, variable, dflt, least, most, help) \
  {Kind::kBytes, variable, &Options::field, nullptr, least, most, nullptr, help},
#define CHOICE(field, variable, dflt, words, help) \
  {Kind::kChoice, variable, &Options::field, nullptr, 0, 0, words, help},
#define FLAGS(field, variable, words, help) {Kind::kFlags, variable, &Options::field, nullptr, 0, 0, words, help},
#define SIGNAL(field, variable, dflt, help) {Kind::kSignal, variable, &Options::field, nullptr, 0, 0, nullptr, help},
#define TEXT(field, variable, help) {Kind::kText, variable, nullptr, &Options::field, 0, 0, nullptr, help},
#include "runtime/base/options.def"
};

// What may be asked for: not what cannot be caught, libc's own (32 and 33), or what tells of a fault.
constexpr struct {
  const char* name;
  uint64_t number;
} kSignals[] = {{"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT},     {"USR1", SIGUSR1},   {"USR2", SIGUSR2},
                {"PIPE", SIGPIPE}, {"ALRM", SIGALRM}, {"TERM", SIGTERM},     {"CHLD", SIGCHLD},   {"CONT", SIGCONT},
                {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},     {"URG", SIGURG},     {"XCPU", SIGXCPU},
                {"XFSZ", SIGXFSZ}, {"PROF", SIGPROF}, {"VTALRM", SIGVTALRM}, {"WINCH", SIGWINCH}, {"IO", SIGIO},
                {"PWR", SIGPWR}};
constexpr uint64_t kFirstRealTime = 34, kLastSignal = 64;

const char* value_of(const char* const* environ_list, const char* variable) {
  for (; environ_list != nullptr && *environ_list != nullptr; ++environ_list) {
    const char* e = *environ_list;
    const char* v = variable;
    while (*v != '\0' && *e == *v) ++e, ++v;
    if (*v == '\0' && *e == '=') return e + 1;
  }
  return nullptr;
}

// Index of the word [s, end) in a list with separator `sep`; -1 when it is not there.
int word_index(const char* words, char sep, const char* s, const char* end) {
  for (int index = 0;; ++index) {
    const char* p = s;
    while (p != end && *words == *p && *words != sep) ++words, ++p;
    if (p == end && (*words == sep || *words == '\0')) return index;
    while (*words != sep && *words != '\0') ++words;
    if (*words++ == '\0') return -1;
  }
}

const char* end_of_word(const char* s, char sep) {
  while (*s != '\0' && *s != sep) ++s;
  return s;
}

bool parse_flags(const char* words, const char* value, uint64_t* out) {
  *out = 0;
  for (const char* s = value;; ++s) {
    const char* end = end_of_word(s, ',');
    int index = word_index(words, ',', s, end);
    if (index < 0) return false;
    *out |= uint64_t{1} << index;
    if (*end == '\0') return true;
    s = end;
  }
}

bool parse_signal(const char* value, uint64_t* out) {
  if (same_text(value, "none")) return *out = 0, true;
  bool number = parse_decimal(value, out);
  if (number && (*out == 0 || (*out >= kFirstRealTime && *out <= kLastSignal))) return true;
  const char* name = value[0] == 'S' && value[1] == 'I' && value[2] == 'G' ? value + 3 : value;
  for (const auto& s : kSignals) {
    if (number ? s.number != *out : !same_text(s.name, name)) continue;
    *out = s.number;
    return true;
  }
  return false;
}

bool parse_row(const Row& row, const char* value, Options* out) {
  uint64_t parsed = 0;
  switch (row.kind) {
    case Kind::kText:
      out->*row.text = value;
      return true;
    case Kind::kNumber:
      if (!parse_decimal(value, &parsed) || parsed < row.least || parsed > row.most) return false;
      break;
    case Kind::kBytes:
      if (!parse_bytes(value, &parsed) || parsed < row.least || parsed > row.most) return false;
      break;
    case Kind::kChoice: {
      int index = word_index(row.words, '|', value, end_of_word(value, '\0'));
      if (index < 0) return false;
      parsed = static_cast<uint64_t>(index);
      break;
    }
    case Kind::kFlags:
      if (!parse_flags(row.words, value, &parsed)) return false;
      break;
    case Kind::kSignal:
      if (!parse_signal(value, &parsed)) return false;
      break;
  }
  out->*row.field = parsed;
  return true;
}

void describe_range(const Row& row, Text* text) {
  switch (row.kind) {
    case Kind::kText:
      *text << "a text";
      break;
    case Kind::kNumber:
      *text << "a number from " << row.least << " to " << row.most;
      break;
    case Kind::kBytes:
      *text << "a number from " << row.least << " to " << row.most << ", or with K, M or G behind it";
      break;
    case Kind::kChoice:
      *text << "one of " << row.words;
      break;
    case Kind::kFlags:
      *text << "a list of " << row.words;
      break;
    case Kind::kSignal:
      *text << "none, or the name or number of a signal that can be caught and means no fault";
      break;
  }
}

}  // namespace

bool options_parse(const char* const* environ_list, Options* out, Text* error) {
  for (const Row& row : kRows) {
    const char* value = value_of(environ_list, row.variable);
    if (value == nullptr || *value == '\0' || parse_row(row, value, out)) continue;
    *error << "libmn: " << row.variable << "='";
    error->foreign(value);
    *error << "' is not valid: it must be ";
    describe_range(row, error);
    *error << '\n';
    return false;
  }
  return true;
}

bool names_program(const char* names, const char* path, const char* other_path) {
  if (names == nullptr) return true;
  for (const char* p : {path, other_path}) {
    const char* base = p;
    for (; *p != '\0'; ++p)
      if (*p == '/') base = p + 1;
    if (p != base && word_index(names, ',', base, p) >= 0) return true;
  }
  return false;
}

void options_help(void (*emit)(const char* data, unsigned long size)) {
  for (const Row& row : kRows) {
    Text line;
    line << "libmn: " << row.variable << ": " << row.help << "; ";
    describe_range(row, &line);
    line << '\n';
    emit(line.data(), line.size());
  }
}

}  // namespace mn
