# INSI: everything is built, run and tested from here. `make help` lists the targets.
#
#   base <- ipc, shm <- procs/*      insid-supervisor <- base, shm/board.h      insic <- base
#
# Variables: BUILD=folder  SAN=1 (AddressSanitizer + UBSan)  DESTDIR=  PREFIX=/usr/local  V=1

BUILD   ?= build$(if $(SAN),-san)
PREFIX  ?= /usr/local
CC      ?= gcc
ifeq ($(origin CC),default)
CC      := gcc
endif
Q       := $(if $(V),,@)
say      = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

# ---- dependencies: Debian packages ------------------------------------------------------------
DEPS_BUILD := gcc make pkg-config libc6-dev libh2o-evloop-dev libnng-dev liblmdb-dev libmsgpack-dev \
	libwslay-dev libyaml-dev libssl-dev libjansson-dev libisal-dev libcurl4-openssl-dev
DEPS_TEST  := libcriterion-dev python3 python3-pytest python3-pytest-xdist python3-pytest-timeout \
	python3-yaml curl iproute2 procps lmdb-utils openssl
DEPS_CHECK := clang-format clang-tidy cppcheck libasan8 libubsan1
DEPS_BENCH := wrk

comma := ,

# ---- flags ------------------------------------------------------------------------------------
WARN := -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wwrite-strings -Wundef -Wvla -Wformat=2 -Wimplicit-fallthrough
HARD := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE \
	-ftrivial-auto-var-init=zero
OPT  := -O2 -g -fno-omit-frame-pointer -fno-strict-aliasing $(if $(SAN),,-D_FORTIFY_SOURCE=2)
SANF := $(if $(SAN),-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined)
# h2o's pkg-config file names no flags; without this its headers ask for libuv.
CPPFLAGS_ALL := -std=gnu17 -D_GNU_SOURCE -DH2O_USE_LIBUV=0 -I. $(CPPFLAGS)
CFLAGS_ALL   := $(OPT) $(HARD) $(WARN) $(SANF) $(CFLAGS)
LDFLAGS_ALL  := -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SANF) $(LDFLAGS)

LIBS_BASE := -lyaml -lcrypto -lisal -lpthread
LIBS_IPC  := -lnng -lmsgpackc
LIBS_SHM  := -llmdb

