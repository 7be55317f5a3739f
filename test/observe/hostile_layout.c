// SPDX-License-Identifier: Apache-2.0
// hostile_layout: a program that writes into the table by which tools look at it. Says "ready", then does what each
// line of its input says, and answers "done":
//   NAME size N      that entry's size
//   NAME value N     its value: an offset, an address or a constant
//   FIELD of VARIABLE = N    what the field of the variable holds, e.g. Sched.nprocs of sched = 2147483647
//   NAME garbled     its name, by bytes that are no UTF-8
//   HEAD count N, HEAD entries N, HEAD magic N      the table's head
//   title TEXT       the main thread's name, where \e is escape and \n a new line
//   restore          all but titles as it was
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "table.h"

static Head head;
static Entry *entries, *before;

static void* wait_for_ever(void* arg) {
  for (;;) pause();
  return arg;
}

static Entry* find(const char* name) {
  for (uint64_t i = 0; i < head.count; i++)
    if (strncmp(before[i].name, name, sizeof before[i].name) == 0) return &entries[i];
  _exit(4);
}

static void give_title(const char* text) {
  char name[16];
  name[unescape(text, name, sizeof name - 1)] = '\0';
  pthread_setname_np(pthread_self(), name);
  prctl(PR_SET_NAME, name);
}

static void change_head(Head* where, const char* what, uint64_t number) {
  if (strcmp(what, "count") == 0) where->count = number;
  if (strcmp(what, "entries") == 0) where->entries = (void*)number;
  if (strcmp(what, "magic") == 0) memcpy(where->magic, &number, sizeof where->magic);
}

static void change(Head* where, char* line) {
  char name[64], what[64], variable[64];
  unsigned long long number = 0;
  if (strncmp(line, "title ", 6) == 0) {
    give_title(line + 6);
  } else if (strcmp(line, "restore") == 0) {
    *where = head;
    memcpy(entries, before, head.count * sizeof *entries);
  } else if (sscanf(line, "%63s of %63s = %llu", name, variable, &number) == 3) {
    memcpy((char*)find(variable)->value + find(name)->value, &number, find(name)->size);
  } else if (sscanf(line, "%63s %63s %llu", name, what, &number) < 2) {
    _exit(3);
  } else if (strcmp(name, "HEAD") == 0) {
    change_head(where, what, number);
  } else if (strcmp(what, "garbled") == 0) {
    memset(find(name)->name, 0xff, 10);
  } else if (strcmp(what, "size") == 0) {
    find(name)->size = number;
  } else {
    find(name)->value = number;
  }
}

int main(void) {
  pthread_t thread;
  char line[256];
  Head* where = dlsym(RTLD_DEFAULT, "mn_layout");
  if (where == NULL || pthread_create(&thread, NULL, wait_for_ever, NULL) != 0) return 1;
  head = *where;
  entries = head.entries;
  before = malloc(head.count * sizeof *entries);
  memcpy(before, entries, head.count * sizeof *entries);
  may_be_written(where, sizeof *where);
  may_be_written(entries, head.count * sizeof *entries);
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    change(where, line);
    puts("done");
    fflush(stdout);
  }
  return 0;
}
