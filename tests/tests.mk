# tests.mk - what `make test`, `make check` and `make bench` do (included by the top Makefile).

.PHONY: test unit sim core-pure system nemesis check docs-check format format-check tidy \
	cppcheck san leak-is-found fakes bench bench-apply bench-cacheq bench-publish \
	bench-cluster bench-events

C_FILES := $(sort $(shell git ls-files '*.c' '*.h' 2>/dev/null || \
	find . -name '*.[ch]' -not -path './build*'))
PYTEST  := /usr/bin/python3 -m pytest
without_main = $(filter-out %_main.c %/main.c,$(1))

## make test          dependencies, build, all tests
# One after the other: the system tests measure times, and a busy machine would disturb them.
test: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)$(MAKE) --no-print-directory unit
	$(Q)$(MAKE) --no-print-directory sim
	$(Q)$(MAKE) --no-print-directory system

# ---- programs that tests start -----------------------------------------------------------------
# Beside insid's twin in build/tests, worker programs that behave as they are told.
FAKE_LIBEXEC := $(BUILD)/tests/libexec
FAKES := $(addprefix $(FAKE_LIBEXEC)/,$(notdir $(WORKERS)))
fake = $(call program,$(FAKE_LIBEXEC)/$(1),tests/fake/$(subst -,_,$(1)).c,$(2),$(3))
$(eval $(call fake,link-streamer,$(OWN_LINK),$(SYS_LINK)))
$(eval $(call fake,worker,$(OWN_GATEWAY),$(SYS_STATE)))
$(FAKES): $(FAKE_LIBEXEC)/worker
	$(Q)ln -f $< $@
$(BUILD)/tests/insid: $(BUILD)/insid
	@mkdir -p $(@D)
	$(Q)ln -f $< $@
fakes: $(BUILD)/tests/insid $(FAKES)

# ---- unit tests: one Criterion program per layer, linked with that layer and what is below it --
UNITS := $(addprefix $(BUILD)/tests/unit-,\
	base ipc shm core raft worker storage cacheq events gateway supervisor insic)
# unit(name, sources of the tested layer, our libraries, the system's)
unit = $(call program,$(BUILD)/tests/unit-$(1),$(call unit_src,$(1)) $(2),$(3),-lcriterion $(4))
unit_src = $(call src,tests/unit/$(1)) $(call src,tests/unit/lib)
$(eval $(call unit,base,,$(LIB_BASE),-ljansson $(SYS_BASE)))
$(eval $(call unit,ipc,,$(OWN_LINK),$(SYS_LINK)))
$(eval $(call unit,shm,,$(LIB_SHM) $(LIB_BASE),$(SYS_STATE)))
$(eval $(call unit,core,,$(LIB_CORE) $(LIB_BASE),$(SYS_BASE)))
$(eval $(call unit,raft,$(call without_main,$(RAFT_SRC)),$(OWN_RAFT),$(SYS_RAFT)))
$(eval $(call unit,worker,,$(OWN_STATE),$(SYS_STATE)))
$(eval $(call unit,storage,$(call without_main,$(STORAGE_SRC)),$(OWN_STATE),$(SYS_STATE)))
$(eval $(call unit,cacheq,$(call without_main,$(CACHEQ_SRC)),$(OWN_STATE),$(SYS_STATE)))
$(eval $(call unit,events,$(call without_main,$(EVENTS_SRC)),$(OWN_STATE),$(SYS_STATE)))
$(eval $(call unit,gateway,$(call without_main,$(GATEWAY_SRC)),$(OWN_GATEWAY),$(SYS_GATEWAY)))
$(eval $(call unit,supervisor,$(call without_main,$(INSID_ALL)),$(OWN_INSID),$(SYS_BASE)))
$(eval $(call unit,insic,$(call without_main,$(INSIC_SRC)),$(OWN_INSIC),$(SYS_INSIC)))
# the programs that they start
$(BUILD)/tests/unit-ipc: | $(FAKE_LIBEXEC)/link-streamer
$(BUILD)/tests/unit-raft: | $(LIBEXEC)/insi-raft
$(BUILD)/tests/unit-storage: | $(addprefix $(LIBEXEC)/insi-,storage cacheq events)
$(BUILD)/tests/unit-supervisor: | $(FAKES)

