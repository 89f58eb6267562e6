# SPDX-License-Identifier: Apache-2.0
# Hostile kernels, one after the other, beside a canary that pings, hashes its memory and watches its clock. A hostile domain
# may die; the hypervisor, dom0 and the canary must not notice, and no page is lost.
# attack KERNEL SECONDS [WORDS [LINE...]]: runs it; what is not over then is destroyed. Its console is in the log of that name.
attack() {
    local kernel=$1 seconds=$2 words=${3:-}
    shift 2
    [ $# -eq 0 ] || shift
    forget_console attack
    if ! $TOOL create "$(kernel attack "hostile-$kernel" 'memory = 24' 'vcpus = 2' "extra = \"cpus=2 on_$HYPERVISOR $words\"" "$@")" >$WORK/out 2>&1; then
        # What it died of so soon is judged by what it said.
        grep -q 'crashed at once after its start' $WORK/out && return
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
canary_start
# HOSTILE names some of them.
all="software_interrupts cache_flush linear_tables context_root page_types grant_abuse event_abuse shared_pages exhaustion emulation frames straddle"
for kernel in ${HOSTILE:-$all}; do
    case $kernel in
        context_root) died_or_held $kernel 120 "cpus=4 seed=1" 'vcpus = 4';;
        frames) for way in 1 2 3 4 5; do died_or_held $kernel 120 "end=$way seed=$way"; done;;
        emulation | shared_pages) died_or_held $kernel;;
        *) held $kernel;;
    esac
done
canary_stop
same_memory "$before" 8  # kernels here leave more behind in them
