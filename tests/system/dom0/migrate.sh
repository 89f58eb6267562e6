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

id=$(domid_of moved)
refused "dom0 does not move" 'privileged domain 0' xm migrate 0 localhost
refused "what is not there does not move" 'does not exist' xm migrate nosuch localhost
refused "no live migration yet" 'leave out -l' xm migrate -l moved localhost
refused "a port where nobody listens" "can't connect: connection refused" xm migrate -p 8003 moved localhost
refused "another machine, readable for all" 'another machine' xm migrate moved 10.99.0.1
equal "the guest is the one that it was" "$id" "$(domid_of moved)"
relocation_config '^elsewhere$'
refused "a host that is not allowed" 'hosts-allow' xm migrate moved localhost
goes_on "refused"
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
