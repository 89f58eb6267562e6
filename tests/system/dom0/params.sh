# SPDX-License-Identifier: Apache-2.0
# The hypervisor's own files, parameters and facts: what Debian's tools read and write. The answers are Xen 4.17's.
hypfs() { echo "$1" | $TESTS/hypfs-op; }
# answers_to NAME LINES: "OPERATION: ANSWER" each
answers_to() { equal "$1" "$2" "$(printf '%s\n' "$2" | while IFS= read -r line; do echo "${line%%: *}: $(hypfs "${line%%: *}")"; done)"; }
parameter() { hypfs "read /params/$1" | cut -d' ' -f4-; }

answers_to "the tree of hypfs" 'version: ok 1
read /: ok dir buildinfo cpupool params
read /buildinfo/compileinfo: ok dir compile_by compile_date compile_domain compiler
read /buildinfo/compileinfo/: ok dir compile_by compile_date compile_domain compiler
read /buildinfo/version: ok dir extra major minor
read /buildinfo/version/major: ok uint 4/0 4
read /buildinfo/version/minor: ok uint 4/0 17
read /cpupool: ok dir 0
read /cpupool/0: ok dir sched-gran
read /cpupool/0/sched-gran: ok string 4/8 cpu'
answers_to "what it refuses" 'read /nothing: ENOENT
read /params/nothing: ENOENT
read /params/loglvl/: ENOENT
read /params/loglvl/x: ENOENT
read //: ENOENT
read /cpupool/1: ENOENT
read params: EINVAL
read /params/loglvl 11: EINVAL
read /params/loglvl 12: ENOBUFS
op 3 /params: EOPNOTSUPP
op 3 /nothing: ENOENT
write / x: EACCES
write /params x: EACCES
write /cpupool/0 x: EACCES
write /buildinfo/version/major 5: EACCES
write /params/loglvl loud: EINVAL
write /params/loglvl xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: ENOSPC
unended /params/loglvl all: EDOM
write /cpupool/0/sched-gran cpu: EBUSY
write /cpupool/0/sched-gran thread: EINVAL
unended /cpupool/0/sched-gran cpu: EINVAL
write /cpupool/0/sched-gran cpuscpuscpus: ENOSPC'
before=$(parameter loglvl)
equal "a level is changed" "ok 0" "$(hypfs 'write /params/loglvl error/info')"
equal "and shown" "ok string 11/16 error/info" "$(hypfs 'read /params/loglvl')"
equal "it is put back" "ok 0" "$(hypfs "write /params/loglvl $before")"

if [ "$TOOL" = xl ]; then
    stamps=$(parameter console_timestamps)
    check "xl set-parameters of two" xl set-parameters 'loglvl=all console_timestamps=boot'
    equal "xenhypfs cat shows them" "all/all boot" "$(echo $(xenhypfs cat /params/loglvl) $(xenhypfs cat /params/console_timestamps))"
    refused "xl set-parameters of one that is not there" . xl set-parameters nothing=1
    refused "xl set-parameters to what makes no sense" . xl set-parameters loglvl=loud
    refused "xenhypfs write to what is fixed" . xenhypfs write /buildinfo/version/major 5
    check "xenhypfs write" xenhypfs write /params/console_timestamps "$stamps"
    check "xl set-parameters back" xl set-parameters "loglvl=$before"
    equal "xenhypfs ls" "<dir> compileinfo <dir> version" "$(echo $(xenhypfs ls /buildinfo | awk '/<dir>/ { print $1, $3 }'))"
    check "xenhypfs tree shows levels" sh -c "xenhypfs tree | grep -w loglvl"
fi

rate() { $TOOL sched-credit2 -s -p Pool-0 | sed -n 's/.*ratelimit=\([0-9]*\)us.*/\1/p'; }
if [ "$TOOL" = xl ]; then
    limit=$(rate)
    if [ "$HYPERVISOR" = ours ]; then usual=100; else usual=1000; fi
    equal "the rate limit that pools begin with" $usual "$limit"
    check "xl sched-credit2 -s -r" xl sched-credit2 -s -p Pool-0 -r 2000
    equal "is shown" 2000 "$(rate)"
    xl sched-credit2 -s -p Pool-0 -r 99 >/dev/null 2>&1
    equal "one below the least changes nothing" 2000 "$(rate)"
    check "and put back" xl sched-credit2 -s -p Pool-0 -r "$limit"
fi

