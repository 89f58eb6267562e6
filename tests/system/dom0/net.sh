# SPDX-License-Identifier: Apache-2.0
# The bridge: ping and 16 MiB over TCP, between dom0 and a domU both ways, and between two domUs.
net_config() { guest "$1" "extra = \"console=hvc0 $2\"" 'vif = [ "bridge=xenbr0" ]' 'memory = 96' 'vcpus = 1'; }
expected=$(pattern 16 | md5sum | cut -d' ' -f1)
forget_console net1
forget_console net2
check "$TOOL create of the first guest" $TOOL create "$(net_config net1 'ip=10.0.0.11 ping=10.0.0.1 serve=7001')"
check "its card is on the bridge" wait_until 30 sh -c "ip -o link show master xenbr0 | grep -q 'vif'"
check "the guest pings dom0" wait_until 120 said net1 'guest: ping 10.0.0.1 ok'
check "dom0 pings the guest" wait_until 30 ping -c 1 -W 2 10.0.0.11
wait_until 20 said net1 'guest: listening on 7001'
usleep 500000
pattern 16 | timeout 300 nc 10.0.0.11 7001
wait_until 120 said net1 'guest: received'
equal "16 MiB over TCP, dom0 to guest" "guest: received $expected" "$(told net1 'guest: received')"
ready net1
type_to net1 'echo second-$((1 + 1)); sleep 900 | nc -l -p 7003 | md5sum | sed "s/^/relay: /"'
wait_until 20 said net1 '^second-2'
# busybox nc ends when either side is at its end: a listener needs an input that stays open.
(sleep 900 | timeout 900 nc -l -p 7002 | md5sum | cut -d' ' -f1 >$WORK/received) &
check "$TOOL create of the second guest" $TOOL create "$(net_config net2 'ip=10.0.0.12 ping=10.0.0.11 send=10.0.0.1:7002')"
check "the second guest pings the first" wait_until 120 said net2 'guest: ping 10.0.0.11 ok'
ready net2
wait_until 300 test -s $WORK/received
equal "16 MiB over TCP, guest to dom0" "$expected" "$(cat $WORK/received)"
type_to net2 'pattern 16 | nc 10.0.0.11 7003'
wait_until 300 said net1 'relay: '
equal "16 MiB over TCP, guest to guest" "relay: $expected" "$(told net1 '^relay: ' | cut -d' ' -f1,2)"
end net1
end net2
check "the cards are gone from the bridge" wait_until 20 sh -c "! ip -o link show master xenbr0 | grep -q vif"
