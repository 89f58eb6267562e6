# SPDX-License-Identifier: Apache-2.0
# Pools of CPUs: each operation by hypercall, whose answers are those of Xen 4.17, then by the tool; on a machine of two processors.
# answers NAME LINES: "OPERATION: ANSWER" each
answers() {
    local name=$1
    equal "$name" "$2" "$(printf '%s\n' "$2" | while IFS= read -r line; do echo "${line%%: *}: $(echo "${line%%: *}" | $TESTS/pool-op)"; done)"
}
pool_list() { $TOOL cpupool-list | awk 'NR > 1 { printf "%s%s %s %s %s %s", sep, $1, $2, $3, $4, $5; sep = "; " }'; }
cpu_of() { $TOOL vcpu-list "$1" | awk -v n="$1" '$1 == n { print $4 }'; }

answers "pools are made, within limits, and taken away" 'free: ok cpus
info pool=0: ok pool 0 sched 6 domains 1 cpus 0 1
info pool=1: ENOENT
destroy pool=0: EBUSY
destroy pool=5: ENOENT
create pool=-1 sched=99: ENOENT
create pool=0 sched=6: EEXIST
create pool=-1 sched=6: ok pool 1
create pool=7 sched=6: ok pool 7
create pool=-1 sched=6: ok pool 8
create pool=7 sched=6: ENOSPC
info pool=3: ok pool 7 sched 6 domains 0 cpus
destroy pool=1: ok
destroy pool=8: ok
info pool=8: ENOENT'
answers "a processor goes from one to another" 'add pool=7 cpu=0: ENODEV
add pool=7 cpu=-1: ENODEV
add pool=7 cpu=5: EINVAL
add pool=9 cpu=5: ENOENT
remove pool=7 cpu=0: EADDRNOTAVAIL
remove pool=7 cpu=-1: EINVAL
remove pool=9 cpu=5: ENOENT
remove pool=0 cpu=9: EINVAL
remove pool=0 cpu=1: ok
info pool=0: ok pool 0 sched 6 domains 1 cpus 0
free: ok cpus 1
remove pool=0 cpu=1: EADDRNOTAVAIL
remove pool=0 cpu=0: EINVAL
remove pool=0 cpu=-1: EINVAL
move dom=0 pool=7: EPERM
move dom=32752 pool=7: ESRCH
move dom=50 pool=9: ESRCH
add pool=7 cpu=-1: ok
info pool=7: ok pool 7 sched 6 domains 0 cpus 1
free: ok cpus
destroy pool=7: EBUSY
remove pool=7 cpu=1: ok
destroy pool=7: ok
add pool=0 cpu=1: ok
77 pool=99: ENOSYS'

check "$TOOL cpupool-cpu-remove" $TOOL cpupool-cpu-remove Pool-0 1
check "$TOOL cpupool-create" $TOOL cpupool-create 'name="fast"' 'sched="credit"' 'cpus="1"'
equal "$TOOL cpupool-list" "Pool-0 1 credit2 y 1; fast 1 credit y 0" "$(pool_list)"
check "a domain that is made in it" $TOOL create "$(guest pooled 'pool = "fast"' 'extra = "console=hvc0"')"
check "runs there" sh -c ". $TESTS/lib.sh; ready pooled"
equal "on its processor alone" "1 1" "$(echo $(cpu_of pooled))"
refused "$TOOL vcpu-pin to one outside" . $TOOL vcpu-pin pooled 0 0
$TOOL cpupool-cpu-remove fast 1 >$WORK/out 2>&1  # xl says that it is busy, and ends with 0
equal "the last processor under a domain stays" "Pool-0 1 credit2 y 1; fast 1 credit y 1" "$(pool_list)"
check "$TOOL sched-credit of a domain there" $TOOL sched-credit -d pooled -w 512 -c 90
check "shows it" sh -c "$TOOL sched-credit -d pooled | grep -E '^pooled +[0-9]+ +512 +90'"
check "$TOOL cpupool-migrate" $TOOL cpupool-migrate pooled Pool-0
equal "$TOOL cpupool-list shows it" "Pool-0 1 credit2 y 2; fast 1 credit y 0" "$(pool_list)"
check "its share is the usual one there" sh -c "$TOOL sched-credit2 -d pooled | grep -E '^pooled +[0-9]+ +256 +0'"
check "it goes on" sh -c ". $TESTS/lib.sh; type_to pooled 'echo moved-\$((6 * 7))'; wait_until 20 said pooled moved-42"
equal "with dom0's processor" "0 0" "$(echo $(cpu_of pooled))"
type_to pooled 'while :; do :; done & while :; do :; done &'
for i in 1 2 3 4 5; do
    $TOOL cpupool-migrate pooled fast && $TOOL cpupool-migrate pooled Pool-0 || failed_check "round $i of moving a busy domain"
