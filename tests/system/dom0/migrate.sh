# SPDX-License-Identifier: Apache-2.0
# A stock guest moves to another host, which is this one: what it computes, what it holds in memory, its disk, its card. What is refused
# touches nothing, and whichever moment xend is killed at there is one guest that goes on, and nothing else.
if [ "$TOOL" = xm ]; then
truncate -s 16M /xen/images/moved.img
ip link set lo up
relocation_config() {
    xend stop
    printf '(xend-relocation-server yes)\n(xend-relocation-hosts-allow %s)\n' "'$1'" >/etc/xen/xend-config.sxp
    xend start
}
check "xend takes domains" relocation_config '^localhost$'
# What the first move needs of the hypervisor's own memory stays with it.
forget_console first
check "xm create of a first one" xm create "$(guest first 'extra = "console=hvc0"' 'vif = [ "bridge=xenbr0" ]')"
check "it reaches user space" ready first
check "and moves" xm migrate first localhost
end first
before_move=$(settled_free_pages)
forget_console moved
check "xm create" xm create "$(guest moved 'extra = "console=hvc0"' 'disk = [ "/xen/images/moved.img,raw,xvda,rw" ]' 'vif = [ "bridge=xenbr0" ]')"
check "the guest reaches user space" ready moved
type_to moved '(echo marker | dd of=/dev/xvda bs=512 conv=sync,fsync; dd if=/dev/urandom of=/tmp/data bs=1M count=16; md5sum /tmp/data >/tmp/sum) 2>/dev/null'
type_to moved '(n=0; while md5sum -c /tmp/sum >/dev/null 2>&1; do n=$((n + 1)); echo whole-$n; usleep 300000; done; echo torn-$n) &'
check "it checks its memory again and again" wait_until 60 said moved 'whole-3'

wholes() { grep -ac 'whole-[0-9]' "$(console_log moved)"; }
more_wholes() { [ "$(wholes)" -gt "$1" ]; }
# goes_on WHAT: it is one, prints what it printed before, and what it holds is as it was
goes_on() {
    check "$1: it has its name" wait_until 60 listed moved
    check "$1: it goes on" wait_until 60 more_wholes "$(($(wholes) + 2))"
    check "$1: nothing in its memory is torn" sh -c "! grep -aq 'torn-[0-9]' $(console_log moved)"
    equal "$1: there is one of it" 1 "$(xm list | awk 'NR > 2' | wc -l)"
}

id=$(domid_of moved)
check "xm migrate" xm migrate moved localhost
check "it is another domain" new_id moved "$id"
goes_on "moved"
type_to moved 'echo disk-$(dd if=/dev/xvda bs=6 count=1 2>/dev/null)'
check "moved: the disk has what it wrote" wait_until 30 said moved 'disk-marker'
equal "moved: disk and card are connected" "4 4" "$(xm block-list moved | awk '$1 == 51712 { print $4 }') $(xm network-list moved | awk 'NR == 2 { print $5 }')"
check "back again, at a rate" xm migrate -p 8002 -r 1000 moved 127.0.0.1
goes_on "moved back"

# Live: it rewrites its memory meanwhile, by programs that come and go, and verifies what it holds.
if [ "$HYPERVISOR" = ours ]; then
    type_to moved '(while :; do dd if=/dev/urandom of=/tmp/scratch bs=64k count=16 2>/dev/null; done) &'
    id=$(domid_of moved)
    check "xm migrate -l" sh -c "xm migrate -l -v moved localhost >$WORK/live"
    check "it was live" grep -q '^[0-9]* rounds*, ' $WORK/live
    echo "live: $(cat $WORK/live)"
    check "it is another domain" new_id moved "$id"
    goes_on "moved live"
    refused "a downtime that cannot be" 'changes too fast for 0 ms' xm migrate -l --strict --max-downtime 0 --max-rounds 2 moved localhost
    goes_on "not moved"
    xm migrate -l moved localhost >/dev/null 2>&1 &
    sleep 0.3
    kill -9 "$(pidof xend | tr ' ' '\n' | sort -n | tail -n 1)"
    wait $!
    goes_on "xend killed while it moves live"
    check "xm migrate -l, once more: nobody logs it" xm migrate -l moved localhost
    goes_on "moved live once more"
else
    refused "no log of dirty pages" 'leave out -l' xm migrate -l moved localhost
fi

