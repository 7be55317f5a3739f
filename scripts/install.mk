# SPDX-License-Identifier: Apache-2.0
# Installing, and what is made for that: stripped libraries, manual pages, completions. Included by the top Makefile.
LIBDIR ?= $(PREFIX)/lib
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
# Distributions' gdb reads what lies there by itself; elsewhere it looks beside the library, and wants to be told that it may.
GDBDIR ?= $(if $(filter /usr,$(PREFIX)),/usr/share/gdb/auto-load)$(LIBDIR)
# STRIP=no: with their symbols, for those who strip themselves.
STRIP  ?= yes

LIBRARIES := libmn.so libmn-dump.so
ifeq ($(STRIP),no)
PUT_LIBRARIES := $(LIBRARIES:%=$(B)/%)
else
PUT_LIBRARIES := $(LIBRARIES:%=$(B)/stripped/%)
PUT_DEBUG     := $(LIBRARIES:%=$(B)/%.debug)
endif

# Debuggers find the debug information by its name, which is in the library, in .debug beside it.
$(B)/%.so.debug: $(B)/%.so
	objcopy --only-keep-debug --compress-debug-sections $< $@.new
	chmod 644 $@.new
	mv $@.new $@
$(B)/stripped/%.so: $(B)/%.so $(B)/%.so.debug
	@mkdir -p $(@D)
	objcopy --strip-all --add-gnu-debuglink=$(B)/$*.so.debug $< $@.new
	mv $@.new $@

MANUAL := $(B)/manual
$(MANUAL)/made: $(B)/libmn.so docs/manual.md README.md CHANGELOG.md $(wildcard scripts/manual/*.py scripts/mnlib/commands/*.py)
	python3 scripts/manual $(B)/libmn.so $(MANUAL)
	@touch $@

.PHONY: manual install uninstall deb deb-test
manual: $(MANUAL)/made

# put MODE,FOLDER,FILES: lines for scripts/install.py
put = $(foreach file,$(3),echo '$(1) $(file) $(2)/$(notdir $(file))';)
INSTALLED := $(PREFIX)/lib/libmn/installed
MNLIB     := $(PREFIX)/lib/libmn/mnlib

install: all manual $(PUT_LIBRARIES) $(PUT_DEBUG)
	@{ $(call put,755,$(PREFIX)/bin,scripts/mn) \
	$(call put,644,$(LIBDIR),$(PUT_LIBRARIES)) \
	$(call put,644,$(LIBDIR)/.debug,$(PUT_DEBUG)) \
	$(call put,644,$(MNLIB),$(wildcard scripts/mnlib/*.py) scripts/mnlib/version.txt) \
	$(call put,644,$(MNLIB)/commands,$(wildcard scripts/mnlib/commands/*.py)) \
	$(call put,644,$(MNLIB)/report,$(wildcard scripts/mnlib/report/*.py) scripts/mnlib/report/schema.json) \
	echo '644 scripts/mn-gdb.py $(GDBDIR)/libmn.so-gdb.py'; \
	$(call put,644,$(PREFIX)/share/man/man1,$(shell ls $(MANUAL)/man1/*)) \
	$(call put,644,$(PREFIX)/share/man/man7,$(MANUAL)/man7/libmn.7) \
	$(call put,644,$(PREFIX)/share/bash-completion/completions,$(MANUAL)/bash/mn) \
	$(call put,644,$(ZSHDIR),$(MANUAL)/zsh/_mn) \
	$(call put,644,$(PREFIX)/share/fish/vendor_completions.d,$(MANUAL)/fish/mn.fish) \
	} | python3 scripts/install.py install --destdir '$(DESTDIR)' $(INSTALLED)

uninstall:
	@python3 scripts/install.py uninstall --destdir '$(DESTDIR)' $(INSTALLED)

deb:
	sh scripts/deb
deb-test:
	python3 test/deb.py
