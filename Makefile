# INSI: everything is built, run and tested from here. `make help` lists the targets.
#
# Users and what they use: procs/{raft,storage,cacheq,events,gateway} -> procs/skel -> ipc, shm ->
# base; the three state workers also procs/worker, raft also procs/raft/core (-> base alone);
# insid-supervisor -> base, shm/board; insic -> base.

BUILD   ?= build$(if $(SAN),-san)
PREFIX  ?= /usr/local
CC      ?= gcc
ifeq ($(origin CC),default)
CC      := gcc
endif
Q       := $(if $(V),,@)
say      = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

# ---- dependencies: Debian packages ------------------------------------------------------------
DEPS_BUILD := gcc make pkg-config libc6-dev libh2o-evloop-dev libnng-dev liblmdb-dev \
	libmsgpack-dev libwslay-dev libyaml-dev libssl-dev libjansson-dev libisal-dev libcurl4-openssl-dev
DEPS_TEST  := libcriterion-dev python3 python3-pytest python3-pytest-xdist python3-pytest-timeout \
	python3-yaml python3-websockets curl iproute2 nftables e2fsprogs procps lmdb-utils openssl
DEPS_BROWSER := chromium
DEPS_CHECK := clang-format clang-tidy cppcheck libasan8 libubsan1
DEPS_BENCH := wrk redis-server nats-server

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

# ---- sources ----------------------------------------------------------------------------------
src       = $(sort $(wildcard $(1)/*.c))
obj       = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

BASE_SRC    := $(call src,base)
IPC_SRC     := $(call src,ipc)
SHM_SRC     := $(call src,shm)
SKEL_SRC    := $(call src,procs/skel)
CORE_SRC    := $(call src,procs/raft/core)
RAFT_SRC    := $(call src,procs/raft) $(foreach part,wal peers snapshots,$(call src,procs/raft/$(part)))
STORAGE_SRC := $(call src,procs/storage)
CACHEQ_SRC  := $(call src,procs/cacheq)
EVENTS_SRC  := $(call src,procs/events)
GATEWAY_SRC := $(call src,procs/gateway) \
	$(foreach part,http calls writes events,$(call src,procs/gateway/$(part)))
INSID_SRC   := $(call src,insid-supervisor)
INSIC_SRC   := $(call src,insic)
WORKER_SRC  := $(call src,procs/worker)

LIB_BASE    := $(BUILD)/lib/libbase.a
LIB_IPC     := $(BUILD)/lib/libipc.a
LIB_SHM     := $(BUILD)/lib/libshm.a
LIB_SKEL    := $(BUILD)/lib/libskel.a
LIB_WORKER  := $(BUILD)/lib/libworker.a
LIB_CORE    := $(BUILD)/lib/libraftcore.a

BIN      := $(BUILD)/insid $(BUILD)/insic
LIBEXEC  := $(BUILD)/libexec
WORKERS  := $(addprefix $(LIBEXEC)/insi-,raft storage cacheq events gateway)

# ---- what is linked: our libraries, users before used, and the system's -----------------------
OWN_INSID   := $(LIB_BASE)
OWN_INSIC   := $(LIB_BASE)
OWN_LINK    := $(LIB_IPC) $(LIB_BASE)
OWN_GATEWAY := $(LIB_SKEL) $(LIB_SHM) $(OWN_LINK)
OWN_RAFT    := $(LIB_CORE) $(OWN_GATEWAY)
OWN_STATE   := $(LIB_WORKER) $(OWN_GATEWAY)
SYS_BASE    := -lyaml -lcrypto -lisal -lpthread
SYS_INSIC   := -lcurl -ljansson $(SYS_BASE)
SYS_LINK    := -lnng -lmsgpackc $(SYS_BASE)
SYS_STATE   := -llmdb $(SYS_LINK)
SYS_RAFT    := -lssl $(SYS_STATE)
SYS_GATEWAY := -lh2o-evloop -lssl -lwslay -ljansson $(SYS_STATE)

.DEFAULT_GOAL := all

.PHONY: all help deps deps-build deps-check deps-bench deps-bench-packages run install clean FORCE
.DELETE_ON_ERROR:
.SUFFIXES:

all: $(BIN) $(WORKERS)

help:
	@sed -n 's/^## \{0,1\}//p' Makefile tests/tests.mk

## make               build/insid, build/insic and the workers in build/libexec
##                    BUILD=folder  SAN=1 (AddressSanitizer, UBSan)  V=1 (print commands)
##                    CC=  CPPFLAGS=  CFLAGS=  LDFLAGS=
## make deps          install what is missing with apt-get (as root; else says what is missing)

# ---- dependencies ------------------------------------------------------------------------------
# missing(packages): those that dpkg does not list as installed
missing = for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | \
	grep -q 'ok installed' || printf '%s ' $$p; done
# Nothing of what is installed here is to run as a service of the machine.
no_services = policy=/usr/sbin/policy-rc.d; [ -e $$policy ] || { trap "rm -f $$policy" EXIT INT TERM; \
	printf '\#!/bin/sh\nexit 101\n' >$$policy; chmod 0755 $$policy; };
install_missing = $(Q)list=$$($(call missing,$(1))); [ -z "$$list" ] && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing: $$list"; $(no_services) \
	    { apt-get install -y -qq --no-install-recommends $$list >/dev/null 2>&1 || \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	      apt-get install -y -qq --no-install-recommends $$list >/dev/null; }; } ; \
	else echo "missing Debian packages, install them with:"; \
	    echo "  sudo apt-get install $$list"; exit 1; fi

# Without root the browser is no condition: its test is skipped, with a line that says so.
is_root := $(filter 0,$(shell id -u))
deps:
	$(call install_missing,$(DEPS_BUILD) $(DEPS_TEST) $(if $(is_root),$(DEPS_BROWSER)))
deps-build:
	$(call install_missing,$(DEPS_BUILD))
deps-check:
	$(call install_missing,$(DEPS_BUILD) $(DEPS_TEST) $(DEPS_CHECK))
# The servers that INSI is compared with are not to start with the machine, either, when it is us
# who installed them.
deps-bench:
	$(Q)servers=$$($(call missing,redis-server nats-server)); \
	$(MAKE) --no-print-directory deps-bench-packages || exit 1; [ -z "$$servers" ] || \
	! command -v systemctl >/dev/null || systemctl --quiet disable $$servers
deps-bench-packages:
	$(call install_missing,$(DEPS_BUILD) $(DEPS_BENCH))

# ---- compile and link -------------------------------------------------------------------------
# A stamp is written anew when what it holds has changed, and only then: objects depend on the
# flags, libraries and programs on the list of sources, so that a source that was deleted goes.
SOURCES  := $(sort $(wildcard $(addsuffix /*.c,base ipc shm procs/* procs/*/* insid-supervisor \
	insic tests/* tests/*/*)))
