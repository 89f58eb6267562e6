# SPDX-License-Identifier: Apache-2.0
# Cards on a bridge of Open vSwitch, by the script of Debian's xen-utils, unchanged, and by our own: the same words, the same networks.
# An outside host (a namespace) is on the bridge too, and in VLAN 10 of it. xl has scripts of its own.
if [ "$TOOL" != xm ]; then echo "# ovs: scripts of our own tools"; return 0; fi
D=/xenolith/debian-scripts
outside() { ip netns exec outside "$@"; }
ports() { ovs-vsctl --no-wait list-ports ovsbr0; }
has_port() { ports | grep -Fqx -- "$1"; }
port_of() { echo "vif$(domid_of "$1").${2:-0}"; }
backends() { xenstore-list /local/domain/0/backend/vif 2>/dev/null; }
# Nothing of domains, wherever they ended.
nothing_left() { [ -z "$(backends)$(ls /var/run/xend/domains)$(ports | grep -v -x -e lan0 -e v10)" ]; }
show_left() { backends; ls /var/run/xend/domains; ports; $TOOL list; tail -n 20 /var/log/xen/xen-hotplug.log; }
left() { wait_until 60 nothing_left; equal "$1: nothing is left" "" "$(nothing_left || show_left)"; }
# refused_alone NAME PATTERN COMMAND...: refused, in one line, and nothing stays
refused_alone() {
    refused "$@"
    equal "$1: one line" 1 "$(grep -vc '^Using config file' $WORK/out)"
    left "$1"
}
# What guests have of their own: `reach WORD TO` says WORD-0 when it has an answer, in the end; `deaf WORD TO` says WORD-1 when it has none.
words() {
    type_to "$1" 'reach() { n=0; until ping -c 1 -W 2 $2 >/dev/null 2>&1; do n=$((n + 1)); [ $n -lt 10 ] || break; sleep 1; done; echo "$1-$((n / 10))"; }'
    type_to "$1" 'deaf() { ping -c 3 -W 2 $2 >/dev/null 2>&1; echo "$1-$?"; }'
    type_to "$1" 'card() { n=0; until [ -e /sys/class/net/eth1 ]; do n=$((n + 1)); [ $n -lt 100 ] || break; usleep 200000; done; ip addr add $1/24 dev eth1; ip link set eth1 up; }'
}
settings() { printf '%s\n' "$@" >/etc/xen/xend-config.sxp; xend stop && xend start; }
server() { cat /proc/[0-9]*/stat 2>/dev/null | sed -n "s/^\([0-9]*\) (xend) . $(cat /var/run/xend.pid) .*/\1/p"; }
# in_place_of_vsctl TEXT: a shell script that is found before ovs-vsctl; $real is that one
in_place_of_vsctl() {
    mkdir -p /usr/local/sbin
    printf '#!/bin/sh\nreal=/usr/bin/ovs-vsctl\n%s\n' "$1" >/usr/local/sbin/ovs-vsctl
    chmod +x /usr/local/sbin/ovs-vsctl
}
cp /etc/xen/xend-config.sxp $WORK/settings 2>/dev/null || : >$WORK/settings

refused "Open vSwitch is not installed" 'needs ovs-vsctl, of the package openvswitch-switch' $TOOL create "$(tiny no wait "vif = [ 'bridge=ovsbr0,script=vif-openvswitch' ]")"
check "nothing of that domain" gone no
(cd / && cpio -idm --quiet 2>/dev/null </xenolith/ovs.cpio)
modprobe -a openvswitch veth
mkdir -p /etc/openvswitch /run/openvswitch /var/log/openvswitch
ovsdb-tool create /etc/openvswitch/conf.db /usr/share/openvswitch/vswitch.ovsschema
database() { ovsdb-server /etc/openvswitch/conf.db --remote=punix:/run/openvswitch/db.sock --pidfile --detach --log-file; }
switch() { ovs-vswitchd --pidfile --detach --log-file; }
check "Open vSwitch's database runs" database
check "and knows its tables" ovs-vsctl --no-wait --timeout=60 init
check "its daemon runs" switch
check "a bridge" ovs-vsctl --timeout=60 add-br ovsbr0
ip netns add outside
ip link add lan0 type veth peer name eth0 netns outside
ip link set lan0 up
check "the outside host is on it" ovs-vsctl --timeout=60 -- add-port ovsbr0 lan0 -- add-port ovsbr0 v10 tag=10 -- set interface v10 type=internal
ip link set v10 netns outside
outside ip addr add 10.7.0.2/24 dev eth0
outside ip -6 addr add fd00:7::2/64 dev eth0 nodad
outside ip addr add 10.8.0.2/24 dev v10
outside ip link set eth0 up
outside ip link set v10 up

