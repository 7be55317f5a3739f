# SPDX-License-Identifier: Apache-2.0
# Unit tests: one GoogleTest program per test/unit/NAME_test.cc, linked with the runtime's objects and not with libmn.so,
# in three variants: build/unit, build/asan/unit (address and undefined) and build/tsan/unit (threads). Included by the
# top Makefile.
UNIT_SRC   := $(wildcard test/unit/*_test.cc)
UNIT_NAMES := $(UNIT_SRC:test/unit/%.cc=%)
# ThreadSanitizer does not follow context switches: it sees the parts that synchronise kernel threads only.
UNIT_TSAN  := $(filter recorder_test runq_test runq_race_test timer_test lock_test waitq_test waitq_thread_test,$(UNIT_NAMES))

UNIT_SAN_unit :=
UNIT_SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
UNIT_SAN_tsan := -fsanitize=thread -fno-omit-frame-pointer
# AddressSanitizer has a thread library of its own, with which the scheduler does not run.
UNIT_ASAN  := $(filter-out fatal_dump_test,$(UNIT_NAMES))

ifeq (,$(findstring clang,$(CXX)))
UNIT_SAN_tsan += -Wno-tsan  # enter() has a fence that ThreadSanitizer does not know; no test depends on it
endif

# Linked by name, for libunwind brings its own _Unwind_* functions along.
UNIT_LIBS_libunwind_test := -lunwind

# Loads it.
$(foreach d,unit asan/unit,$(B)/$(d)/tls_images_test): | $(B)/test/tls_plugin.so

UNIT_DIR_unit := $(B)/unit
UNIT_DIR_asan := $(B)/asan/unit
UNIT_DIR_tsan := $(B)/tsan/unit

# $(1): variant, $(2): names of its tests
define UNIT_VARIANT
UNIT_OBJ_$(1) := $$(patsubst %,$$(B)/$(1)/obj/%.o,$$(RUNTIME_SRC))

$$(B)/$(1)/obj/runtime/%.cc.o: runtime/%.cc
	@mkdir -p $$(@D)
	$$(CXX) $$(LIB) -O1 -DMN_DEBUG $$(UNIT_SAN_$(1)) -c -o $$@ $$<
$$(B)/$(1)/obj/runtime/%.S.o: runtime/%.S
	@mkdir -p $$(@D)
	$$(CXX) -g -c -o $$@ $$<
$$(B)/$(1)/obj/test/unit/%.o: test/unit/%.cc
	@mkdir -p $$(@D)
	$$(CXX) $$(COMMON) $$(WARN) -O1 -DMN_DEBUG -pthread $$(UNIT_SAN_$(1)) -c -o $$@ $$<
# An archive, of which a test takes what it calls. Made anew, or an object that is gone would stay in it.
$$(B)/$(1)/obj/runtime.a: $$(UNIT_OBJ_$(1))
	@rm -f $$@
	ar rc $$@ $$^
$$(UNIT_DIR_$(1))/%_test: $$(B)/$(1)/obj/test/unit/%_test.o $$(B)/$(1)/obj/runtime.a
	@mkdir -p $$(@D)
	$$(CXX) $$(UNIT_SAN_$(1)) -o $$@ $$^ -lgtest_main -lgtest $$(UNIT_LIBS_$$(@F)) -pthread -ldl

.SECONDARY: $$(patsubst %,$$(B)/$(1)/obj/test/unit/%.o,$(2))
-include $$(UNIT_OBJ_$(1):.o=.d) $$(patsubst %,$$(B)/$(1)/obj/test/unit/%.d,$(2))
endef
$(eval $(call UNIT_VARIANT,unit,$(UNIT_NAMES)))
$(eval $(call UNIT_VARIANT,asan,$(UNIT_ASAN)))
$(eval $(call UNIT_VARIANT,tsan,$(UNIT_TSAN)))

.PHONY: unit unit-asan unit-tsan
unit: $(UNIT_NAMES:%=$(UNIT_DIR_unit)/%)
unit-asan: $(UNIT_ASAN:%=$(UNIT_DIR_asan)/%)
unit-tsan: $(UNIT_TSAN:%=$(UNIT_DIR_tsan)/%)
