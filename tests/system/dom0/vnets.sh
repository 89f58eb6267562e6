# SPDX-License-Identifier: Apache-2.0
# Virtual networks: this host's part of them, with other hosts in their places: namespaces behind a wire, which speak VXLAN as any kernel does.
if [ "$TOOL" != xm ]; then echo "# vnets: of our own tools"; return 0; fi
modprobe -a veth vxlan
far() { ip netns exec "far$1" "${@:2}"; }
nothing_left() { [ -z "$(xenstore-list /local/domain/0/backend/vif 2>/dev/null)$(ls /var/run/xend/domains)" ]; }
no_link() { local link; for link in "$@"; do [ ! -e "/sys/class/net/$link" ] || return 1; done; }
server() { cat /proc/[0-9]*/stat 2>/dev/null | sed -n "s/^\([0-9]*\) (xend) . $(cat /var/run/xend.pid) .*/\1/p"; }
again() { kill -9 "$(server)"; wait_until 30 $TOOL list; }
# vnet NAME TEXT: a description; its file
vnet() { echo "$2" >$WORK/$1.sxp; echo $WORK/$1.sxp; }
# refused_vnet NAME PATTERN TEXT: one line, and no vnet
refused_vnet() {
    refused "$1" "$2" $TOOL vnet-create "$(vnet bad "$3")"
    equal "$1: one line" 1 "$(wc -l <$WORK/out)"
}
# The wire, with two other hosts.
ip link add wire0 type bridge
ip addr add 192.168.60.1/24 dev wire0
ip link set wire0 up
for n in 2 3; do
    ip netns add far$n
    ip link add wire$n type veth peer name eth0 netns far$n
    ip link set wire$n master wire0
    ip link set wire$n up
    far $n ip addr add 192.168.60.$n/24 dev eth0
    far $n ip link set eth0 up
    far $n ip link set lo up
done
check "the other hosts answer" wait_until 30 sh -c 'ping -c 1 -W 1 192.168.60.2 && ping -c 1 -W 1 192.168.60.3'
# member HOST NUMBER WORDS ADDRESS: a host of that network
member() {
    local n=$1 vni=$2 address=$4
    far $n ip link add vx$vni type vxlan id $vni dstport 4789 dev eth0 $3
    far $n ip addr add $address/24 dev vx$vni
    far $n ip link set vx$vni up
}
member 2 151 "group 224.10.0.1" 10.97.0.2
member 3 152 "group 224.10.0.1" 10.97.0.3
member 2 119 "remote 192.168.60.1" 10.98.0.2

equal "there is none" "" "$($TOOL vnet-list)"
check "vnet-create" $TOOL vnet-create "$(vnet 97 '(vnet (id 97) (bridge vnet97) (vnetif vnif97) (security none) (dev wire0))')"
check "another one, whose peers are named" $TOOL vnet-create "$(vnet 77 '(vnet (id 0:0:0:0:0:0:0:77) (peers 192.168.60.2 192.168.60.3))')"
equal "vnet-list" "77 97" "$(echo $($TOOL vnet-list))"
equal "vnet-list -l" "(vnet (id 77) (bridge vnet77) (vnetif vnif77) (security none) (vni 119) (peers 192.168.60.2 192.168.60.3) (port 4789)) (vnet (id 97) (bridge vnet97) (vnetif vnif97) (security none) (vni 151) (group 224.10.0.1) (dev wire0) (port 4789))" \
    "$(echo $($TOOL vnet-list -l) | sed 's/ )/)/g')"
