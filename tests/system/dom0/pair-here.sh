# SPDX-License-Identifier: Apache-2.0
# The first of two machines (tests/system/pair): a guest leaves for the second, and comes back with what it held in memory and on disk.
. $TESTS/pair.sh
wire 10.77.0.1 10.77.0.2
# What the first move needs of the hypervisor's own memory stays with it.
forget_console first
check "xm create of a first one" xm create "$(guest first 'extra = "console=hvc0"' 'vif = [ "bridge=xenbr0" ]')"
check "it reaches user space" ready first
check "and moves within the machine" xm migrate first localhost
end first
before_move=$(settled_free_pages)
check "the other machine answers" wait_until 300 ping -c 1 -W 1 10.77.0.2
forget_console moved
check "xm create" xm create "$(guest moved 'extra = "console=hvc0"' 'disk = [ "phy:/dev/sda,xvda,w" ]' 'vif = [ "bridge=xenbr0" ]')"
check "the guest reaches user space" ready moved
type_to moved '(echo marker | dd of=/dev/xvda bs=512 conv=sync,fsync; dd if=/dev/urandom of=/tmp/data bs=1M count=16; md5sum /tmp/data >/tmp/sum) 2>/dev/null'
type_to moved '(n=0; while md5sum -c /tmp/sum >/dev/null 2>&1; do n=$((n + 1)); echo whole-$n; usleep 300000; done; echo torn-$n) &'
check "it checks its memory again and again" wait_until 120 said moved 'whole-3'
refused "before they are paired" 'not paired' xm migrate moved 10.77.0.2
check "the other xend takes domains" wait_until 300 sh -c "xm host-pair 10.77.0.2 >$WORK/pair"
words=$(sed -n 2p $WORK/pair | xargs)
echo "# words: $words"
check "its words are accepted" xm host-accept $words
check "the other side accepts them too, and it moves" wait_until 300 xm migrate moved 10.77.0.2
check "it is gone here" wait_until 60 gone moved
check "it comes back" wait_until 600 listed moved
goes_on "back"
type_to moved 'echo disk-$(dd if=/dev/xvda bs=6 count=1 2>/dev/null)'
check "back: the disk has what was written there" wait_until 60 said moved 'disk-second'
check "back: disk and card are connected" wait_until 60 sh -c "[ \"\$(xm block-list moved | awk 'NR > 1 { print \$4 }') \$(xm network-list moved | awk 'NR == 2 { print \$5 }')\" = '4 4' ]"
xm migrate moved 10.77.0.2 >$WORK/killed 2>&1
echo "# xend there is killed: $(head -n 1 $WORK/killed)"
check "xend there is killed: it is here in the end" wait_until 300 listed moved
goes_on "xend there is killed"
end moved
same_memory "$before_move"
check "the other machine is told that all is over" wait_until 120 sh -c "echo over | nc -w 5 10.77.0.2 7100"
