# SPDX-License-Identifier: BSD-3-Clause
#
# Kedge. `make help` explains the targets.
#
# Everything that is built goes to build/, and to build/VARIANT/ with another compiler, a sanitizer
# or DEBUG=1. Sources are found by folder: each of the folders of the house is one static library,
# and a main.c in it is a program. A new file needs no change here.
#
# Rings of Xen's domains are built in where pkg-config finds Xen's libraries (libxen-dev); XEN= leaves them
# out, XEN=1 insists on them.
#
#   CC=clang  SANITIZE=address,undefined  SANITIZE=thread  DEBUG=1  WERROR=1  V=1 (show commands)

VERSION := 0.1.0
PREFIX  ?= /usr/local
HUGEPAGES ?= 512
FUZZ_SECONDS ?= 60

ifeq ($(origin CC),default)
CC := gcc
endif

# Packages that are missing are installed before anything below looks for them.
needs_all    := $(filter deps,$(MAKECMDGOALS))
needs_run    := $(if $(filter run demo hugepages,$(MAKECMDGOALS)),build run)
needs_test   := $(if $(filter test unit e2e test-kill test-asan test-tsan,$(MAKECMDGOALS)),build run test)
needs_check  := $(if $(filter fuzz format check-format lint model,$(MAKECMDGOALS)),build check)
needs_bench  := $(if $(filter bench%,$(MAKECMDGOALS)),build run test bench)
PURPOSES     := $(if $(needs_all),,$(sort $(needs_run) $(needs_test) $(needs_check) $(needs_bench)))
ifneq ($(needs_all)$(PURPOSES),)
ifneq ($(shell conf/install-packages $(PURPOSES) >&2 || echo failed),)
$(error the packages of conf/packages could not be installed)
endif
endif

# Who types `make run` waits for it; a -j on the command line wins.
ifneq ($(filter run demo,$(MAKECMDGOALS)),)
MAKEFLAGS += -j$(shell nproc)
ifeq ($(wildcard build/kedged),)
$(info The first build takes about a minute.)
endif
endif

# ---- where to, and how ----

comma   := ,
empty   :=
space   := $(empty) $(empty)
VARIANT := $(subst $(space),-,$(strip $(if $(findstring clang,$(CC)),clang) \
             $(subst $(comma),-,$(SANITIZE)) $(if $(DEBUG),debug)))
B       := build$(if $(VARIANT),/$(VARIANT))
O       := $(B)/obj
Q       := $(if $(V),,@)

# DPDK says for which machines it was built; the rest of Kedge is built for the same ones.
DPDK_FLAGS  := $(shell pkg-config --cflags libdpdk 2>/dev/null)
DPDK_CFLAGS := $(patsubst -I%,-isystem %,$(filter-out -march=%,$(DPDK_FLAGS)))
DPDK_LIBS   := $(shell pkg-config --libs libdpdk 2>/dev/null)
ifeq ($(DPDK_FLAGS),)
ifneq ($(filter-out help clean deps uninstall,$(or $(MAKECMDGOALS),all)),)
$(error pkg-config finds no libdpdk: run `make deps` first)
endif
endif
XEN         ?= $(shell pkg-config --exists xenevtchn xengnttab 2>/dev/null && echo 1)
XEN_LIBS    := $(if $(XEN),$(shell pkg-config --libs xenevtchn xengnttab))
URCU_LIBS   := -lurcu-qsbr -lurcu-cds -lurcu-common

# DPDK's rings with C11's orders, which ThreadSanitizer knows; elsewhere as DPDK was built.
CPPFLAGS := -I. -D_GNU_SOURCE= -DKEDGE_VERSION='"$(VERSION)"' \
            $(if $(findstring thread,$(SANITIZE)),-DRTE_USE_C11_MEM_MODEL) $(if $(XEN),-DNS_WITH_XEN)
CFLAGS   ?= $(if $(DEBUG)$(SANITIZE),-O1,-O3) -g
FLAGS    := -std=gnu11 -Wall -Wextra -Wstrict-prototypes -Wmissing-prototypes -Wvla \
            $(filter -march=%,$(DPDK_FLAGS)) -pthread -fno-omit-frame-pointer \
            $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(if $(DEBUG),-DKEDGE_DEBUG) $(if $(WERROR),-Werror)
LDLIBS   := -Wl,--as-needed $(URCU_LIBS) $(XEN_LIBS) -lsqlite3 $(DPDK_LIBS) -lm

# ---- what ----

