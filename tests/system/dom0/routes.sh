# SPDX-License-Identifier: Apache-2.0
# Cards that are routed or hidden instead of bridged, an outside host behind a wire (a namespace), and guests that lie about their addresses.
# The scripts are ours, so is xend: nothing to do with xl.
if [ "$TOOL" != xm ]; then echo "# routes: scripts of our own tools"; return 0; fi
modprobe -a veth nf_tables
# settings LINE...: another xend-config.sxp
settings() { printf '%s\n' "$@" >/etc/xen/xend-config.sxp; xend stop && xend start; }
forwards() { (cd /proc/sys/net && cat ipv4/ip_forward ipv4/conf/lan0/proxy_arp ipv6/conf/all/forwarding ipv6/conf/lan0/proxy_ndp ipv6/conf/lan0/accept_ra) | tr '\n' ' '; }
# known ADDRESS: the MAC under which the outside host knows it
known() { outside ip neigh show "$1" dev eth0 | sed -n 's/.*lladdr \([^ ]*\).*/\1/p'; }
# What guests have of their own: `reach WORD [FROM] TO` says WORD-0 when it has an answer, in the end.
words() { type_to "$1" 'reach() { w=$1; shift; [ $# = 1 ] || f="-I $1"; [ $# = 1 ] || shift; n=0; until ping -c 1 -W 2 $f $1 >/dev/null 2>&1; do n=$((n + 1)); [ $n -lt 10 ] || break; sleep 1; done; f=; echo "$w-$((n / 10))"; }'; }
outside() { ip netns exec outside "$@"; }
cp /etc/xen/xend-config.sxp $WORK/settings 2>/dev/null || : >$WORK/settings
ip netns add outside
ip link add lan0 type veth peer name eth0 netns outside
ip addr add 192.168.50.1/24 dev lan0
ip link set lan0 up
outside ip addr add 192.168.50.2/24 dev eth0
outside ip link set eth0 up
ip -6 addr add fd00:50::1/64 dev lan0 nodad
outside ip -6 addr add fd00:50::2/64 dev eth0 nodad
check "the outside host answers" wait_until 30 ping -c 1 -W 1 192.168.50.2
ip route add default via 192.168.50.2
ip -6 route add default via fd00:50::2
before=$(forwards)
check "vif-antispoof" settings '(vif-antispoof yes)'

check "network-route start" /etc/xen/scripts/network-route start
equal "packets are forwarded, and the card answers for domains" "1 1 1 1 2 " "$(forwards)"
for n in 77 78; do forget_console routed$n; done
# Neighbours that knew these addresses on another host, as after a move.
outside ip neigh replace 192.168.50.77 lladdr 02:00:00:00:00:01 dev eth0 nud stale
outside ip -6 neigh replace fd00:50::77 lladdr 02:00:00:00:00:01 dev eth0 nud stale
for n in 77 78; do
    check "xm create of a routed guest, $n" xm create "$(guest routed$n "extra = \"console=hvc0 ip=192.168.50.$n ping=192.168.50.2\"" "vif = [ 'script=vif-route,ip=192.168.50.$n fd00:50::$n' ]" 'vcpus = 1')"
    [ $n = 78 ] || equal "its neighbours hear at once where it is" "$(cat /sys/class/net/lan0/address) $(cat /sys/class/net/lan0/address)" "$(known 192.168.50.77) $(known fd00:50::77)"
done
for n in 77 78; do
    check "routed $n: it pings the outside host" wait_until 120 said routed$n 'guest: ping 192.168.50.2 ok'
    check "routed $n: the outside host pings it" wait_until 30 outside ping -c 1 -W 1 192.168.50.$n
    ready routed$n
    words routed$n
    type_to routed$n "ip -6 addr add fd00:50::$n/128 dev eth0; ip -6 route add default via fe80::fcff:ffff:feff:ffff dev eth0; reach v6 fd00:50::2"
    check "routed $n: it reaches the outside host by IPv6" wait_until 60 said routed$n 'v6-0'
    check "routed $n: and is reached" wait_until 30 outside ping -c 1 -W 1 fd00:50::$n
done
type_to routed77 'reach other4 192.168.50.78; reach other6 fd00:50::78'
check "a routed guest reaches another one" wait_until 60 said routed77 'other4-0'
check "by IPv6 too" wait_until 60 said routed77 'other6-0'
# A lie that would be believed: there is a way back.
lies=vif$(xm domid routed78).0
ip -6 route add fd00:50::99 dev $lies
ip -6 neigh add proxy fd00:50::99 dev lan0
type_to routed78 'ip -6 addr add fd00:50::99/128 dev eth0; sleep 2; reach lie fd00:50::99 fd00:50::2; reach own fd00:50::78 fd00:50::2'
check "routed: another IPv6 address does not pass" wait_until 90 said routed78 'lie-1'
check "routed: its own does" wait_until 60 said routed78 'own-0'
nft flush chain netdev xen_antispoof $lies
type_to routed78 'reach unguarded fd00:50::99 fd00:50::2'
check "routed: without the rules the other one would" wait_until 60 said routed78 'unguarded-0'
ip -6 neigh del proxy fd00:50::99 dev lan0
end routed78
equal "of one that ended nobody answers for the address" "fd00:50::77 dev lan0 proxy" "$(ip -6 neigh show proxy | sed 's/ *$//')"
refused "routed, without an address" 'vif-route needs ip=' xm create "$(guest nowhere "vif = [ 'script=vif-route' ]")"
check "nothing is left of it" gone nowhere
refused "hidden, with an IPv6 address" 'vif-nat hides IPv4 addresses alone' xm create "$(guest nowhere "vif = [ 'script=vif-nat,ip=10.9.9.1 fd00:50::79' ]")"
check "nothing is left of that" gone nowhere

