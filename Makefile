# SPDX-License-Identifier: BSD-3-Clause
#
# Kedge. `make help` explains the targets.
#
# Everything that is built goes to build/, and to build/VARIANT/ with another compiler, a sanitizer
# or DEBUG=1. Sources are found by folder: each of the folders of the house is one static library,
# and a main.c in it is a program. A new file needs no change here.
#
#   CC=clang  SANITIZE=address,undefined  SANITIZE=thread  DEBUG=1  WERROR=1  V=1 (show commands)

VERSION := 0.1.0
PREFIX  ?= /usr/local
HUGEPAGES ?= 512
FUZZ_SECONDS ?= 60

ifeq ($(origin CC),default)
CC := gcc
endif

# These install the packages that are missing, before anything below looks for them.
ifneq ($(filter deps run demo test unit e2e test-asan test-tsan fuzz model bench%,$(MAKECMDGOALS)),)
ifneq ($(shell conf/install-packages >&2 || echo failed),)
$(error the packages of conf/packages could not be installed)
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
URCU_LIBS   := -lurcu-qsbr -lurcu-cds -lurcu-common

CPPFLAGS := -I. -D_GNU_SOURCE= -DKEDGE_VERSION='"$(VERSION)"'
CFLAGS   ?= $(if $(DEBUG)$(SANITIZE),-O1,-O3) -g
FLAGS    := -std=gnu11 -Wall -Wextra -Wstrict-prototypes -Wmissing-prototypes -Wvla \
            $(filter -march=%,$(DPDK_FLAGS)) -pthread -fno-omit-frame-pointer \
            $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(if $(DEBUG),-DKEDGE_DEBUG) $(if $(WERROR),-Werror)
LDLIBS   := -Wl,--as-needed $(URCU_LIBS) $(DPDK_LIBS) -lm

# ---- what ----

FOLDERS  := dataplane flows arp cli nameserv
LIBS     := $(FOLDERS:%=$(B)/lib%.a)
SOURCES  := $(foreach folder,$(FOLDERS) docs/examples bench tests/unit tests/fuzz,$(wildcard $(folder)/*.c))
HEADERS  := $(foreach folder,$(FOLDERS),$(wildcard $(folder)/*.h))

PROGRAMS := $(patsubst dataplane/main.c,$(B)/kedged,$(wildcard dataplane/main.c)) \
            $(patsubst cli/main.c,$(B)/kedgectl,$(wildcard cli/main.c))
EXAMPLES := $(patsubst docs/examples/%.c,$(B)/examples/%,$(wildcard docs/examples/*.c))
BENCHES  := $(patsubst bench/%.c,$(B)/bench/%,$(filter-out bench/generator.c,$(wildcard bench/*.c))) \
            $(patsubst bench/%.c,$(B)/bench/%.so,$(wildcard bench/generator.c))
UNITS    := $(patsubst tests/unit/%.c,$(B)/tests/%,$(wildcard tests/unit/test_*.c))
REPLAYS  := $(patsubst tests/fuzz/%.c,$(B)/tests/%,$(wildcard tests/fuzz/fuzz_*.c))
# Those that start threads are the ones to run under ThreadSanitizer.
THREADED := $(patsubst tests/unit/%.c,$(B)/tests/%,$(shell grep -ls pthread_create tests/unit/test_*.c))

.DEFAULT_GOAL := all
all: $(PROGRAMS) $(LIBS) $(EXAMPLES) ## build everything that is installed (the default)
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
$(O)/bench/generator.o: EXTRA := -fPIC
# libFuzzer gives no header for its entry point.
$(O)/tests/fuzz/%.o: EXTRA := -Wno-missing-prototypes

$(O)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CC      $<")
	$(Q)$(CC) $(CPPFLAGS) $(DPDK) $(FLAGS) $(EXTRA) $(CFLAGS) -MMD -MP -c -o $@ $<

# Each folder's library: all its objects but that of the program.
$(foreach folder,$(FOLDERS),$(eval $(B)/lib$(folder).a: \
    $(patsubst %.c,$(O)/%.o,$(filter-out %/main.c,$(wildcard $(folder)/*.c)))))
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
$(B)/examples/%: $(O)/docs/examples/%.o $(B)/libnameserv.a
	$(call link,-Wl$(comma)--as-needed $(URCU_LIBS))
$(B)/bench/generator.so: $(O)/bench/generator.o
	$(call link,-shared -Wl$(comma)--as-needed $(DPDK_LIBS) -ldl)
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
	$(call link,$(LDLIBS) -lcmocka)
$(B)/tests/fuzz_%: $(O)/tests/fuzz/fuzz_%.o $(O)/tests/fuzz/replay.o $(LIBS)
	$(call link,$(LDLIBS))

-include $(patsubst %.c,$(O)/%.d,$(SOURCES) tests/fuzz/replay.c)
.SECONDARY:
.DELETE_ON_ERROR:

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@sed -n 's/^#   \(CC=.*\)/\n  \1/p' Makefile

clean: ## remove build/
	$(Q)rm -rf build

always:
.PHONY: all tests benches help clean always