FOLDERS  := dataplane flows arp cli nameserv
LIBS     := $(FOLDERS:%=$(B)/lib%.a)
SOURCES  := $(foreach folder,$(FOLDERS) docs/examples bench tests/unit tests/fuzz,$(wildcard $(folder)/*.c))
# What other programs are made with: the headers, and a library that needs nothing but libc.
CLIENT_HEADERS := $(patsubst %,nameserv/%.h,client ring_client ring wire)
CLIENT         := $(B)/libkedge-client.a
HEADERS  := $(foreach folder,$(FOLDERS),$(wildcard $(folder)/*.h))

PROGRAMS := $(patsubst dataplane/main.c,$(B)/kedged,$(wildcard dataplane/main.c)) \
            $(patsubst cli/main.c,$(B)/kedgectl,$(wildcard cli/main.c))
EXAMPLES := $(patsubst docs/examples/%.c,$(B)/examples/%,$(wildcard docs/examples/*.c))
# Those that are loaded with LD_PRELOAD.
PLUGINS  := $(wildcard bench/generator.c bench/xen_stub.c)
BENCHES  := $(patsubst bench/%.c,$(B)/bench/%,$(filter-out $(PLUGINS),$(wildcard bench/*.c))) \
            $(PLUGINS:bench/%.c=$(B)/bench/%.so)
UNITS    := $(patsubst tests/unit/%.c,$(B)/tests/%,$(wildcard tests/unit/test_*.c))
REPLAYS  := $(patsubst tests/fuzz/%.c,$(B)/tests/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZERS  := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
# Those that start threads are the ones to run under ThreadSanitizer.
THREADED := $(patsubst tests/unit/%.c,$(B)/tests/%,$(shell grep -ls pthread_create tests/unit/test_*.c))

.DEFAULT_GOAL := all
all: $(PROGRAMS) $(LIBS) $(CLIENT) $(EXAMPLES) ## build everything that is installed (the default)
tests: $(UNITS) $(REPLAYS) ## build the tests only
benches: $(BENCHES) ## build the benchmark programs only

# ---- rules ----

# Objects are made anew when the flags change: the file is touched only if its content is another.
$(B)/flags: always
	@mkdir -p $(@D)
	@printf '%s\n' "$(subst ",,$(CC) $(CPPFLAGS) $(CFLAGS) $(FLAGS))" | cmp -s - $@ || \
	 printf '%s\n' "$(subst ",,$(CC) $(CPPFLAGS) $(CFLAGS) $(FLAGS))" > $@

# The folders that may include DPDK's headers.
$(O)/arp/%.o $(O)/flows/%.o $(O)/dataplane/%.o $(O)/bench/%.o $(O)/tests/%.o: DPDK := $(DPDK_CFLAGS)
$(PLUGINS:%.c=$(O)/%.o): EXTRA := -fPIC
# libFuzzer gives no header for its entry point.
$(O)/tests/fuzz/%.o: EXTRA := -Wno-missing-prototypes

$(O)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CC      $<")
	$(Q)$(CC) $(CPPFLAGS) $(DPDK) $(FLAGS) $(EXTRA) $(CFLAGS) -MMD -MP -c -o $@ $<

# Each folder's library: all its objects but that of the program.
$(foreach folder,$(FOLDERS),$(eval $(B)/lib$(folder).a: \
    $(patsubst %.c,$(O)/%.o,$(filter-out %/main.c,$(wildcard $(folder)/*.c)))))
$(CLIENT): $(CLIENT_HEADERS:%.h=$(O)/%.o)
$(B)/lib%.a: $(B)/flags
	@$(if $(V),,echo "  AR      $@")
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

define link
	@mkdir -p $(@D)
	@$(if $(V),,echo "  LINK    $@")
	$(Q)$(CC) $(FLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(1)
endef

$(B)/kedged: $(O)/dataplane/main.o $(LIBS)
	$(call link,$(LDLIBS))
$(B)/kedgectl: $(O)/cli/main.o $(B)/libcli.a $(B)/libnameserv.a
	$(call link,-Wl$(comma)--as-needed $(URCU_LIBS))
$(B)/examples/%: $(O)/docs/examples/%.o $(CLIENT)
	$(call link)
$(B)/bench/generator.so: $(O)/bench/generator.o
	$(call link,-shared -Wl$(comma)--as-needed $(DPDK_LIBS) -ldl)
$(B)/bench/xen_stub.so: $(O)/bench/xen_stub.o
	$(call link,-shared -ldl)
# A daemon that is wrong on purpose, see there.
$(B)/bench/in_place: $(O)/bench/in_place.o $(O)/dataplane/main.o $(LIBS)
	$(call link,-Wl$(comma)--wrap=ns_anchors_publish $(LDLIBS))
$(B)/bench/%: $(O)/bench/%.o $(LIBS)
	$(call link,$(LDLIBS))
# test_x tests x.c: it is linked with the folder of x.c and those below, any other test with all.
.SECONDEXPANSION:
below_nameserv := nameserv
below_cli      := cli nameserv
below_arp      := arp nameserv
below_flows    := flows arp nameserv
folder_of       = $(firstword $(foreach folder,$(FOLDERS),$(if $(wildcard $(folder)/$(1).c),$(folder))))
libs_of         = $(or $(patsubst %,$(B)/lib%.a,$(below_$(call folder_of,$(1)))),$(LIBS))
$(B)/tests/test_%: $(O)/tests/unit/test_%.o $$(call libs_of,$$*)
	$(call link,$(LDLIBS) -lrte_net_ring -lcmocka)
# Allocations of the name service fail one after the other there.
$(B)/tests/test_memory: LDFLAGS += $(foreach f,malloc calloc realloc aligned_alloc strdup strndup asprintf \
                                     tsearch,-Wl$(comma)--wrap=$(f))
$(B)/tests/fuzz_%: $(O)/tests/fuzz/fuzz_%.o $(O)/tests/fuzz/replay.o $(LIBS)
	$(call link,$(LDLIBS))
$(B)/fuzz/fuzz_%: $(O)/tests/fuzz/fuzz_%.o $(LIBS)
	$(call link,-fsanitize=fuzzer $(LDLIBS))

-include $(patsubst %.c,$(O)/%.d,$(SOURCES) tests/fuzz/replay.c)
.SECONDARY:
.DELETE_ON_ERROR:

# ---- check ----

RUN_TESTS := KEDGE_BUILD=$(B) KEDGE_CC='$(subst ','\'',$(CC) $(CPPFLAGS) $(FLAGS))' \
             KEDGE_DPDK_CFLAGS='$(DPDK_CFLAGS)' tests/run

deps: ## install the Debian packages that are missing (conf/packages)
	@:
test: all tests $(B)/bench/generator.so ## every test but the long ones; ends with 'N passed, N failed'
	$(Q)$(RUN_TESTS) headers includes $(UNITS) $(REPLAYS) e2e
unit: tests ## the unit tests and replayed fuzz corpora only
	$(Q)$(RUN_TESTS) $(UNITS) $(REPLAYS)
e2e: all $(B)/bench/generator.so ## the end-to-end tests only
	$(Q)$(RUN_TESTS) e2e
test-kill: all ## kill kedged under load 200 times: nothing that was acknowledged may be lost
	$(Q)KEDGE_KILL_ROUNDS=200 KEDGE_PYTEST='-k test_kill' $(RUN_TESTS) e2e
test-asan: ## the unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
	$(Q)$(MAKE) --no-print-directory SANITIZE=address,undefined unit
test-tsan: ## the unit tests that start threads under ThreadSanitizer
	$(Q)$(MAKE) --no-print-directory SANITIZE=thread threaded
threaded: $(THREADED)
	$(Q)$(RUN_TESTS) $(THREADED)
fuzz: ## fuzz for FUZZ_SECONDS=60 each, with clang's libFuzzer; findings go to build/findings
	$(Q)$(MAKE) --no-print-directory CC=clang SANITIZE=address,fuzzer-no-link fuzzers
fuzzers: $(FUZZERS)
	@mkdir -p build/findings
	$(Q)for fuzzer in $(FUZZERS); do \
		name=$${fuzzer##*/fuzz_}; mkdir -p build/corpus/$$name; echo "fuzzing $$name"; \
		$$fuzzer -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
			-artifact_prefix=build/findings/$$name- \
			build/corpus/$$name tests/fuzz/corpus/$$name || exit 1; \
	done

model: ## explore the lock-free parts in every order of steps and stores, with spin; MODEL=--long for more
	$(Q)tests/model/run $(MODEL)

TIDY_FLAGS = -I. -D_GNU_SOURCE= -DKEDGE_VERSION=\"$(VERSION)\" -std=gnu11 $(DPDK_CFLAGS) \
             $(filter -march=%,$(DPDK_FLAGS))
CLANG_FORMAT := $(firstword $(wildcard /usr/bin/clang-format-14) clang-format)
FORMATTED     = $(wildcard */*.[ch] tests/*/*.[ch] docs/examples/*.c)
format: ## format all C sources in place
	$(Q)$(CLANG_FORMAT) -i $(FORMATTED)
check-format: ## fail if `make format` would change something
	$(Q)$(CLANG_FORMAT) --dry-run -Werror $(FORMATTED)
lint: ## clang-tidy, and that nobody includes upwards
	$(Q)tests/lint-includes
	$(Q)printf '%s\n' $(SOURCES) | xargs -P2 -n4 sh -c 'clang-tidy --quiet --warnings-as-errors="*" "$$@" \
		-- $(TIDY_FLAGS) 2>/dev/null' sh # stderr only counts

# ---- use ----

run: all ## a lab of network namespaces on this machine with kedged in it, live
	$(Q)conf/run
demo: all ## the same story unattended, with a short report
	$(Q)conf/demo
bench: all benches ## all benchmarks; results go to bench/results (first: make hugepages HUGEPAGES=1024)
	$(Q)bench/run
bench-push: all benches ## forwarding beside l3fwd, and from a change to the wire, by number of dependents
	$(Q)bench/run forward push scale
bench-names: all benches ## the name service beside Debian's oxenstored and xenstored
	$(Q)bench/run names
hugepages: ## reserve HUGEPAGES=512 MiB of 2 MiB pages
	$(Q)conf/hugepages $(HUGEPAGES)

DESTINATION := $(DESTDIR)$(PREFIX)
SYSCONFDIR  ?= $(if $(filter /usr,$(PREFIX)),/etc,$(PREFIX)/etc)
MAN_PAGES   := $(notdir $(wildcard docs/man/*.[78]))
SUBSTITUTE  := sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g' -e 's|@VERSION@|$(VERSION)|g'
install: all ## programs, client library, man pages, completion, systemd unit; DESTDIR, PREFIX=/usr/local
	$(Q)$(MAKE) --no-print-directory install-built
install-built:
	install -D -m 755 $(B)/kedged $(DESTINATION)/sbin/kedged
	install -D -m 755 $(B)/kedgectl $(DESTINATION)/bin/kedgectl
	install -d $(DESTINATION)/share/man/man7 $(DESTINATION)/share/man/man8 $(DESTINATION)/lib/systemd/system
	for page in $(MAN_PAGES); do \
		sed 's|/etc/kedge|$(SYSCONFDIR)/kedge|g' docs/man/$$page > $(DESTINATION)/share/man/man$${page##*.}/$$page || exit 1; \
	done
	install -D -m 644 conf/kedgectl.bash $(DESTINATION)/share/bash-completion/completions/kedgectl
	install -D -m 644 conf/example.conf $(DESTDIR)$(SYSCONFDIR)/kedge/example.conf
	$(SUBSTITUTE) conf/kedged.service > $(DESTINATION)/lib/systemd/system/kedged.service
	install -D -m 644 -t $(DESTINATION)/include/kedge/nameserv $(CLIENT_HEADERS)
	install -D -m 644 -t $(DESTINATION)/lib $(CLIENT)
	install -d $(DESTINATION)/lib/pkgconfig
	$(SUBSTITUTE) conf/kedge-client.pc > $(DESTINATION)/lib/pkgconfig/kedge-client.pc
uninstall: ## remove what install put there; your own configuration stays
	rm -f $(DESTINATION)/sbin/kedged $(DESTINATION)/bin/kedgectl \
		$(foreach page,$(MAN_PAGES),$(DESTINATION)/share/man/man$(subst .,,$(suffix $(page)))/$(page)) \
		$(DESTINATION)/share/bash-completion/completions/kedgectl \
		$(DESTINATION)/lib/systemd/system/kedged.service $(DESTDIR)$(SYSCONFDIR)/kedge/example.conf \
		$(DESTINATION)/lib/$(notdir $(CLIENT)) $(DESTINATION)/lib/pkgconfig/kedge-client.pc
	rm -rf $(DESTINATION)/include/kedge
	-rmdir $(DESTDIR)$(SYSCONFDIR)/kedge

help: ## print this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@sed -n 's/^#   \(CC=.*\)/\n  \1/p' Makefile

clean: ## remove build/
	$(Q)rm -rf build

always:
# Every target that is explained, and those that only others use.
.PHONY: $(shell sed -n 's/^\([a-z][a-z0-9-]*\):.*## .*/\1/p' Makefile) always threaded fuzzers install-built
