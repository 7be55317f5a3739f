# SPDX-License-Identifier: Apache-2.0
# make                 build/libmn.so
# make demo | test     what scripts/demo and scripts/test do, which also install what is missing
# make check           build and run all tests
# make conformance SUITE=folder of the Open POSIX Test Suite
# make cpython         CPython's own tests, natively and under libmn (an hour or two)
# make inject          each system call of libmn's is refused (minutes)
# make planted         mn compare finds a slowdown that was put in (minutes)
# make fuzz            ten minutes of mutated and random input for what mn reads of others
# make bench | bench-echo | stress | apps | lint | install PREFIX=/usr/local
# VARIANT=release|debug   CXX=g++|clang++
# make uninstall | manual | deb | deb-test   scripts/install.mk: deb is a package in build/deb, tried in bare Debian 12 and 13
VARIANT ?= release
PREFIX  ?= /usr/local
VERSION := $(shell cat scripts/mnlib/version.txt)
ifeq ($(origin CXX),default)
CXX := g++
endif

B := build$(if $(filter debug,$(VARIANT)),/debug)

WARN   := -Wall -Wextra -Werror -Wshadow -Wno-attributes -Wno-deprecated-declarations
COMMON := -std=c++20 -I. -D_GNU_SOURCE -MMD -MP -g
# No exceptions, no run-time types, no libstdc++; unwind tables, for exceptions and cancellation pass through our frames.
LIB    := $(COMMON) $(WARN) -O2 -fPIC -fno-exceptions -fno-rtti -fno-threadsafe-statics -fvisibility=hidden \
          -fasynchronous-unwind-tables -fno-stack-protector -fno-plt -ftls-model=initial-exec \
          -DMN_VERSION='"$(VERSION)"'
ifneq (,$(findstring clang,$(CXX)))
LIB    += -Wno-implicit-exception-spec-mismatch
else
# For its generic CPU gcc clears small objects with `rep stos`, which is slow to start.
LIB    += -mtune=skylake
endif
ifeq ($(VARIANT),debug)
LIB    += -DMN_DEBUG -O1
endif

# The hot paths cross files; seen as one program they are some 15 % shorter. Fat objects, for `make lint` reads them.
# Safe although threads move between kernel threads: a G's thread pointer moves with it. clang would need lld.
ifeq ($(VARIANT)$(findstring clang,$(CXX)),release)
LTO := -flto=auto -ffat-lto-objects
endif

