# SPDX-License-Identifier: Apache-2.0
# Debian's xl moves a running guest live to this same host, several times, by the hypervisor's log of dirty pages; real Xen as Debian
# builds it cannot. The guest rewrites its memory all the time, by programs that come and go, and verifies all of it again and again.
if [ "$TOOL" = xl ] && [ "$HYPERVISOR" = ours ]; then
truncate -s 16M /xen/images/live.img
# migrated NAME WORDS...: to this host, by a pipe; xl says what it did, and the rounds that it took
migrated() {
    local name=$1
    shift
    xl -v migrate "$@" -s '' "$name" 'xl migrate-receive' >$WORK/migrate.out 2>&1 || { tail -n 25 $WORK/migrate.out; return 1; }
}
# Each block is written anew with other bytes, and what was in all of them is compared with what was noted then.
checker='mkdir -p /tmp/m; n=0; while :; do n=$((n + 1)); b=$((n % 24)); dd if=/dev/urandom of=/tmp/m/$b bs=64k count=8 2>/dev/null
md5sum /tmp/m/$b >/tmp/m/$b.sum; cat /tmp/m/*.sum >/tmp/all; md5sum -c /tmp/all >/tmp/result 2>&1 || { echo torn-$n; grep -v OK /tmp/result; }
[ $((n % 4)) != 0 ] || echo whole-$n; done'
# What moves has another name while it comes, and xenconsoled's file that one.
LOGS=/var/log/xen/console/guest-live
forget_consoles() { for log in $LOGS*.log; do : >$log; done; }
live_said() { cat $LOGS*.log | grep -aEq -- "$1"; }
wholes() { cat $LOGS*.log | grep -ac 'whole-[0-9]'; }
more_wholes() { [ "$(wholes)" -gt "$1" ]; }
goes_on() {
    check "$1: it goes on" wait_until 90 more_wholes "$(($(wholes) + 3))"
    check "$1: nothing in its memory is torn" sh -c "! cat $LOGS*.log | grep -aq 'torn-[0-9]'"
}
# start_live VCPUS LINE...
start_live() {
    local vcpus=$1
    shift
    forget_consoles
    check "xl create, $vcpus vCPUs" xl create "$(guest live 'extra = "console=hvc0"' "vcpus = $vcpus" "$@")"
    check "the guest reaches user space" ready live
    type_to live "cat >/tmp/checker <<'END'"
    printf '%s\n' "$checker" | while IFS= read -r line; do type_to live "$line"; done
    type_to live END
    type_to live 'sh /tmp/checker &'
    check "it writes and checks its memory" wait_until 90 live_said 'whole-[1-9]'
}

start_live 1
check "a first move, which leaves what stays in the hypervisor" migrated live
goes_on "moved once"
check "a log is begun, read and ended by hand" sh -c "$TESTS/log-costs $(domid_of live) 5 100 | tee $WORK/log-costs; grep -q OFF $WORK/log-costs"
check "it names pages" grep -E 'CLEAN .* us, [1-9][0-9]* pages' $WORK/log-costs
goes_on "logged by hand"
end live
before_live=$(settled_free_pages)
start_live 2 'disk = [ "/xen/images/live.img,raw,xvda,rw" ]' 'vif = [ "bridge=xenbr0" ]'
type_to live '(echo marker | dd of=/dev/xvda bs=512 conv=sync,fsync) 2>/dev/null'
for move in 1 2; do
    id=$(domid_of live)
    check "xl migrate, live, $move" migrated live
    check "move $move: it is another domain" new_id live "$id"
    goes_on "move $move"
done
type_to live 'echo disk-$(dd if=/dev/xvda bs=6 count=1 2>/dev/null)'
check "the disk has what it wrote" wait_until 30 live_said 'disk-marker'
equal "disk and card are connected" "4 4" "$(xl block-list live | awk '$1 == 51712 { print $4 }') $(xl network-list live | awk 'NR == 2 { print $5 }')"
# A receiver that dies: the guest goes on here, without a log.
id=$(domid_of live)
ready='printf "xl migration receiver ready, send binary domain data.\n"'
refused "a receiver that goes away" 'migration' xl migrate -s '' live "$ready; head -c 3000000 >/dev/null"
equal "the guest is the one that it was" "$id" "$(domid_of live)"
goes_on "after a receiver that went away"
check "and it moves after all" migrated live
goes_on "moved at last"
check "it is destroyed while it is logged" sh -c "xl migrate -s '' live '$ready; head -c 30000000 >/dev/null; sleep 2' >/dev/null 2>&1 & sleep 1; xl destroy live; wait"
check "it is gone" wait_until 30 gone live
end live
same_memory "$before_live"
rm -f /xen/images/live.img
fi