$TOOL info -n >$WORK/info 2>&1
sed -n '/^hw_caps/s/^/# /p' $WORK/info
check "hw_caps has eight words" grep -Eq '^hw_caps +: ([0-9a-f]{8}:){7}[0-9a-f]{8}$' $WORK/info
equal "all processors are cores of one socket" "$CPUS 1" "$(echo $(awk '$1 == "cores_per_socket" || $1 == "threads_per_core" { print $3 }' $WORK/info))"
check "$TOOL info says when the hypervisor was compiled" grep -Eq '^cc_compile_date +: .*20[0-9][0-9]' $WORK/info
if [ "$TOOL" = xl ]; then
    equal "the topology: processor, core, socket, node" "$(c=0; while [ $c -lt "$CPUS" ]; do echo "$c: $c 0 0"; c=$((c + 1)); done)" \
        "$(awk '/^cpu:/ { on = 1; next } on && !/^[0-9 ]+:/ { on = 0 } on { print $1, $2, $3, $4 }' $WORK/info)"
    check "the command line is without the image" grep -Eq '^xen_commandline +: *[a-z0-9_-]+=' $WORK/info
    check "xl create of a guest to trigger" xl create "$(guest poked 'extra = "console=hvc0"')"
    check "it runs" ready poked
    # xl ends with 0 whatever comes of it.
    triggered() { xl trigger poked "$1" 2>&1 | sed -n "s/.*Send trigger '$1' failed[:,] *//p"; }
    for trigger in nmi: 'power:Invalid argument' 'sleep:Invalid argument' 'init:Function not implemented' 'reset:Function not implemented' 's3resume:rc=-6'; do
        equal "xl trigger ${trigger%%:*}" "${trigger#*:}" "$(triggered "${trigger%%:*}")"
    done
    check "it goes on" sh -c ". $TESTS/lib.sh; type_to poked 'echo after-\$((6 * 7))'; wait_until 20 said poked after-42"
    end poked
fi

check "$TOOL create of a guest to trace" $TOOL create "$(guest traced 'extra = "console=hvc0"')"
check "it runs too" ready traced
number=$($TOOL domid traced)
xentrace -D -S 64 -T 4 $WORK/trace >$WORK/xentrace.out 2>&1 &
tracer=$!
sleep 1
$TOOL list >/dev/null
$TOOL pause traced
$TOOL unpause traced
type_to traced 'echo traced'
end traced
wait $tracer
equal "xentrace records all that goes on, for so long" 0 $?
$TESTS/xenalyze --dump-all $WORK/trace >$WORK/events 2>$WORK/xenalyze.err
equal "xenalyze has no complaint" "" "$(grep -iE 'strange|unexpected|unknown|invalid|error' $WORK/xenalyze.err $WORK/events | head -3)"
for event in 'runstate_change d[0-9]+v[0-9]+ running->blocked' 'runstate_change d[0-9]+v[0-9]+ runnable->running' 'sched_switch prev d[0-9]+v[0-9]+ next' \
    'vcpu_wake d0v' 'vcpu_block d0v' 'hypercall +1 .mmu_update.' 'hypercall 17 .iret.' 'hypercall 1d .sched_op. block' 'emulate privop' 'ptwr' 'page_fault'; do
    check "there is: $event" grep -Eq "d[0-9?]+v[0-9?]+ $event" $WORK/events
done
check "what the guest did is among it" grep -Eq "d${number}v0 hypercall .*sched_op. block" $WORK/events
check "xentrace of scheduling alone, a second time" xentrace -D -e 0x0002f000 -T 1 $WORK/trace
$TESTS/xenalyze --dump-all $WORK/trace >$WORK/events 2>/dev/null
check "has that" grep -q 'sched_switch prev' $WORK/events
equal "and nothing else" "" "$(grep -E 'hypercall|page_fault|privop' $WORK/events | head -2)"

# Performance counters and the profile of locks, which Debian's Xen was built without.
if [ "$TOOL" = xl ] && [ "$HYPERVISOR" = ours ]; then
    check "xenperf -r begins to count" xenperf -r
    xl list >/dev/null
    check "xenperf" sh -c "xenperf >$WORK/xenperf"
    check "xenperf -f" sh -c "xenperf -f >$WORK/xenperf-f"
    grep -E 'T=' $WORK/xenperf | sed 's/^/# /' | cut -c1-100 | head -24
    check "it counts hypercalls" grep -Eq '^hypercalls.*T= *[1-9]' $WORK/xenperf
    check "and switches on each processor" grep -Eq '^switches of vCPUs +T= *[1-9]' $WORK/xenperf
    check "xenlockprof -r" xenlockprof -r
    check "xenlockprof" sh -c "xenlockprof >$WORK/xenlockprof"
    sed 's/^/# /' $WORK/xenlockprof | cut -c1-120 | tail -n 16
    check "it shows locks" grep -Eq 'page_table.*lock:.*block:' $WORK/xenlockprof
    check "xl debug-keys p shows the counters" sh -c "xl debug-keys p; xl dmesg | grep -q 'switches of vCPUs: [1-9]'"
    check "xl debug-keys l shows the locks" sh -c "xl debug-keys l; xl dmesg | grep -q 'lock page_table: waited for'"
    check "xl debug-keys k ends the counting" sh -c "xl debug-keys kp; xl dmesg | grep -q 'Nothing is counted'"
elif [ "$TOOL" = xl ]; then
    refused "this Xen has no performance counters" . xenperf
    refused "this Xen has no profile of locks" . xenlockprof
fi