# networks WHOSE SCRIPT A B: what cards on it can do; the guests' addresses end in A and B
networks() {
    local who=$1 script=$2 a=$3 b=$4 first=$1$3 second=$1$4 n
    for n in $a $b; do
        forget_console $who$n
        check "$who: a guest, $n" $TOOL create "$(guest $who$n "extra = \"console=hvc0 ip=10.7.0.$n ping=10.7.0.2\"" "vif = [ 'bridge=ovsbr0,script=$script' ]" 'vcpus = 1' 'memory = 96')"
    done
    for n in $a $b; do
        check "$who: $n pings the outside host" wait_until 120 said $who$n 'guest: ping 10.7.0.2 ok'
        ready $who$n
        words $who$n
        type_to $who$n "ip -6 addr add fd00:7::$n/64 dev eth0; reach six fd00:7::2"
    done
    type_to $first "reach four2 10.7.0.$b; reach six2 fd00:7::$b"
    for n in $a $b; do
        check "$who: $n reaches it by IPv6" wait_until 60 said $who$n 'six-0'
        check "$who: the outside host pings $n" wait_until 30 outside ping -c 1 -W 1 10.7.0.$n
        check "$who: by IPv6 too" wait_until 30 outside ping -c 1 -W 1 fd00:7::$n
    done
    check "$who: one guest reaches the other" wait_until 60 said $first 'four2-0'
    check "$who: by IPv6 too" wait_until 60 said $first 'six2-0'

    # Cards that come while they run, in VLANs of their own.
    check "$who: a card in VLAN 10 comes" $TOOL network-attach $first bridge=ovsbr0.10 script=$script
    check "$who: a card in VLAN 20" $TOOL network-attach $second bridge=ovsbr0.20 script=$script
    type_to $first "card 10.8.0.$a; reach tagged 10.8.0.2"
    check "$who: in VLAN 10 is the outside host's other card" wait_until 60 said $first 'tagged-0'
    type_to $second "card 10.8.0.$b; deaf out 10.8.0.2; deaf in 10.8.0.$a"
    check "$who: in VLAN 20 it is not" wait_until 60 said $second 'out-1'
    check "$who: nor the other guest" wait_until 60 said $second 'in-1'
    check "$who: the card goes" $TOOL network-detach $second 1
    check "$who: and its port" wait_until 10 sh -c "! ovs-vsctl list-ports ovsbr0 | grep -qx $(port_of $second 1)"
    check "$who: another one comes, in VLAN 10, slow" $TOOL network-attach $second bridge=ovsbr0.10 script=$script rate=1Mb/s
    type_to $second "card 10.8.0.$b; reach again 10.8.0.2; reach both 10.8.0.$a"
    check "$who: it reaches the outside host" wait_until 60 said $second 'again-0'
    check "$who: and the other guest" wait_until 60 said $second 'both-0'
    rm -f $WORK/bytes
    # busybox nc ends when either side is at its end.
    (sleep 100 | outside timeout 100 nc -l -p 7009 >$WORK/bytes) &
    type_to $second "(head -c 1000000 /dev/zero; sleep 100) | nc 10.8.0.2 7009 &"
    wait_until 60 test -s $WORK/bytes
    n=$(date +%s)
    check "$who: what it sends arrives" wait_until 60 sh -c "[ \$(stat -c %s $WORK/bytes) = 1000000 ]"
    n=$(($(date +%s) - n))
    check "$who: 8 Mbit at 1 Mb/s take about 8 s: $n" [ $n -ge 5 ]
    check "$who: trunks" $TOOL network-attach $first bridge=ovsbr0:20:30 script=$script
    equal "$who: are those that were said" "[20, 30]" "$(ovs-vsctl get port "$(port_of $first 2)" trunks)"
    check "$who: destroy" $TOOL destroy $first
    check "$who: shutdown" $TOOL shutdown -w $second
    left "$who: after their end"
}
networks debian $D/vif-openvswitch 11 12
check "vif-openvswitch for all cards" settings '(vif-script vif-openvswitch)' '(vif-bridge ovsbr0)'
networks ours vif-openvswitch 21 22

# Ports, with a guest that does nothing with them.
check "a card that says nothing gets the default" $TOOL create "$(tiny def wait "vif = [ '' ]")"
check "on its bridge" has_port "$(port_of def)"
check "a native VLAN beside trunks" $TOOL network-attach def bridge=ovsbr0.5:6:7
equal "as Open vSwitch has it" '5 [6, 7] native-untagged' "$(echo $(ovs-vsctl get port "$(port_of def 1)" tag trunks vlan_mode))"
equal "it says whose it is" "\"$(xenstore-read /local/domain/0/backend/vif/"$(domid_of def)"/0/mac)\" def" \
    "$(echo $(ovs-vsctl get interface "$(port_of def)" external_ids:attached-mac external_ids:xen-vm-name))"