## make unit          unit tests, one program per layer (build/tests/unit-shm --filter 'map/*')
unit: $(UNITS)
	$(Q)failed=; for t in $(UNITS); do echo "== $$t"; $$t || failed="$$failed $$t"; done; \
	    [ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

# ---- the Raft simulation: seeds, and the core's deliberate faults, for which it is built anew --
SIM_SRC     := $(call src,tests/sim)
MUTANTS_SRC := $(call src,tests/sim/mutants) $(filter-out tests/sim/main.c,$(SIM_SRC)) $(CORE_SRC)
MUTANTS_OBJ := $(patsubst %.c,$(BUILD)/obj-mutants/%.o,$(MUTANTS_SRC))
$(eval $(call program,$(BUILD)/tests/raft-sim,$(SIM_SRC),$(LIB_CORE) $(LIB_BASE),$(SYS_BASE)))
$(BUILD)/obj-mutants/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$< with faults)
	$(Q)$(CC) $(CPPFLAGS_ALL) -DRAFT_MUTATIONS $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
$(BUILD)/tests/raft-mutants: $(MUTANTS_OBJ) $(LIB_BASE) $(RECIPES) $(BUILD)/sources
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $(MUTANTS_OBJ) $(LIB_BASE) $(SYS_BASE)

# All that the core may use from outside: no clock, chance, file, socket, thread or log among it.
CORE_MAY_USE := raft_.*|rng_(init|next|below)|check_failed|mem_(alloc|resize|grow|copy)|free|\
	mem(move|cpy|set|cmp)|__stack_chk_fail|__(a|ub)san_.*
core-pure: $(LIB_CORE)
	$(Q)! nm -u --format=posix $(LIB_CORE) | awk 'NF > 1 { print $$1 }' | sort -u | \
	    grep -vxE '$(subst $() ,,$(CORE_MAY_USE))' || \
	    { echo "the Raft core must not use these"; exit 1; }

