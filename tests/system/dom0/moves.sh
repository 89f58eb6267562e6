# SPDX-License-Identifier: Apache-2.0
# A busy guest with a disk and a card moves again and again, live where that can be, and some of the times xend is killed on the way, at
# a moment that MOVES_SEED decides. Never can two copies run; nothing is torn, lost or left. MOVES: how many times.
if [ "$TOOL" = xm ]; then
moves=${MOVES:-20}
RANDOM=${MOVES_SEED:-$(date +%s)}
echo "# MOVES_SEED=$RANDOM"
RANDOM=${MOVES_SEED:-$RANDOM}
truncate -s 16M /xen/images/mover.img
ip link set lo up
xend stop
printf "(xend-relocation-server yes)\n(xend-relocation-hosts-allow '^localhost\$')\n" >/etc/xen/xend-config.sxp
check "xend takes domains" xend start
start_mover() {
    forget_console mover
    check "xm create" xm create "$(guest mover 'extra = "console=hvc0"' 'vcpus = 1' 'disk = [ "/xen/images/mover.img,raw,xvda,rw" ]' 'vif = [ "bridge=xenbr0" ]')"
    check "the guest reaches user space" ready mover
}
wholes() { grep -ac 'whole-[0-9]' "$(console_log mover)"; }
more_wholes() { [ "$(wholes)" -gt "$1" ]; }
no_incoming() { ! xenstore-ls /local/domain | grep -Eq 'incoming|migrating'; }
live=''
[ "$HYPERVISOR" != ours ] || live=-l
# move: there, and it goes on; says why not
move() {
    local before
    before=$(domid_of mover)
    xm migrate $1 mover localhost >$WORK/out 2>&1 || return 1
    new_id mover "$before"
}
# killed_move: xend is killed at some moment of it; whatever comes of it, there is one guest that goes on
killed_move() {
    local before
    before=$(wholes)
    xm migrate $1 mover localhost >/dev/null 2>&1 &
    usleep $((RANDOM * 60))
    kill -9 "$(pidof xend | tr ' ' '\n' | sort -n | tail -n 1)"
    wait $!
    wait_until 90 listed mover && wait_until 90 more_wholes $((before + 2)) && wait_until 60 no_incoming
}

# What the first moves need of the hypervisor's own memory stays with it.
start_mover
check "it moves" move $live
end mover
before_moves=$(settled_free_pages)
start_mover
type_to mover '(dd if=/dev/urandom of=/tmp/data bs=1M count=8; md5sum /tmp/data >/tmp/sum) 2>/dev/null'
type_to mover '(n=0; while md5sum -c /tmp/sum >/dev/null 2>&1 && echo $n | dd of=/dev/xvda bs=512 conv=sync,fsync 2>/dev/null && [ "$(head -n 1 /dev/xvda)" = $n ]; do n=$((n + 1)); echo whole-$n; usleep 200000; done; echo torn-$n) &'
check "it checks memory and disk again and again" wait_until 60 said mover 'whole-3'
$TESTS/one-copy >$WORK/copies 2>&1 &
watcher=$!
done=0 kills=0
while [ $done -lt "$moves" ]; do
    how=''
    [ $((RANDOM % 3)) = 0 ] || how=$live
    if [ $((RANDOM % 5)) = 0 ]; then
        killed_move $how || { failed_check "killed after $done moves: it goes on" "$(xm list)"; break; }
        kills=$((kills + 1))
    else
        move $how || { failed_check "move $done" "$(cat $WORK/out)" "$(xm list)"; break; }
    fi
    done=$((done + 1))
    [ $((done % 25)) != 0 ] || echo "# $done moves, $kills of them with a killed xend"
done
equal "$moves moves, xend killed in some of them" "$moves" "$done"
echo "# killed: $kills"
check "it goes on" wait_until 60 more_wholes "$(($(wholes) + 2))"
check "nothing in its memory or on its disk is torn" sh -c "! grep -aq 'torn-[0-9]' $(console_log mover)"
kill $watcher
wait $watcher
check "never could two copies run, and there was always one" grep -q '^1 at most, 1 at least, in [0-9]\{2,\} looks$' $WORK/copies
echo "# copies: $(cat $WORK/copies)"
end mover
same_memory "$before_moves"
check "nothing is left of them" no_incoming
xend stop
rm -f /etc/xen/xend-config.sxp
check "xend is as it was" xend start
check "no loop device is left" wait_until 20 sh -c '! losetup -a | grep -q /xen/images/mover.img'
rm -f /xen/images/mover.img
fi