# At this rate it takes minutes: there is time to change one's mind.
fails_in_the_end() { ! wait "$mover"; }
xm migrate -r 1 moved localhost >$WORK/cancelled 2>&1 &
mover=$!
wait_until 60 sh -c "xm list | grep -q migrating-moved"
sleep 2
kill -INT $mover
check "xm migrate that is interrupted fails" fails_in_the_end
goes_on "interrupted"
check "it says so" grep -q 'it was cancelled' $WORK/cancelled

id=$(domid_of moved)
refused "dom0 does not move" 'privileged domain 0' xm migrate 0 localhost
refused "what is not there does not move" 'does not exist' xm migrate nosuch localhost
refused "a port where nobody listens" "can't connect: connection refused" xm migrate -p 8003 moved localhost
refused "another machine that is not paired" 'not paired' xm migrate moved 10.99.0.1
equal "the guest is the one that it was" "$id" "$(domid_of moved)"
relocation_config '^elsewhere$'
refused "a host that is not allowed" 'hosts-allow' xm migrate moved localhost
goes_on "refused"
relocation_config '^localhost$'

# By the bridge's address it is a host like any other: everything goes by TLS, between hosts that are paired.
relocation_config '^localhost$ ^10[.].*$'
check "keys are exchanged" sh -c "xm host-pair 10.0.0.1 >$WORK/pair"
words=$(sed -n 2p $WORK/pair | xargs)
equal "they are six words" 6 "$(echo "$words" | wc -w)"
equal "both sides show them" "asked asks" "$(xm host-list | grep "$words" | awk '{ print $2 }' | sort | xargs)"
refused "words that nobody shows" 'No host that is to be paired' xm host-accept lusab babad gutih tugad mudof sakat
refused "before they are accepted" 'not paired' xm migrate moved 10.0.0.1
check "they are accepted" xm host-accept $words
equal "the hosts are paired" paired "$(xm host-list | awk '$1 == "10.0.0.1" { print $2 }')"
id=$(domid_of moved)
check "xm migrate, by TLS" xm migrate moved 10.0.0.1
check "it is another domain" new_id moved "$id"
goes_on "moved by TLS"
relocation_config '^elsewhere$'
refused "a paired host that is not allowed" 'hosts-allow' xm migrate moved 10.0.0.1
relocation_config '^localhost$ ^10[.].*$'
check "it is paired with the next xend too" sh -c "xm host-list | grep -q paired"
# Another network stands for a stranger: what is not encrypted is refused, on both sides with a line, before it is looked at.
unshare -n sleep 600 &
other=$!
in_other() { nsenter --net=/proc/$other/ns/net "$@"; }
# answered PATTERN BYTES: what the stranger is told who says these
answered() { printf "$2" | in_other timeout 15 nc 10.98.0.1 8002 >$WORK/answer; grep -aq "$1" $WORK/answer; }
ip link add other0 type veth peer name other1
wait_until 10 ip link set other1 netns $other
ip addr add 10.98.0.1/24 dev other0
ip link set other0 up
in_other ip addr add 10.98.0.2/24 dev other1
in_other ip link set other1 up
wait_until 20 in_other ping -c 1 10.98.0.1
check "a stranger without encryption is refused" answered 'from another machine without encryption' '\001\000\000\000\030\000\000\000'
check "a xend of long ago is refused in its words" answered "(xend.err 'it comes from another machine" 'receive\n'
check "the log says who" sh -c "xm log | grep -q '10.98.0.2 is refused: it comes from another machine without encryption'"
kill $other
ip link del other0 2>/dev/null
check "the host is forgotten" xm host-forget 10.0.0.1
refused "and unknown again" 'not paired' xm migrate moved 10.0.0.1
equal "the guest is one" 1 "$(xm list | awk 'NR > 2' | wc -l)"
relocation_config '^localhost$'

for wait in 0.1 0.4 1 2; do
    xm migrate moved localhost >/dev/null 2>&1 &
    sleep $wait
    kill -9 "$(pidof xend | tr ' ' '\n' | sort -n | tail -n 1)"
    wait $!
    goes_on "xend killed after $wait s"
    check "xend killed after $wait s: nothing is left" sh -c '! xenstore-ls /local/domain | grep -q incoming'
done
end moved
same_memory "$before_move"
xend stop
rm -f /etc/xen/xend-config.sxp /xen/images/moved.img
check "xend is as it was" xend start
check "no loop device is left" wait_until 20 sh -c '! losetup -a | grep -q /xen/images/moved.img'
fi