RUNTIME_SRC := $(wildcard runtime/*/*.cc) $(wildcard runtime/arch/x86_64/*.S)
SHIM_SRC    := $(wildcard shim/*.cc shim/*.S)
LIB_OBJ     := $(patsubst %,$(B)/obj/%.o,$(RUNTIME_SRC) $(SHIM_SRC))

.PHONY: all
all: $(B)/libmn.so $(B)/libmn-dump.so

# -Bsymbolic-functions: a program may define one of the exported names itself, and call libmn's from there.
$(B)/libmn.so: $(LIB_OBJ)
	$(CXX) $(filter-out -MMD -MP,$(LIB)) $(LTO) -shared -nodefaultlibs -Wl,-Bsymbolic-functions -Wl,-z,defs -Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete -Wl,-z,start-stop-visibility=hidden -o $@.new $^ -lc -lgcc -lc_nonshared
	mv $@.new $@  # programs may be running with the old one

$(B)/obj/%.cc.o: %.cc
	@mkdir -p $(@D)
	$(CXX) $(LIB) $(LTO) -c -o $@ $<
$(B)/obj/%.S.o: %.S
	@mkdir -p $(@D)
	$(CXX) -g -c -o $@ $<

$(B)/obj/runtime/base/version.cc.o: scripts/mnlib/version.txt

-include $(LIB_OBJ:.o=.d)

# What walks stacks with libunwind, found beside libmn.so (runtime/observe/walker.h).
$(B)/libmn-dump.so: companion/walk.cc
	@mkdir -p $(@D)
	$(CXX) $(LIB) -MF $@.d -shared -nodefaultlibs -Wl,-z,defs -Wl,-z,now -Wl,-z,relro -o $@.new $< -lunwind-generic -lc
	mv $@.new $@
-include $(B)/libmn-dump.so.d

# --- tests: plain programs that never see libmn, and unit tests of the runtime's parts
TESTFLAGS := $(COMMON) $(WARN) -O2 -pthread
PRELOAD_SRC := $(wildcard test/preload/*.cc)
PRELOAD_OBJ := $(PRELOAD_SRC:%.cc=$(B)/obj/%.o)
PROGRAM_SRC := $(wildcard test/programs/*.c test/programs/*.cc test/programs/scale/*.c)
PROGRAMS    := $(patsubst test/%,$(B)/test/%,$(basename $(PROGRAM_SRC)))
OBSERVED    := $(patsubst test/%.c,$(B)/test/%,$(wildcard test/observe/*.c))
FIRST_OP    := $(B)/test/programs/first_op

$(B)/obj/test/%.o: test/%.cc
	@mkdir -p $(@D)
	$(CXX) $(TESTFLAGS) -c -o $@ $<
$(B)/test/preload_tests: $(PRELOAD_OBJ)
	@mkdir -p $(@D)
	$(CXX) -rdynamic -o $@ $^ -lgtest -pthread -ldl
$(B)/test/tls_plugin.so: test/preload/plugin/tls_plugin.c
	@mkdir -p $(@D)
	$(CC) -Wall -Wextra -Werror -O2 -fPIC -shared -o $@ $<
$(B)/test/programs/once_without_tables: PROGRAM_FLAGS := -fno-exceptions -fno-asynchronous-unwind-tables
$(B)/test/programs/%: test/programs/%.c
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE -Wall -Wextra -Werror -g -O2 $(PROGRAM_FLAGS) -o $@ $< -pthread
$(B)/test/programs/%: test/programs/%.cc
	@mkdir -p $(@D)
	$(CXX) $(TESTFLAGS) -o $@ $<

# Libraries that test/programs/loading.cc loads, and the clock of other_time.c.
PLUGINS := $(patsubst %,$(B)/test/programs/plugins/%.so,values values_other values_static values_large objects \
             threads clock executable_stack)
$(B)/test/programs/plugins/values_static.so: PLUGIN_FLAGS := -ftls-model=initial-exec
$(B)/test/programs/plugins/values_other.so: PLUGIN_FLAGS := -DSIZE=1000
$(B)/test/programs/plugins/values_large.so: PLUGIN_FLAGS := -DSIZE=65536
$(B)/test/programs/plugins/executable_stack.so: PLUGIN_FLAGS := -Wl,-z,execstack
$(B)/test/programs/nested_functions: PROGRAM_FLAGS := -Wl,-z,execstack
$(B)/test/programs/plugins/values%.so: test/programs/plugins/values.c
	@mkdir -p $(@D)
	$(CC) -Wall -Wextra -Werror -g -O2 -fPIC -shared $(PLUGIN_FLAGS) -o $@ $<
$(B)/test/programs/plugins/%.so: test/programs/plugins/%.c
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE -Wall -Wextra -Werror -g -O2 -fPIC -shared $(PLUGIN_FLAGS) -o $@ $< -pthread
$(B)/test/programs/plugins/%.so: test/programs/plugins/%.cc
	@mkdir -p $(@D)
	$(CXX) $(TESTFLAGS) -fPIC -shared -o $@ $<

# Their functions are to be found by name. Stripped of all symbols that they do not export, as most programs are.
$(B)/test/observe/%: test/observe/%.c test/observe/table.h
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE -Wall -Wextra -Werror -O2 -rdynamic -s -o $@ $< -pthread -ldl

# Every exported function, called in every context.
$(FIRST_OP)/libfirst_op_ctor.so: test/programs/first_op/first_op_ctor.c
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE -Wall -Wextra -Werror -g -O2 -fPIC -shared -Wl,-soname,$(@F) -o $@ $< -pthread

FIRST_OP_SRC := $(filter-out %_ctor.c,$(wildcard test/programs/first_op/*.c))
$(FIRST_OP)/first_op: $(FIRST_OP_SRC) $(FIRST_OP)/libfirst_op_ctor.so $(wildcard test/programs/first_op/*.h)
	$(CC) -D_GNU_SOURCE -Wall -Wextra -Werror -g -O2 -rdynamic -o $@ $(filter-out %.h,$^) -pthread -Wl,-rpath,'$$ORIGIN'

.PHONY: tests
tests: all $(FIRST_OP)/first_op $(B)/test/preload_tests $(B)/test/tls_plugin.so $(PROGRAMS) $(PLUGINS) $(OBSERVED)

-include $(PRELOAD_OBJ:.o=.d)

# --- benchmarks: one plain program, run with and without libmn by bench/run.py
BENCH_SRC := $(wildcard bench/*.cc)
BENCH_OBJ := $(BENCH_SRC:%.cc=$(B)/obj/%.o)
$(B)/obj/bench/%.o: bench/%.cc
	@mkdir -p $(@D)
	$(CXX) $(COMMON) $(WARN) -O2 -pthread -c -o $@ $<
$(B)/bench/threads_bench: $(BENCH_OBJ)
	@mkdir -p $(@D)
	$(CXX) -o $@ $^ -lbenchmark -pthread
-include $(BENCH_OBJ:.o=.d)

# Go's counterparts only where go is installed.
GO := $(shell command -v go)
$(B)/bench/threads_go: bench/go/threads.go
	@mkdir -p $(@D)
	CGO_ENABLED=0 go build -o $@ $<

# Echo servers and their load.
ECHO := $(B)/bench/echo
ECHO_PROGRAMS := $(ECHO)/echo_threads $(ECHO)/echo_epoll $(ECHO)/load $(if $(GO),$(ECHO)/echo_go)
$(ECHO)/echo_go: bench/echo/echo.go
	@mkdir -p $(@D)
	CGO_ENABLED=0 go build -o $@ $<
$(ECHO)/%: bench/echo/%.c bench/echo/echo.h
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE -Wall -Wextra -Werror -g -O2 -o $@ $< -pthread

# --- what to type
include test/unit/unit.mk

# Refuses each system call that libmn makes.
$(B)/test/inject/%: test/inject/%.c
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE -Wall -Wextra -Werror -g -O2 -o $@ $< -pthread
inject: all $(B)/test/inject/inject $(B)/test/inject/basic
	python3 test/inject/run.py

.PHONY: inject check planted fuzz demo test bench bench-echo stress conformance cpython apps lint install clean
check: all tests unit unit-asan unit-tsan
	python3 test/run.py
planted:
	python3 test/planted.py
fuzz:
	python3 test/mn_fuzz.py --seconds 600
demo:
	sh scripts/demo
test:
	sh scripts/test
bench: all $(B)/bench/threads_bench $(if $(GO),$(B)/bench/threads_go) $(ECHO_PROGRAMS) $(B)/test/programs/ticker
	python3 bench/run.py --json $(B)/bench/threads.json
	python3 bench/ticker.py
	python3 bench/echo.py
bench-echo: all $(ECHO_PROGRAMS)
	python3 bench/echo.py
stress: all tests
	python3 scripts/stress --seconds 600
conformance: all
	python3 scripts/conformance.py --report CONFORMANCE.md $(SUITE)
cpython: all
	sh scripts/setup cpython
	python3 scripts/cpython.py --report CONFORMANCE.md
apps: all
	sh scripts/setup apps
	python3 scripts/apps.py
lint: all
	python3 scripts/lint

include scripts/install.mk

clean:
	rm -rf build
