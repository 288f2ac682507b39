# tests.mk - what `make test`, `make check` and `make bench` do (included by the top Makefile).

C_FILES := $(sort $(shell git ls-files '*.c' '*.h' 2>/dev/null || find . -name '*.[ch]' -not -path './build*'))
PYTEST  := /usr/bin/python3 -m pytest

## make test          dependencies, build, all tests
# One after the other: the system tests measure times, and a busy machine would disturb them.
test: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)$(MAKE) --no-print-directory unit
	$(Q)$(MAKE) --no-print-directory sim
	$(Q)$(MAKE) --no-print-directory system

# The Raft simulation: seeds, and the core's deliberate faults, for which it is built once more.
SIM_SRC     := $(call src,tests/sim)
MUTANTS_SRC := $(call src,tests/sim/mutants) $(filter-out tests/sim/main.c,$(SIM_SRC)) $(CORE_SRC)
MUTANTS_OBJ := $(patsubst %.c,$(BUILD)/obj-mutants/%.o,$(MUTANTS_SRC))
$(eval $(call program,$(BUILD)/tests/raft-sim,$(SIM_SRC),$(LIB_CORE) $(LIB_BASE),$(LIBS_BASE)))
$(BUILD)/obj-mutants/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$< with faults)
	$(Q)$(CC) $(CPPFLAGS_ALL) -DRAFT_MUTATIONS $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
$(BUILD)/tests/raft-mutants: $(MUTANTS_OBJ) $(LIB_BASE)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $(MUTANTS_OBJ) $(LIB_BASE) $(LIBS_BASE)
-include $(MUTANTS_OBJ:.o=.d)

# All that the core may use from outside: no clock, chance, file, socket, thread or log among it.
CORE_MAY_USE := raft_.*|rng_(init|next|below)|check_failed|mem_(alloc|resize|copy)|free|\
	mem(move|cpy|set|cmp)|__stack_chk_fail|__(a|ub)san_.*
core-pure: $(LIB_CORE)
	$(Q)! nm -u --format=posix $(LIB_CORE) | awk 'NF > 1 { print $$1 }' | sort -u | \
	    grep -vxE '$(subst $() ,,$(CORE_MAY_USE))' || { echo "the Raft core must not use these"; exit 1; }

## make sim SEEDS=N   N seeds of the cluster simulation, the scenarios, and the core's deliberate faults
SEEDS ?= 6000
sim: core-pure $(BUILD)/tests/raft-sim $(BUILD)/tests/raft-mutants
	$(Q)$(BUILD)/tests/raft-sim --scripts tests/sim/data/*.txt
	$(Q)$(BUILD)/tests/raft-sim --repeat --seeds 100
	$(Q)$(BUILD)/tests/raft-sim --seeds $(SEEDS)
	$(Q)$(BUILD)/tests/raft-mutants

## make system        system tests: real nodes, real processes, killed for real (PYTEST_ARGS="-k restart")
system: all
	$(Q)INSI_BUILD=$(abspath $(BUILD)) $(PYTEST) -q -p no:cacheprovider -n 4 tests/system $(PYTEST_ARGS)

## make check         format, clang-tidy, cppcheck, unit tests under sanitizers
check: deps-check
	$(Q)$(MAKE) --no-print-directory format-check
	$(Q)$(MAKE) --no-print-directory tidy
	$(Q)$(MAKE) --no-print-directory cppcheck
	$(Q)$(MAKE) --no-print-directory san

## make format        rewrite every C file in the project's style
format:
	$(Q)clang-format -i $(C_FILES)
format-check:
	$(Q)clang-format --dry-run -Werror $(C_FILES)
tidy: $(patsubst %.c,$(BUILD)/tidy/%.ok,$(filter %.c,$(C_FILES)))
$(BUILD)/tidy/%.ok: %.c .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY,$<)
	$(Q)clang-tidy --quiet $< -- $(CPPFLAGS_ALL) -Wno-unknown-warning-option 2>$@.err || (cat $@.err; exit 1)
	@touch $@
cppcheck:
	$(Q)cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
	    --suppress=missingIncludeSystem --error-exitcode=1 -I. $(filter-out tests/%,$(filter %.c,$(C_FILES)))
## make san           unit tests under AddressSanitizer and UBSan
san:
	$(Q)$(MAKE) --no-print-directory SAN=1 unit

## make bench-apply   how fast storage applies the log, without links (FOLDER=, KEYS=, SETS=)
BENCH_APPLY := $(BUILD)/tests/bench-apply
$(eval $(call program,$(BENCH_APPLY),tests/bench/apply.c $(call without_main,$(STORAGE_SRC)),$(LIBS_STATE),$(SYS_STATE)))
.PHONY: bench-apply
bench-apply: FOLDER ?= $(BUILD)/bench-apply
bench-apply: KEYS ?= 100000
bench-apply: SETS ?= 1000000
bench-apply: $(BENCH_APPLY)
	$(Q)$(BENCH_APPLY) $(FOLDER) $(KEYS) $(SETS)

## make bench         the numbers of docs/performance.md, measured on this machine (BENCH_ARGS=--help)
bench: deps-bench
	$(Q)$(MAKE) --no-print-directory all
	$(Q)INSI_BUILD=$(abspath $(BUILD)) /usr/bin/python3 tests/bench/bench.py $(BENCH_ARGS)