done
check "$TOOL cpupool-migrate of a busy domain" $TOOL cpupool-migrate pooled fast
check "$TOOL cpupool-rename" $TOOL cpupool-rename fast quick
equal "the name has changed" "Pool-0 1 credit2 y 1; quick 1 credit y 1" "$(pool_list)"
refused "a pool that is in use stays" . $TOOL cpupool-destroy quick
check "$TOOL cpupool-migrate" $TOOL cpupool-migrate pooled Pool-0
check "$TOOL cpupool-destroy" $TOOL cpupool-destroy quick
# How long all its processors together have run, in tenths of a second.
ran() { $TOOL vcpu-list pooled | awk '$1 == "pooled" { sum += $6 } END { printf "%d", sum * 10 }'; }
now() { awk '{ printf "%d", $1 * 100 }' /proc/uptime; }
# ran_for SECONDS: percent of one processor that they have meanwhile
ran_for() { local before at; before=$(ran) at=$(now); sleep "$1"; echo $((($(ran) - before) * 1000 / ($(now) - at))); }
# has_share NAME LEAST MOST: percent
has_share() { local share; share=$(ran_for 4); check "$1 ($share %)" [ "$share" -ge "$2" -a "$share" -le "$3" ]; }
in_rtds() {
    case $TOOL in xl) each="-v all";; *) each=;; esac
    check "$TOOL sched-rtds" $TOOL sched-rtds -d pooled $each -p 20000 -b 5000 -e 0
    check "shows it" sh -c "$TOOL sched-rtds -d pooled $each | grep -E '^pooled .* 20000 +5000 +no'"
    has_share "and each of its two processors has a quarter" 40 60
}
in_null() { has_share "one of its processors has the processor, the other waits" 80 110; }
in_arinc653() { has_share "nobody runs who is not in the table" 0 3; }
in_sedf() {
    check "xm sched-sedf" xm sched-sedf pooled -p 20 -s 5 -l 0 -e 0
    check "shows it" sh -c "xm sched-sedf pooled | grep -E '^pooled +[0-9]+ +20.0 +5.0 +0.0 +0 +0'"
    has_share "and each of its two processors has a quarter" 40 60
}
in_atropos() {
    check "xm atropos" xm atropos pooled 20000000 5000000 20000000 0
    has_share "and each of its two processors has a quarter" 40 60
}
in_bvt() {
    check "xm sched-bvt" xm sched-bvt pooled 20 0 0 0 0
    has_share "they share the processor" 80 110
}
policies="rtds null arinc653"
[ $TOOL = xl ] || policies="$policies sedf atropos bvt"
# Of these Debian's Xen was built with none.
if [ "$HYPERVISOR" != ours ]; then
    for sched in $policies; do refused "this Xen has no $sched" . $TOOL cpupool-create 'name="other"' "sched=\"$sched\"" 'cpus="1"'; done
    policies=
fi
for sched in $policies; do
    check "$TOOL cpupool-create sched=$sched" $TOOL cpupool-create 'name="other"' "sched=\"$sched\"" 'cpus="1"'
    check "a busy domain moves there" $TOOL cpupool-migrate pooled other
    equal "with sched=$sched it is there" "Pool-0 1 credit2 y 1; other 1 $sched y 1" "$(pool_list)"
    in_$sched
    check "and moves back" $TOOL cpupool-migrate pooled Pool-0
    check "$TOOL cpupool-destroy" $TOOL cpupool-destroy other
done
[ -z "$policies" ] || has_share "where it came from it has all that it wants" 60 110
end pooled
check "$TOOL cpupool-cpu-add" $TOOL cpupool-cpu-add Pool-0 1
equal "everything is as before" "Pool-0 2 credit2 y 1" "$(pool_list)"
