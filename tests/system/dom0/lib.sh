# SPDX-License-Identifier: Apache-2.0
# What the scenarios share; they run in dom0. TOOL is xm or xl: the scenarios are written once, for both.
# Every check prints `ok NAME` or `not ok NAME`, then `# ` lines that say why; the runner on the host gathers them.

TESTS=/xenolith/tests
WORK=/run/tests
mkdir -p $WORK
count=0 failed=0

passed_check() { count=$((count + 1)); echo "ok $1"; }
failed_check() {
    count=$((count + 1)) failed=$((failed + 1))
    echo "not ok $1"
    shift
    [ $# -eq 0 ] || printf '# %s\n' "$@"
}
show() { sed 's/^/# /' "$1" | tail -n 25; }

# check NAME COMMAND...: the command must succeed
check() {
    local name=$1
    shift
    if "$@" >$WORK/out 2>&1; then passed_check "$name"; else failed_check "$name" "command: $*"; show $WORK/out; fi
}
# equal NAME EXPECTED GOT
equal() { if [ "$2" = "$3" ]; then passed_check "$1"; else failed_check "$1" "expected: $2" "got:      $3"; fi; }
# refused NAME PATTERN COMMAND...: the command must fail, and one line of what it says must match the pattern
refused() {
    local name=$1 pattern=$2
    shift 2
    if "$@" >$WORK/out 2>&1; then failed_check "$name" "it was accepted: $*"; show $WORK/out
    elif ! grep -Eqi -- "$pattern" $WORK/out; then failed_check "$name" "no line matches: $pattern"; show $WORK/out
    else passed_check "$name"; fi
}
# wait_until SECONDS COMMAND...
wait_until() {
    local end=$(($(date +%s) + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt $end ] || return 1
        usleep 200000
    done
}

# pattern MIB: what the sample domU makes too (guests/linux/init)
pattern() {
    local i=0
    [ -s $WORK/pattern ] || yes "xenolith test pattern" | head -c 1048576 >$WORK/pattern
    while [ $i -lt "$1" ]; do cat $WORK/pattern; i=$((i + 1)); done
}
complaints() { dmesg | grep -E 'BUG:|WARNING: CPU|Oops|Call Trace|general protection|soft lockup|rcu.*stall'; }

# --- domains ---------------------------------------------------------------------------------------------------------
listed() { $TOOL list 2>/dev/null | awk -v n="$1" 'NR > 1 && $1 == n { found = 1 } END { exit !found }'; }
gone() { ! listed "$1"; }
domid_of() { $TOOL list 2>/dev/null | awk -v n="$1" '$1 == n { print $2 }'; }
state_of() { $TOOL list 2>/dev/null | awk -v n="$1" '$1 == n { print $5 }'; }
new_id() { local id; id=$(domid_of "$1"); [ -n "$id" ] && [ "$id" != "$2" ]; }
free_pages() { $TESTS/free-pages; }
# settled_free_pages: the count once it has stood still for a second (freeing a dead domain goes on behind our back)
settled_free_pages() {
    local before now tries=0
    before=$(free_pages)
    while :; do
        sleep 1
        now=$(free_pages)
        tries=$((tries + 1))
        if [ "$now" = "$before" ] || [ $tries -gt 20 ]; then echo "$now"; return; fi
        before=$now
    done
}
# same_memory BEFORE [PAGES]: our hypervisor gives back every page. Xen's own pools keep or return a page now and then, whatever
# the tools do; a page lost for each domain would be more than PAGES (4).
same_memory() {
    local now missing most=${2:-4}
    now=$(settled_free_pages)
    missing=$(($1 - now))
    if [ "$HYPERVISOR" = ours ]; then
        equal "free memory is what it was, to the page" "$1" "$now"
    elif [ ${missing#-} -le "$most" ]; then
        passed_check "free memory is what it was, within $most pages ($1, now $now)"
    else
        failed_check "free memory is what it was, within $most pages" "before: $1" "now:    $now"
    fi
}
# guest NAME [LINE...]: writes a config; the lines come after the common ones and so win
guest() {
    local name=$1
    shift
    {
        printf 'name = "%s"\nkernel = "/xen/guest/vmlinuz"\nramdisk = "/xen/guest/initrd.img"\n' "$name"
        printf 'memory = 128\nvcpus = 2\non_poweroff = "destroy"\non_reboot = "restart"\non_crash = "destroy"\n'
        [ $# -eq 0 ] || printf '%s\n' "$@"
    } >$WORK/$name.cfg
    echo $WORK/$name.cfg
}
# tiny NAME WORD [LINE...]: a config of the one-page guest
tiny() {
    local name=$1 word=$2
    shift 2
    {
        printf 'name = "%s"\nkernel = "/xen/guest/tiny"\nmemory = 16\nvcpus = 1\nextra = "%s"\n' "$name" "$word"
        printf 'on_poweroff = "destroy"\non_reboot = "destroy"\non_crash = "destroy"\n'
        [ $# -eq 0 ] || printf '%s\n' "$@"
    } >$WORK/$name.cfg
    echo $WORK/$name.cfg
}
# kernel NAME KERNEL [LINE...]: a config of a guest of guests/KERNEL (FOLDER-FILE where the folder has one guest in each file)
kernel() {
    local name=$1 kernel=$2
    shift 2
    tiny "$name" x "kernel = \"/xenolith/guests/$kernel\"" "$@"
}
console_log() { echo /var/log/xen/console/guest-$1.log; }
forget_console() { : >"$(console_log "$1")" 2>/dev/null; }
# said NAME PATTERN: has the guest's console printed a line that matches?
said() { grep -Eq -- "$2" "$(console_log "$1")"; }
# told NAME PATTERN: the first such line, without its end
told() { grep -E -- "$2" "$(console_log "$1")" | head -n 1 | tr -d '\r'; }
# type_to NAME TEXT: types a line into the guest's console
type_to() {
    local tty
    tty=$(xenstore-read /local/domain/"$(domid_of "$1")"/console/tty) || return 1
    printf '%s\n' "$2" >"$tty"
}
# The bystander of attacks (guests/hostile/canary.cpp): it must not notice.
canary_start() {
    forget_console canary
    check "$TOOL create of the canary" $TOOL create "$(kernel canary hostile-canary 'memory = 16' 'vcpus = 2' 'cpus = ["0", "1"]')"
    check "the canary beats" wait_until 60 said canary 'guest: beats'
}
canary_beats() { grep -c 'guest: beats' "$(console_log canary)"; }
more_beats() { [ "$(canary_beats)" -gt "$1" ]; }
canary_goes_on() { wait_until 60 more_beats "$(canary_beats)"; }
canary_stop() {
    xenstore-write "/local/domain/$(domid_of canary)/data/stop" 1
    check "the canary ends" wait_until 60 gone canary
    equal "the canary noticed nothing" "guest: status 0" "$(told canary 'guest: status')"
    grep -E 'FAILED|longest' "$(console_log canary)" | tr -d '\r' | sed 's/^/# /'
    end canary
}
# ready NAME: waits until the sample domU has done all that its command line asked for
ready() { wait_until 300 said "$1" 'guest: ready'; }
# end NAME: makes sure the domain is away, whatever state it is in
end() {
    listed "$1" && $TOOL destroy "$1" >/dev/null 2>&1
    wait_until 30 gone "$1"
}
