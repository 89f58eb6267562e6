# SPDX-License-Identifier: Apache-2.0
# Cards that are routed or hidden instead of bridged, an outside host behind a wire (a namespace), and guests that lie about their addresses.
# The scripts are ours, so is xend: nothing to do with xl.
if [ "$TOOL" != xm ]; then echo "# routes: scripts of our own tools"; return 0; fi
modprobe -a veth nf_tables
# settings LINE...: another xend-config.sxp
settings() { printf '%s\n' "$@" >/etc/xen/xend-config.sxp; xend stop && xend start; }
forwards() { echo "$(cat /proc/sys/net/ipv4/ip_forward) $(cat /proc/sys/net/ipv4/conf/lan0/proxy_arp)"; }
outside() { ip netns exec outside "$@"; }
cp /etc/xen/xend-config.sxp $WORK/settings 2>/dev/null || : >$WORK/settings
ip netns add outside
ip link add lan0 type veth peer name eth0 netns outside
ip addr add 192.168.50.1/24 dev lan0
ip link set lan0 up
outside ip addr add 192.168.50.2/24 dev eth0
outside ip link set eth0 up
check "the outside host answers" wait_until 30 ping -c 1 -W 1 192.168.50.2
ip route add default via 192.168.50.2
before=$(forwards)
check "vif-antispoof" settings '(vif-antispoof yes)'

check "network-route start" /etc/xen/scripts/network-route start
equal "packets are forwarded, and the card answers for domains" "1 1" "$(forwards)"
forget_console routed
check "xm create of a routed guest" xm create "$(guest routed 'extra = "console=hvc0 ip=192.168.50.77 ping=192.168.50.2"' "vif = [ 'script=vif-route,ip=192.168.50.77' ]" 'vcpus = 1')"
check "routed: it pings the outside host" wait_until 120 said routed 'guest: ping 192.168.50.2 ok'
check "routed: the outside host pings it" wait_until 30 outside ping -c 1 -W 1 192.168.50.77
refused "routed, without an address" 'vif-route needs ip=' xm create "$(guest nowhere "vif = [ 'script=vif-route' ]")"
check "nothing is left of it" gone nowhere

check "network-nat start" /etc/xen/scripts/network-nat start netdev=lan0
forget_console hidden
check "xm create of a hidden guest" xm create "$(guest hidden 'extra = "console=hvc0"' "vif = [ 'script=vif-nat' ]" 'vcpus = 1')"
ready hidden
net=10.0.$(xm domid hidden)
type_to hidden "ip addr add $net.1/24 dev eth0; ip link set eth0 up; ip route add default via $net.128; ping -c 3 -W 2 192.168.50.2; echo hidden-\$?"
check "hidden: it pings the outside host, which knows no way to it" wait_until 60 said hidden 'hidden-0'
end hidden
end routed
check "network-nat stop" /etc/xen/scripts/network-nat stop
check "network-route stop" /etc/xen/scripts/network-route stop
equal "what network-nat and network-route changed is as it was" "$before" "$(forwards)"
check "no rule is left of them" sh -c '! nft list tables | grep -q xen_nat'

# On a bridge a lie would be believed: the same is tried with the rules and without.
forget_console liar
check "xm create of a guest on the bridge, with antispoof" xm create "$(guest liar 'extra = "console=hvc0 ip=10.0.0.21 ping=10.0.0.1"' "vif = [ 'bridge=xenbr0,ip=10.0.0.21' ]" 'vcpus = 1')"
check "bridged: its own address passes" wait_until 120 said liar 'guest: ping 10.0.0.1 ok'
ready liar
type_to liar 'ip addr add 10.0.0.22/24 dev eth0; lie() { ping -c 2 -W 2 -I 10.0.0.22 10.0.0.1 >/dev/null; echo "$1-$?"; }; lie with'
check "bridged: another one does not" wait_until 60 said liar 'with-1'
type_to liar 'mac=$(cat /sys/class/net/eth0/address); ip link set eth0 down; ip link set eth0 address 00:16:3e:12:34:56; ip link set eth0 up; ping -c 2 -W 2 10.0.0.1 >/dev/null; echo "mac-$?"; ip link set eth0 down; ip link set eth0 address $mac; ip link set eth0 up; ping -c 3 -W 2 10.0.0.1; echo "own-$?"'
check "bridged: nor does another MAC" wait_until 60 said liar 'mac-1'
check "bridged: with its own again it does" wait_until 60 said liar 'own-0'
nft delete table netdev xen_antispoof
type_to liar 'lie without'
check "without the rules the lie would be believed" wait_until 60 said liar 'without-0'
end liar
ip route del default
ip link del lan0
ip netns del outside
check "xend as it was" settings "$(cat $WORK/settings)"