equal "vnet-list of one" "(vnet (id 77)" "$($TOOL vnet-list 0:0:0:0:0:0:0:77 | tr '\n' ' ' | tr -s ' ' | cut -c 1-13)"
equal "this host is not on it" "" "$(ip -o addr show dev vnet97)$(ip -o addr show dev vnif97)"
forget_console vn
check "a guest on both" $TOOL create "$(guest vn 'extra = "console=hvc0 ip=10.97.0.9 ping=10.97.0.2"' "vif = [ 'vnet=97', 'vnet=77' ]" 'vcpus = 1' 'memory = 96')"
check "reaches the other host of the first" wait_until 120 said vn 'guest: ping 10.97.0.2 ok'
ready vn
check "which reaches it" far 2 ping -c 2 -W 3 10.97.0.9
check "one with another number does not" sh -c '! ip netns exec far3 ping -c 3 -W 2 10.97.0.9'
type_to vn 'ip addr add 10.98.0.9/24 dev eth1; ip link set eth1 up; ping -c 3 -W 2 10.97.0.3 >/dev/null; echo "other-$?"; n=0; until ping -c 1 -W 2 10.98.0.2; do n=$((n + 1)); [ $n -lt 10 ] || break; sleep 1; done; echo "second-$((n / 10))"'
check "nor the guest it" wait_until 60 said vn 'other-1'
check "the guest's second card is on the second" wait_until 60 said vn 'second-0'
check "an address on the bridge lets this host look in" sh -c 'ip addr add 10.97.0.1/24 dev vnet97 && ping -c 1 -W 5 10.97.0.2 && ip addr del 10.97.0.1/24 dev vnet97'
refused "one that is in use stays" "Vnet '97' is in use by domain 'vn'" $TOOL vnet-delete 97
check "a card comes" $TOOL network-attach vn vnet=97
check "on its bridge" sh -c "ip -o link show master vnet97 | grep -q vif$(domid_of vn).2"
check "and goes" $TOOL network-detach vn 2
refused "one that is not there" "Vnet '98' does not exist" $TOOL network-attach vn vnet=98
refused "no id" 'is not the id of a vnet' $TOOL network-attach vn vnet=xyz
refused "nor beside a bridge" 'has a bridge of its own' $TOOL network-attach vn vnet=97 bridge=xenbr0

check "xend is killed" again
equal "and knows them" "77 97" "$(echo $($TOOL vnet-list))"
check "frames go on" far 2 ping -c 2 -W 3 10.97.0.9
end vn
# As after a restart of the machine: what is kept is made again, as far as it is missing.
check "xend stops" xend stop
ip link del vnif77
ip link del vnif97
ip link del vnet97
check "xend starts" xend start
check "and makes what is missing" wait_until 120 sh -c 'ip -o link show master vnet97 | grep -q vnif97 && ip -o link show master vnet77 | grep -q vnif77'
check "with its peers" sh -c 'bridge fdb show dev vnif77 | grep -q "00:00:00:00:00:00 dst 192.168.60.3 "'
ip link del vnif97
ip link del vnet97
check "a domain makes one that somebody took away" $TOOL create "$(tiny needs wait "vif = [ 'vnet=97' ]")"
check "its card is on it" sh -c 'ip -o link show master vnet97 | grep -q vif'
end needs
refused "a domain on none" "Vnet '5' does not exist" $TOOL create "$(tiny none wait "vif = [ 'vnet=5' ]")"
check "nothing of it" wait_until 30 nothing_left