check "a name of 15 characters" $TOOL network-attach def vifname=fifteen-letters
check "is the port's" has_port fifteen-letters
check "and goes" $TOOL network-detach def 2 -f
check "with the port" sh -c '! ovs-vsctl list-ports ovsbr0 | grep -q fifteen'
refused "a name of 16 characters" 'more than 15 characters' $TOOL network-attach def vifname=fifteen-letters1
for name in -- -x 'a b' 'a:b' '"' .. ; do refused "vifname=$name" 'is not a name of an interface' $TOOL network-attach def "vifname=$name"; done
# A name that somebody has: he keeps it, his port and his wire.
refused "another's name" 'There is an interface named lan0 already' $TOOL network-attach def vifname=lan0
refused "on a bridge of Linux, another's name" 'There is an interface named lan0 already' $TOOL network-attach def vifname=lan0 bridge=xenbr0 script=vif-bridge
check "its owner is on the bridge still" has_port lan0
check "and hears" sh -c "ip link show lan0 | grep -q 'state UP'"
ovs-vsctl --no-wait -- add-port ovsbr0 vif999.0 -- set interface vif999.0 'external-ids:xen-vm-uuid="u"' 'external-ids:attached-mac="m"'
ovs-vsctl --no-wait -- add-port ovsbr0 tomorrow
check "a card comes" $TOOL network-attach def
check "a port of a domain that is no more goes with that" sh -c '! ovs-vsctl list-ports ovsbr0 | grep -q vif999'
check "one of somebody else stays" has_port tomorrow
ovs-vsctl --no-wait del-port tomorrow
check "destroy" $TOOL destroy def
left "of these"

# Faults.
refused_alone "a bridge that does not exist" 'no bridge named nosuch' $TOOL create "$(tiny no wait "vif = [ 'bridge=nosuch' ]")"
refused_alone "a bridge of Linux" 'no bridge named xenbr0' $TOOL create "$(tiny no wait "vif = [ 'bridge=xenbr0' ]")"
refused_alone "no tag" "'x' is no VLAN tag" $TOOL create "$(tiny no wait "vif = [ 'bridge=ovsbr0.x' ]")"
refused_alone "a tag too large" "'4096' is no VLAN tag" $TOOL create "$(tiny no wait "vif = [ 'bridge=ovsbr0.4096' ]")"
refused_alone "trunks without an end" "'1:' are no VLAN tags" $TOOL create "$(tiny no wait "vif = [ 'bridge=ovsbr0:1:' ]")"
refused_alone "a word that would be another command" "No valid bridge was specified: '\\\$\(reboot\);--'" $TOOL create "$(tiny no wait "vif = [ 'bridge=\$(reboot);--' ]")"
refused_alone "Debian's script: a bridge that does not exist" 'Device 0 \(vif\) could not be connected' $TOOL create "$(tiny no wait "vif = [ 'bridge=nosuch,script=$D/vif-openvswitch' ]")"
in_place_of_vsctl 'echo "ovs-vsctl: it is broken" >&2; exit 1'
refused_alone "ovs-vsctl fails" 'does not connect .* to ovsbr0: it is broken' $TOOL create "$(tiny no wait "vif = [ '' ]")"
in_place_of_vsctl 'case $* in *add-port*) exec sleep 1000;; esac; exec $real "$@"'
refused_alone "ovs-vsctl hangs" 'no answer within' $TOOL create "$(tiny no wait "vif = [ '' ]")"
rm -f /usr/local/sbin/ovs-vsctl
kill -STOP "$(cat /run/openvswitch/ovsdb-server.pid)"
refused "its database hangs" 'no answer within' $TOOL create "$(tiny no wait "vif = [ '' ]")"
equal "its database hangs: one line" 1 "$(grep -vc '^Using config file' $WORK/out)"
kill -CONT "$(cat /run/openvswitch/ovsdb-server.pid)"
left "its database hangs"
kill "$(cat /run/openvswitch/ovs-vswitchd.pid)"
refused_alone "its daemon is not there" 'no answer within' $TOOL create "$(tiny no wait "vif = [ '' ]")"
check "it comes back" switch
for before in yes no; do
    rm -f $WORK/begun
    if [ $before = yes ]; then in_place_of_vsctl "case \$* in *add-port*) echo \$\$ >$WORK/begun; sleep 60;; esac; exec \$real \"\$@\""
    else in_place_of_vsctl "case \$* in *add-port*) \$real \"\$@\"; echo \$\$ >$WORK/begun; sleep 60;; esac; exec \$real \"\$@\""; fi
    $TOOL create "$(tiny killed wait "vif = [ '' ]")" >/dev/null 2>&1 &
    check "the script is at work" wait_until 120 test -s $WORK/begun
    [ $before = yes ] || check "the port is there" sh -c 'ovs-vsctl list-ports ovsbr0 | grep -q vif'
    kill -9 "$(server)"
    wait_until 100 $TOOL list
    wait $!
    left "xend was killed at it"
    check "no domain either" gone killed
    check "its script has ended" sh -c "! kill -0 $(cat $WORK/begun)"
done
rm -f /usr/local/sbin/ovs-vsctl
free_before=$(settled_free_pages)
for n in 1 2 3; do $TOOL create "$(tiny round wait "vif = [ '' ]")" >/dev/null 2>&1 && $TOOL destroy round; done
left "after three rounds"
check "xend says nothing where nobody hears" sh -c '! grep "Cannot say to neighbours" /var/log/xen/xend.log'
same_memory "$free_before"
check "xend as it was" settings "$(cat $WORK/settings)"
ovs-vsctl --timeout=60 del-br ovsbr0
for name in ovs-vswitchd ovsdb-server; do kill "$(cat /run/openvswitch/$name.pid)"; done
ip link del lan0
ip netns del outside
