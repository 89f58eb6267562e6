# SPDX-License-Identifier: Apache-2.0
# Random hypercalls from a domU on two vCPUs, beside the canary, for FUZZ_SECONDS or until FUZZ_CALLS are made. A domain makes a
# million of them at most, or is ended by the hypervisor; one with the next seed follows.
FUZZ_SEED=${FUZZ_SEED:-1} FUZZ_SECONDS=${FUZZ_SECONDS:-60} FUZZ_CALLS=${FUZZ_CALLS:-1000000000}
# fuzz_round SEED SECONDS CALLS: one domain; says how many calls it made
fuzz_round() {
    forget_console fuzz
    $TOOL create "$(kernel fuzz fuzz "extra = \"seed=$1 seconds=$2 calls=$3\"" 'memory = 32' 'vcpus = 4')" >$WORK/out 2>&1 || { show $WORK/out >&2; echo 0; return; }
    wait_until $(($2 * 3 + 60)) gone fuzz
    end fuzz
    # Both vCPUs together at the end, or what each said last.
    tr -d '\r' <"$(console_log fuzz)" | awk '/^guest: calls /{ all = $3 } /^guest: vCPU [01] calls /{ each[$3] = $5 } END { print all ? all : each[0] + each[1] }'
}
fuzz_round 999 2 20000 >/dev/null  # what is made once and kept
before=$(settled_free_pages)
canary_start
calls=0 domains=0 seed=$FUZZ_SEED fuzz_end=$(($(date +%s) + FUZZ_SECONDS))
while left=$((fuzz_end - $(date +%s))); [ $left -gt 0 ] && [ $((calls + 1)) -lt "$FUZZ_CALLS" ]; do  # one each, at least
    wanted=$((FUZZ_CALLS - calls))
    made=$(fuzz_round $seed $((left < 600 ? left : 600)) $((wanted < 1000000 ? wanted : 1000000)))
    calls=$((calls + made)) domains=$((domains + 1))
    # A kernel that plays with its own memory may hurt itself; what it did last is said, and the machine goes on.
    if said fuzz FAILED; then grep -A 20 FAILED "$(console_log fuzz)" | tr -d '\r' | sed 's/^/# /'; fi
    # A kernel may also have lost its own console: what it said last counts.
    said fuzz 'guest: status 0' || echo "# seed $seed: its domain was ended after $made calls"
    seed=$((seed + 1))
    [ $domains -lt 500 ] || break
done
if [ $calls -gt 10000 ]; then passed_check "$calls random hypercalls, seeds $FUZZ_SEED to $((seed - 1))"
else failed_check "the fuzzer makes calls" "only $calls in $domains domains"; tail -n 15 "$(console_log fuzz)" | sed 's/^/# /'; fi
canary_stop
same_memory "$before"