check "network-nat start" /etc/xen/scripts/network-nat start netdev=lan0
forget_console hidden
check "xm create of a hidden guest" xm create "$(guest hidden 'extra = "console=hvc0"' "vif = [ 'script=vif-nat' ]" 'vcpus = 1')"
ready hidden
net=10.0.$(xm domid hidden)
type_to hidden "ip addr add $net.1/24 dev eth0; ip link set eth0 up; ip route add default via $net.128; ping -c 3 -W 2 192.168.50.2; echo hidden-\$?"
check "hidden: it pings the outside host, which knows no way to it" wait_until 60 said hidden 'hidden-0'
end hidden
end routed77
check "network-nat stop" /etc/xen/scripts/network-nat stop
check "network-route stop" /etc/xen/scripts/network-route stop
equal "what network-nat and network-route changed is as it was" "$before" "$(forwards)"
check "no rule is left of them" sh -c '! nft list tables | grep -q xen_nat'

# On a bridge a lie would be believed: the same is tried with the rules and without.
ip -6 addr add fd00:21::1/64 dev xenbr0 nodad
forget_console liar
check "xm create of a guest on the bridge, with antispoof" xm create "$(guest liar 'extra = "console=hvc0 ip=10.0.0.21 ping=10.0.0.1"' "vif = [ 'bridge=xenbr0,ip=10.0.0.21 fd00:21::21' ]" 'vcpus = 1')"
check "bridged: its own address passes" wait_until 120 said liar 'guest: ping 10.0.0.1 ok'
ready liar
type_to liar 'ip addr add 10.0.0.22/24 dev eth0; lie() { ping -c 2 -W 2 -I 10.0.0.22 10.0.0.1 >/dev/null; echo "$1-$?"; }; lie with'
check "bridged: another one does not" wait_until 60 said liar 'with-1'
type_to liar 'mac=$(cat /sys/class/net/eth0/address); ip link set eth0 down; ip link set eth0 address 00:16:3e:12:34:56; ip link set eth0 up; ping -c 2 -W 2 10.0.0.1 >/dev/null; echo "mac-$?"; ip link set eth0 down; ip link set eth0 address $mac; ip link set eth0 up; ping -c 3 -W 2 10.0.0.1; echo "own-$?"'
check "bridged: nor does another MAC" wait_until 60 said liar 'mac-1'
check "bridged: with its own again it does" wait_until 60 said liar 'own-0'
words liar
type_to liar 'ip -6 addr add fd00:21::21/64 dev eth0; ip -6 addr add fd00:21::22/64 dev eth0; sleep 2; reach own6 fd00:21::21 fd00:21::1; reach lie6 fd00:21::22 fd00:21::1'
check "bridged: its own IPv6 address passes" wait_until 60 said liar 'own6-0'
check "bridged: another one does not" wait_until 90 said liar 'lie6-1'
# One that speaks as itself, and says of itself that it has another's address: Linux does so as a proxy.
ip netns add proxy
ip link add lie0 type veth peer name eth0 netns proxy
ip netns exec proxy ip link set eth0 address 00:16:3e:00:00:31
ip netns exec proxy ip link set eth0 up
store=/xenolith-tests/vif/0/0
xenstore-write $store/mac 00:16:3e:00:00:31 $store/ip fd00:21::31 $store/bridge xenbr0
check "the same script for a proxy" env vif=lie0 XENBUS_PATH=$store /etc/xen/scripts/vif-bridge online antispoof=yes
ip netns exec proxy sh -c 'ip -6 addr add fd00:21::31/64 dev eth0 nodad; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; echo 1 >/proc/sys/net/ipv6/conf/eth0/proxy_ndp; ip -6 neigh add proxy fd00:21::32 dev eth0'
# claimed: whose MAC is believed to have the address
claimed() { ip -6 neigh flush to fd00:21::32 2>/dev/null; ping -c 2 -W 2 fd00:21::32 >/dev/null 2>&1; ip -6 neigh show fd00:21::32 | sed -n 's/.*lladdr \([^ ]*\).*/\1/p'; }
check "the proxy has its own address" wait_until 30 ping -c 1 -W 2 fd00:21::31
equal "its word for another one is not heard" "" "$(claimed)"
nft delete table netdev xen_antispoof
equal "without the rules it would be" 00:16:3e:00:00:31 "$(claimed)"
ip link del lie0
ip netns del proxy
xenstore-rm /xenolith-tests
type_to liar 'lie without; reach unguarded6 fd00:21::22 fd00:21::1'
check "without the rules the lie would be believed" wait_until 60 said liar 'without-0'
check "by IPv6 too" wait_until 60 said liar 'unguarded6-0'
end liar
ip -6 addr del fd00:21::1/64 dev xenbr0
ip route del default
ip -6 route del default
ip link del lan0
ip netns del outside
check "xend as it was" settings "$(cat $WORK/settings)"