# ---- sources ----------------------------------------------------------------------------------
src       = $(sort $(wildcard $(1)/*.c))
obj       = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

BASE_SRC    := $(call src,base)
IPC_SRC     := $(call src,ipc)
SHM_SRC     := $(call src,shm)
SKEL_SRC    := $(call src,procs/skel)
CORE_SRC    := $(call src,procs/raft/core)
RAFT_SRC    := $(call src,procs/raft)
STORAGE_SRC := $(call src,procs/storage)
CACHEQ_SRC  := $(call src,procs/cacheq)
EVENTS_SRC  := $(call src,procs/events)
GATEWAY_SRC := $(call src,procs/gateway)
INSID_SRC   := $(call src,insid-supervisor)
INSIC_SRC   := $(call src,insic)
WORKER_SRC  := $(call src,procs/worker)

LIB_BASE := $(BUILD)/lib/libbase.a
LIB_IPC  := $(BUILD)/lib/libipc.a
LIB_SHM  := $(BUILD)/lib/libshm.a
LIB_SKEL := $(BUILD)/lib/libskel.a
LIB_WORKER := $(BUILD)/lib/libworker.a
LIB_CORE := $(BUILD)/lib/libraftcore.a

BIN      := $(BUILD)/insid $(BUILD)/insic
WORKERS  := $(addprefix $(BUILD)/libexec/insi-,raft storage cacheq events gateway)

.DEFAULT_GOAL := all

.PHONY: all help deps deps-build deps-check deps-bench run test unit sim system check format-check format tidy cppcheck san \
	fakes bench install clean
.DELETE_ON_ERROR:
.SUFFIXES:

all: $(BIN) $(WORKERS)

help:
	@sed -n 's/^## //p' Makefile tests/tests.mk

## make               build/insid, build/insic and the workers in build/libexec
## make deps          install what is missing with apt-get (needs root; says what is missing otherwise)

# ---- dependencies ------------------------------------------------------------------------------
# missing(packages): those that dpkg does not list as installed
missing = for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || \
	printf '%s ' $$p; done
install_missing = $(Q)list=$$($(call missing,$(1))); [ -z "$$list" ] && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing: $$list"; \
	    { apt-get install -y -qq --no-install-recommends $$list >/dev/null 2>&1 || \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	      apt-get install -y -qq --no-install-recommends $$list >/dev/null; }; } ; \
	else echo "missing Debian packages, install them with:"; \
	    echo "  sudo apt-get install $$list"; exit 1; fi

deps:
	$(call install_missing,$(DEPS_BUILD) $(DEPS_TEST))
deps-build:
	$(call install_missing,$(DEPS_BUILD))
deps-check:
	$(call install_missing,$(DEPS_BUILD) $(DEPS_TEST) $(DEPS_CHECK))
deps-bench:
	$(call install_missing,$(DEPS_BUILD) $(DEPS_BENCH))

# ---- compile and link -------------------------------------------------------------------------
$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

define library
$(1): $$(call obj,$(2))
	@mkdir -p $$(@D)
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@ && $$(AR) rcsD $$@ $$^
endef
$(eval $(call library,$(LIB_BASE),$(BASE_SRC)))
$(eval $(call library,$(LIB_IPC),$(IPC_SRC)))
$(eval $(call library,$(LIB_SHM),$(SHM_SRC)))
$(eval $(call library,$(LIB_SKEL),$(SKEL_SRC)))
$(eval $(call library,$(LIB_WORKER),$(WORKER_SRC)))
$(eval $(call library,$(LIB_CORE),$(CORE_SRC)))

# program(target, sources, our libraries in link order, system libraries)
define program
$(1): $$(call obj,$(2)) $(3)
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(CFLAGS_ALL) $$(LDFLAGS_ALL) -o $$@ $$(call obj,$(2)) $(3) $(4)
endef
LIBS_STATE := $(LIB_WORKER) $(LIB_SKEL) $(LIB_SHM) $(LIB_IPC) $(LIB_BASE)
SYS_STATE  := $(LIBS_SHM) $(LIBS_IPC) $(LIBS_BASE)
$(eval $(call program,$(BUILD)/insid,$(INSID_SRC) shm/board.c,$(LIB_BASE),$(LIBS_BASE)))
$(eval $(call program,$(BUILD)/insic,$(INSIC_SRC),$(LIB_BASE),-lcurl -ljansson $(LIBS_BASE)))
$(eval $(call program,$(BUILD)/libexec/insi-raft,$(RAFT_SRC),$(LIB_CORE) $(LIB_SKEL) $(LIB_SHM) $(LIB_IPC) $(LIB_BASE),-lssl $(SYS_STATE)))
$(eval $(call program,$(BUILD)/libexec/insi-storage,$(STORAGE_SRC),$(LIBS_STATE),$(SYS_STATE)))
$(eval $(call program,$(BUILD)/libexec/insi-cacheq,$(CACHEQ_SRC),$(LIBS_STATE),$(SYS_STATE)))
$(eval $(call program,$(BUILD)/libexec/insi-events,$(EVENTS_SRC),$(LIBS_STATE),$(SYS_STATE)))
$(eval $(call program,$(BUILD)/libexec/insi-gateway,$(GATEWAY_SRC),$(LIB_SKEL) $(LIB_SHM) $(LIB_IPC) $(LIB_BASE),-lh2o-evloop -lssl -lwslay -ljansson $(SYS_STATE)))

# ---- programs that tests start --------------------------------------------------------------------
# Beside insid's twin in build/tests, worker programs that behave as they are told.
$(eval $(call program,$(BUILD)/tests/libexec/link-streamer,tests/fake/link_streamer.c,$(LIB_IPC) $(LIB_BASE),$(LIBS_IPC) $(LIBS_BASE)))
$(eval $(call program,$(BUILD)/tests/libexec/fake-worker,tests/fake/worker.c,$(LIB_SKEL) $(LIB_IPC) $(LIB_BASE),$(LIBS_BASE)))
FAKES := $(addprefix $(BUILD)/tests/libexec/,$(notdir $(WORKERS)))
$(FAKES): $(BUILD)/tests/libexec/fake-worker
	$(Q)ln -f $< $@
$(BUILD)/tests/insid: $(BUILD)/insid
	@mkdir -p $(@D)
	$(Q)ln -f $< $@
fakes: $(BUILD)/tests/insid $(FAKES)

# ---- unit tests: one Criterion program per layer, linked with that layer and what is below it -----
# unit(name, sources of the tested layer, our libraries, system libraries)
UNITS :=
define unit
ifneq ($$(wildcard tests/unit/$(1)/*.c),)
UNITS += $(BUILD)/tests/unit-$(1)
$(BUILD)/tests/unit-$(1): $$(call obj,$$(call src,tests/unit/$(1)) $(2)) $(3)
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(CFLAGS_ALL) $$(LDFLAGS_ALL) -o $$@ $$(call obj,$$(call src,tests/unit/$(1)) $(2)) $(3) -lcriterion $(4)
endif
endef
without_main = $(filter-out %_main.c %/main.c,$(1))
$(eval $(call unit,base,,$(LIB_BASE),-ljansson $(LIBS_BASE)))
$(eval $(call unit,ipc,,$(LIB_IPC) $(LIB_BASE),$(LIBS_IPC) $(LIBS_BASE)))
$(BUILD)/tests/unit-ipc: | $(BUILD)/tests/libexec/link-streamer
$(eval $(call unit,shm,,$(LIB_SHM) $(LIB_BASE),$(LIBS_SHM) $(LIBS_BASE)))
$(eval $(call unit,core,,$(LIB_CORE) $(LIB_BASE),$(LIBS_BASE)))
$(BUILD)/tests/unit-raft: | $(BUILD)/libexec/insi-raft
$(eval $(call unit,raft,$(call without_main,$(RAFT_SRC)),$(LIB_CORE) $(LIB_SKEL) $(LIB_SHM) $(LIB_IPC) $(LIB_BASE),-lssl $(SYS_STATE)))
$(BUILD)/tests/unit-storage: | $(addprefix $(BUILD)/libexec/insi-,storage cacheq events)
$(eval $(call unit,storage,$(call without_main,$(STORAGE_SRC)),$(LIBS_STATE),$(SYS_STATE)))
$(eval $(call unit,worker,,$(LIBS_STATE),$(SYS_STATE)))
$(eval $(call unit,gateway,$(call without_main,$(GATEWAY_SRC)),$(LIB_SKEL) $(LIB_SHM) $(LIB_IPC) $(LIB_BASE),-lh2o-evloop -lssl -lwslay -ljansson $(SYS_STATE)))
$(eval $(call unit,supervisor,$(call without_main,$(INSID_SRC)) shm/board.c,$(LIB_BASE),$(LIBS_BASE)))
$(BUILD)/tests/unit-supervisor: | $(FAKES)
$(eval $(call unit,insic,$(call without_main,$(INSIC_SRC)),$(LIB_BASE),-lcurl -ljansson $(LIBS_BASE)))

unit: $(UNITS)
	$(Q)export LSAN_OPTIONS=suppressions=tests/lsan.supp:print_suppressions=0; \
	    set -e; for t in $(UNITS); do echo "== $$t"; $$t; done

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
include tests/tests.mk

# ---- run, install, clean ----------------------------------------------------------------------
## make run           dependencies, build, and a local node in a scratch folder, in the foreground
run: deps-build
	$(Q)$(MAKE) --no-print-directory all
	$(Q)BUILD=$(abspath $(BUILD)) sh tests/run-local.sh cluster.yaml.example

## make install       DESTDIR= PREFIX=/usr/local
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/insi \
	    $(DESTDIR)$(PREFIX)/share/doc/insi
	install -m 0755 $(BIN) $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(WORKERS) $(DESTDIR)$(PREFIX)/libexec/insi
	install -m 0644 README.md cluster.yaml.example docs/*.md $(DESTDIR)$(PREFIX)/share/doc/insi

## make clean         remove what was built
clean:
	rm -rf build build-san