## make sim SEEDS=N   N seeds of the cluster simulation, the scenarios, the core's planted faults
SEEDS ?= 6000
sim: core-pure $(BUILD)/tests/raft-sim $(BUILD)/tests/raft-mutants
	$(Q)$(BUILD)/tests/raft-sim --scripts tests/sim/data/*.txt
	$(Q)$(BUILD)/tests/raft-sim --repeat --seeds 100
	$(Q)$(BUILD)/tests/raft-sim --seeds $(SEEDS)
	$(Q)$(BUILD)/tests/raft-mutants

# ---- system tests and checks ------------------------------------------------------------------
## make system        system tests: real nodes, killed for real (PYTEST_ARGS="-k restart")
system: all
	$(Q)INSI_BUILD=$(abspath $(BUILD)) \
	    $(PYTEST) -q -p no:cacheprovider -n 4 tests/check tests/system $(PYTEST_ARGS)

## make nemesis       faults at random on clusters of three (MINUTES=10, SEED= to choose them again)
MINUTES ?= 10
nemesis: all
	$(Q)INSI_BUILD=$(abspath $(BUILD)) INSI_TEST_NEMESIS_SECONDS=$$(($(MINUTES) * 30)) \
	    $(if $(SEED),INSI_TEST_NEMESIS_SEED=$(SEED)) \
	    $(PYTEST) -q -s -p no:cacheprovider -o timeout=0 tests/system/cluster/test_nemesis.py

## make check         format, clang-tidy, cppcheck, documents, unit tests under sanitizers
check: deps-check
	$(Q)$(MAKE) --no-print-directory format-check
	$(Q)$(MAKE) --no-print-directory tidy
	$(Q)$(MAKE) --no-print-directory cppcheck
	$(Q)$(MAKE) --no-print-directory docs-check
	$(Q)$(MAKE) --no-print-directory san

## make format        rewrite every C file in the project's style
format:
	$(Q)clang-format -i $(C_FILES)
format-check:
	$(Q)clang-format --dry-run -Werror $(C_FILES)
	$(Q)! LC_ALL=C.UTF-8 grep -nE '.{101}' $(C_FILES) # comments, which it does not break
tidy: $(patsubst %.c,$(BUILD)/tidy/%.ok,$(filter %.c,$(C_FILES)))
$(BUILD)/tidy/%.ok: %.c .clang-tidy $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,TIDY,$<)
	$(Q)clang-tidy --quiet $< -- $(CPPFLAGS_ALL) -Wno-unknown-warning-option 2>$@.err || \
	    { cat $@.err; exit 1; }
	$(Q)$(CC) $(CPPFLAGS_ALL) -MM -MP -MT $@ -MF $(@:.ok=.d) $<
	@touch $@
cppcheck:
	$(Q)cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
	    --suppress=missingIncludeSystem --error-exitcode=1 -I. \
	    $(filter-out tests/%,$(filter %.c,$(C_FILES)))
## make docs-check    what the documents name is there: links, headings, log events, source files
docs-check:
	$(Q)/usr/bin/python3 tests/docs/check.py
## make san           unit tests under AddressSanitizer and UBSan, in build-san
san:
	$(Q)$(MAKE) --no-print-directory SAN=1 BUILD=$(BUILD)$(if $(SAN),,-san) leak-is-found unit

# A leak, or what else a sanitizer finds, must fail the program of a test.
PLANTED_LEAK := $(BUILD)/tests/planted-leak
PLANTED_SRC  := tests/fake/planted_leak.c $(call src,tests/unit/lib)
$(eval $(call program,$(PLANTED_LEAK),$(PLANTED_SRC),$(LIB_BASE),-lcriterion $(SYS_BASE)))
leak-is-found: $(PLANTED_LEAK)
	$(Q)! $(PLANTED_LEAK) --filter 'planted/leak' >$(PLANTED_LEAK).out 2>&1 && \
	    $(PLANTED_LEAK) --filter 'planted/nothing' || \
	    { cat $(PLANTED_LEAK).out; echo "a planted leak was not found"; exit 1; }

# ---- measuring --------------------------------------------------------------------------------
## make bench-apply   how fast storage applies the log, without links (FOLDER=, KEYS=, SETS=)
BENCH_APPLY := $(BUILD)/tests/bench-apply
BENCH_SRC   := tests/bench/apply.c $(call without_main,$(STORAGE_SRC))
$(eval $(call program,$(BENCH_APPLY),$(BENCH_SRC),$(OWN_STATE),$(SYS_STATE)))
bench-apply: FOLDER ?= $(BUILD)/bench-apply
bench-apply: KEYS ?= 100000
bench-apply: SETS ?= 1000000
bench-apply: $(BENCH_APPLY)
	$(Q)$(BENCH_APPLY) $(FOLDER) $(KEYS) $(SETS)

## make bench-cacheq  the same of cacheq, and its memory (FOLDER=, on tmpfs; ENTRIES=, ITEMS=)
BENCH_CACHEQ := $(BUILD)/tests/bench-cacheq
CACHEQ_BENCH := tests/bench/cacheq.c $(call without_main,$(CACHEQ_SRC))
$(eval $(call program,$(BENCH_CACHEQ),$(CACHEQ_BENCH),$(OWN_STATE),$(SYS_STATE)))
bench-cacheq: FOLDER ?= /dev/shm/insi-bench-cacheq
bench-cacheq: ENTRIES ?= 1000000
bench-cacheq: ITEMS ?= 10000000
bench-cacheq: $(BENCH_CACHEQ)
	$(Q)$(BENCH_CACHEQ) $(FOLDER) $(ENTRIES) $(ITEMS)

## make bench-publish  the same of events: publishing, matching, fan-out (SUBSCRIPTIONS=, EVENTS=)
BENCH_PUBLISH := $(BUILD)/tests/bench-publish
PUBLISH_BENCH := tests/bench/publish.c $(call without_main,$(EVENTS_SRC))
$(eval $(call program,$(BENCH_PUBLISH),$(PUBLISH_BENCH),$(OWN_STATE),$(SYS_STATE)))
bench-publish: FOLDER ?= /dev/shm/insi-bench-publish
bench-publish: SUBSCRIPTIONS ?= 100000
bench-publish: EVENTS ?= 200000
bench-publish: $(BENCH_PUBLISH)
	$(Q)$(BENCH_PUBLISH) $(FOLDER) $(SUBSCRIPTIONS) $(EVENTS)

## make bench         the numbers of docs/performance.md, of this machine (BENCH_ARGS=--help)
bench: deps-bench
	$(Q)$(MAKE) --no-print-directory all
	$(Q)INSI_BUILD=$(abspath $(BUILD)) /usr/bin/python3 tests/bench/bench.py $(BENCH_ARGS)

## make bench-cluster  failover, planned stops and throughput of three nodes (BENCH_ARGS=--help)
bench-cluster: deps-bench
	$(Q)$(MAKE) --no-print-directory all
	$(Q)INSI_BUILD=$(abspath $(BUILD)) /usr/bin/python3 tests/bench/cluster.py $(BENCH_ARGS)

## make bench-events  deliveries a second beside Redis and NATS, latency, memory (BENCH_ARGS=--help)
BENCH_CLIENTS := $(addprefix $(BUILD)/tests/bench-,subscribers publishers)
BENCH_CLIENT  := tests/bench/client.c tests/bench/wire.c
bench_client = $(call program,$(BUILD)/tests/bench-$(1),tests/bench/$(1).c $(BENCH_CLIENT),$(LIB_BASE),$(SYS_BASE))
$(eval $(call bench_client,subscribers))
$(eval $(call bench_client,publishers))
bench-events: deps-bench
	$(Q)$(MAKE) --no-print-directory all $(BENCH_CLIENTS)
	$(Q)INSI_BUILD=$(abspath $(BUILD)) /usr/bin/python3 tests/bench/events.py $(BENCH_ARGS)