# What is no vnet.
refused_vnet "a list without an end" 'syntax error|not closed|open' '(vnet (id 98)'
refused_vnet "something else" '\(vnet \(id ID\)' '(net (id 98))'
refused_vnet "no id" 'is missing' '(vnet (bridge b98))'
refused_vnet "a wrong id" 'is not the id' '(vnet (id 98x))'
refused_vnet "too many fields" 'is not the id' '(vnet (id 1:2:3:4:5:6:7:8:9))'
refused_vnet "zero" 'is not the id' '(vnet (id 0))'
refused_vnet "an id of more than 24 bits" '\(vni NUMBER\)' '(vnet (id aaff:0:0:0:0:0:77:88))'
refused_vnet "an id twice" 'given twice' '(vnet (id 98) (id 99))'
refused_vnet "an unknown word" "'colour' is not known" '(vnet (id 98) (colour red))'
refused_vnet "a name too long" 'is no name of an interface' '(vnet (id 98) (bridge sixteen-letters1))'
refused_vnet "a name that is a command" 'is no name of an interface' "(vnet (id 98) (bridge '\$(reboot)'))"
refused_vnet "a name that is an option" 'is no name of an interface' '(vnet (id 98) (vnetif -x))'
refused_vnet "keys" 'VXLAN has no keys' '(vnet (id 98) (security conf))'
refused_vnet "no multicast group" 'is no IPv4 multicast address' '(vnet (id 98) (group 10.0.0.1))'
refused_vnet "a group as peer" 'is no IPv4 address of a host' '(vnet (id 98) (peers 224.0.0.1))'
refused_vnet "both" 'not by both' '(vnet (id 98) (group 224.1.1.1) (peers 10.0.0.1))'
refused_vnet "the same again" "Vnet '97' already exists" '(vnet (id 97))'
refused_vnet "another's name" 'the name vnet97 is that of vnet' '(vnet (id 98) (bridge vnet97) (dev wire0))'
refused_vnet "another's number" 'number 151 is that of vnet' '(vnet (id 98) (vni 151) (dev wire0))'
refused_vnet "an interface that somebody has" 'there is an interface wire2 already' '(vnet (id 98) (vnetif wire2) (dev wire0))'
check "it is as it was" sh -c 'ip link show wire2 | grep -q "master wire0" && [ ! -e /sys/class/net/vnet98 ]'
refused_vnet "a bridge that somebody has" 'there is an interface xenbr0 already' '(vnet (id 98) (bridge xenbr0) (dev wire0))'
refused_vnet "a card that is not there" 'there is no interface nocard' '(vnet (id 98) (dev nocard))'
refused_vnet "no default route" 'no default route' '(vnet (id 98))'
refused "no file" 'File not found' $TOOL vnet-create $WORK/nowhere
refused "no vnet" "Vnet '98' does not exist" $TOOL vnet-delete 98
refused "no id" 'is not the id' $TOOL vnet-delete '../node'
equal "nothing came of them" "77 97" "$(echo $($TOOL vnet-list))"
check "no interface" no_link vnet98 vnif98

# A xend that is killed at it.
cp /etc/xen/scripts/vnet $WORK/vnet.script
for when in before after; do
    rm -f $WORK/begun
    cp $WORK/vnet.script /etc/xen/scripts/vnet.real
    {
        echo '#!/bin/sh'
        [ $when = before ] || echo 'sh /etc/xen/scripts/vnet.real "$@" || exit 1'
        echo "case \"\$1 \$2\" in 'start id=55') echo \$\$ >$WORK/begun; sleep 60;; esac"
        [ $when = after ] || echo 'exec sh /etc/xen/scripts/vnet.real "$@"'
    } >/etc/xen/scripts/vnet
    $TOOL vnet-create "$(vnet 55 '(vnet (id 55) (dev wire0))')" >/dev/null 2>&1 &
    check "a vnet is being made" wait_until 120 test -s $WORK/begun
    [ $when = before ] || check "it is there" test -e /sys/class/net/vnif55
    check "xend is killed" again
    wait $!
    check "nothing of it stays" wait_until 120 no_link vnet55 vnif55
    equal "it is not kept" "77 97" "$(echo $($TOOL vnet-list))"
done
cat $WORK/vnet.script >/etc/xen/scripts/vnet
rm -f /etc/xen/scripts/vnet.real

ip link add port0 type veth peer name port1
ip link set port0 master vnet97
refused "a bridge with others' ports stays" 'has other ports: port0' $TOOL vnet-delete 97
equal "and is kept" "77 97" "$(echo $($TOOL vnet-list))"
ip link del port0
for id in 77 97; do check "vnet-delete $id" $TOOL vnet-delete $id; done
equal "there is none any more" "" "$($TOOL vnet-list)"
check "nor an interface" no_link vnet77 vnif77 vnet97 vnif97
ip link del wire0
for n in 2 3; do ip netns del far$n; done