RECIPES  := Makefile tests/tests.mk
quoted = '$(subst ','\'',$(1))'
stamp = @mkdir -p $(@D); echo $(quoted) | cmp -s - $@ || echo $(quoted) >$@
$(BUILD)/flags: FORCE
	$(call stamp,$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL))
$(BUILD)/sources: FORCE
	$(call stamp,$(LDFLAGS_ALL) $(SOURCES))

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# library(target, sources)
define library
$(1): $$(call obj,$(2)) $(RECIPES) $(BUILD)/sources
	@mkdir -p $$(@D)
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@ && $$(AR) rcsD $$@ $$(filter %.o,$$^)
endef
$(eval $(call library,$(LIB_BASE),$(BASE_SRC)))
$(eval $(call library,$(LIB_IPC),$(IPC_SRC)))
$(eval $(call library,$(LIB_SHM),$(SHM_SRC)))
$(eval $(call library,$(LIB_SKEL),$(SKEL_SRC)))
$(eval $(call library,$(LIB_WORKER),$(WORKER_SRC)))
$(eval $(call library,$(LIB_CORE),$(CORE_SRC)))

# program(target, sources, our libraries, the system's)
define program
$(1): $$(call obj,$(2)) $(3) $(RECIPES) $(BUILD)/sources
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(CFLAGS_ALL) $$(LDFLAGS_ALL) -o $$@ $$(filter %.o,$$^) $(3) $(4)
endef
INSID_ALL := $(INSID_SRC) shm/board.c
$(eval $(call program,$(BUILD)/insid,$(INSID_ALL),$(OWN_INSID),$(SYS_BASE)))
$(eval $(call program,$(BUILD)/insic,$(INSIC_SRC),$(OWN_INSIC),$(SYS_INSIC)))
$(eval $(call program,$(LIBEXEC)/insi-raft,$(RAFT_SRC),$(OWN_RAFT),$(SYS_RAFT)))
$(eval $(call program,$(LIBEXEC)/insi-storage,$(STORAGE_SRC),$(OWN_STATE),$(SYS_STATE)))
$(eval $(call program,$(LIBEXEC)/insi-cacheq,$(CACHEQ_SRC),$(OWN_STATE),$(SYS_STATE)))
$(eval $(call program,$(LIBEXEC)/insi-events,$(EVENTS_SRC),$(OWN_STATE),$(SYS_STATE)))
$(eval $(call program,$(LIBEXEC)/insi-gateway,$(GATEWAY_SRC),$(OWN_GATEWAY),$(SYS_GATEWAY)))

include tests/tests.mk
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# ---- run, install, clean ----------------------------------------------------------------------
## make run           dependencies, build, and three local nodes in a scratch folder, in the foreground
run: deps-build
	$(Q)$(MAKE) --no-print-directory all
	$(Q)BUILD=$(abspath $(BUILD)) sh tests/run-local.sh cluster.yaml.example

## make install       programs and documentation (DESTDIR= PREFIX=/usr/local)
DOC := $(DESTDIR)$(PREFIX)/share/doc/insi
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/insi $(DOC)/docs
	install -m 0755 $(BIN) $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(WORKERS) $(DESTDIR)$(PREFIX)/libexec/insi
	install -m 0644 README.md cluster.yaml.example $(DOC)
	install -m 0644 docs/*.md docs/*.html $(DOC)/docs

## make clean         remove what was built (BUILD=, and its sanitized twin)
clean:
	rm -rf $(BUILD) $(BUILD)-san
