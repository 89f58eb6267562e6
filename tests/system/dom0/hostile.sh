# SPDX-License-Identifier: Apache-2.0
# Hostile kernels, one after the other, beside a canary that pings, hashes its memory and watches its clock. A hostile domain
# may die; the hypervisor, dom0 and the canary must not notice, and no page is lost.
canary_beats() { grep -c 'guest: beats' "$(console_log canary)"; }
canary_goes_on() {
    local before
    before=$(canary_beats)
    wait_until 60 sh -c "[ \$(grep -c 'guest: beats' $(console_log canary)) -gt $before ]"
}
# attack KERNEL SECONDS [WORDS [LINE...]]: runs it; what is not over then is destroyed. Its console is in the log of that name.
attack() {
    local kernel=$1 seconds=$2 words=${3:-}
    shift 2
    [ $# -eq 0 ] || shift
    forget_console attack
    if ! $TOOL create "$(kernel attack "hostile-$kernel" 'memory = 24' 'vcpus = 2' "extra = \"cpus=2 $words\"" "$@")" >$WORK/out 2>&1; then
        failed_check "$kernel starts"
        show $WORK/out
        return
    fi
    wait_until "$seconds" gone attack
    end attack
}
# held KERNEL [SECONDS [WORDS [LINE...]]]: the hypervisor withstands it and the kernel saw nothing wrong.
held() {
    attack "$1" "${2:-120}" "${@:3}"
    if said attack 'guest: status 0'; then passed_check "$1: it was held"; else
        failed_check "$1: it was held"
        tail -n 12 "$(console_log attack)" | sed 's/^/# /'
    fi
    check "$1: the canary goes on" canary_goes_on
}
# died_or_held KERNEL ...: as held, for what may end its domain; then its last line says what it was at.
died_or_held() {
    attack "$1" "${2:-120}" "${@:3}"
    if said attack 'guest: now' || said attack 'guest: status 0'; then
        if said attack 'FAILED'; then failed_check "$1: it was held"; grep FAILED "$(console_log attack)" | sed 's/^/# /'
        else passed_check "$1: it was held"; fi
    else
        failed_check "$1: it came to its point"
        tail -n 12 "$(console_log attack)" | sed 's/^/# /'
    fi
    check "$1: the canary goes on" canary_goes_on
}

attack software_interrupts 60  # what tools and hypervisor make once and keep
before=$(settled_free_pages)
forget_console canary
check "$TOOL create of the canary" $TOOL create "$(kernel canary hostile-canary 'memory = 16' 'vcpus = 2' 'cpus = ["0", "1"]')"
check "the canary sings" wait_until 60 said canary 'guest: beats'

for kernel in ${HOSTILE:-software_interrupts cache_flush linear_tables context_root}; do
    case $kernel in
        context_root) died_or_held context_root 120 "cpus=8 seed=1" 'vcpus = 8';;
        *) held "$kernel";;
    esac
done

xenstore-write "/local/domain/$(domid_of canary)/data/stop" 1
check "the canary ends" wait_until 60 gone canary
equal "the canary noticed nothing" "guest: status 0" "$(told canary 'guest: status')"
grep -E 'FAILED|longest' "$(console_log canary)" | tr -d '\r' | sed 's/^/# /'
end canary
same_memory "$before"
