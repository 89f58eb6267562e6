# SPDX-License-Identifier: Apache-2.0
# What the vif scripts share. Called as: SCRIPT online|offline|add|remove [type_if=vif], with $vif and $XENBUS_PATH.
dir=${0%/*}
. "$dir/xen-hotplug-common.sh"
. "$dir/xen-network-common.sh"

bridge=
netdev=
antispoof=
type_if=vif
parse_arguments "$@"
# The store knows better than the command line: it is about this device.
bridge=$(xenstore_read_default "$XENBUS_PATH/bridge" "$bridge")
ip_list=$(xenstore_read_default "$XENBUS_PATH/ip" '')
mac=$(xenstore_read_default "$XENBUS_PATH/mac" '')
dev=${vif:-$INTERFACE}
[ -n "$XENBUS_PATH" ] || { echo "XENBUS_PATH is not set" >&2; exit 1; }
case $command in
    online | offline) ;;
    add | remove) exit 0 ;;
    *) fatal "Invalid command: '$command' (online or offline is wanted)" ;;
esac
[ -n "$dev" ] || fatal "The name of the interface is missing (vif=)."

# Gives the interface the name its owner wants.
rename_vif() {
    wanted=$(xenstore_read_default "$XENBUS_PATH/vifname" '')
    [ -n "$wanted" ] && [ "$wanted" != "$dev" ] || return 0
    if [ -e "/sys/class/net/$dev" ]; then
        [ ! -e "/sys/class/net/$wanted" ] || fatal "There is an interface named $wanted already."
        ip link set dev "$dev" down
        do_or_die ip link set dev "$dev" name "$wanted"
    fi
    dev=$wanted
}

# dom0's end of every vif has the same address, above all others, so that a bridge never takes it for its own.
setup_vif() {
    ip link set dev "$dev" down
    ip link set dev "$dev" address fe:ff:ff:ff:ff:ff || true
    ip addr flush dev "$dev" 2>/dev/null || true
}

# route_addresses OWN: the guest's addresses are behind the interface, and this machine speaks to them as OWN
route_addresses() {
    for address in $ip_list; do
        case $address in
            *:*) do_or_die ip -6 route replace "$address" dev "$dev" ;;
            *) do_or_die ip route replace "$address" dev "$dev" src "$1" ;;
        esac
    done
}

# With antispoof=yes only the guest's own addresses come out of its interface: its MAC, and of IP what `ip` in the store names; without
# `ip` only the MAC is looked at. DHCP, and what IPv6 needs to find neighbours, pass; what claims to be a router does not. The rules stand
# where the interface's packets come in, so that they hold for bridges and routes alike; the kernel drops them with the interface.
guard_vif() {
    case $antispoof in
        yes | on | 1) ;;
        '' | no | off | 0) return 0 ;;
        *) fatal "antispoof=$antispoof: yes or no is wanted" ;;
    esac
    command -v nft >/dev/null 2>&1 || fatal "antispoof=yes needs nft, of the package nftables"
    case $mac$ip_list in
        *[!0-9a-fA-F.:/\ ]*) fatal "antispoof=yes: the addresses of $dev are not understood (MAC $mac, ip '$ip_list')" ;;
    esac
    chain="netdev xen_antispoof $dev"
    {
        echo "add table netdev xen_antispoof"
        echo "add chain $chain { type filter hook ingress device \"$dev\" priority 0; policy accept; }"
        echo "flush chain $chain"
        [ -z "$mac" ] || echo "add rule $chain ether saddr != $mac drop"
        [ -z "$ip_list" ] || guard_addresses
    } | nft -f - || fatal "nft refuses the rules against wrong addresses of $dev (MAC $mac, ip '$ip_list')"
}

guard_addresses() {
    echo "add rule $chain arp saddr ip 0.0.0.0 accept"
    echo "add rule $chain ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept"
    for address in $ip_list; do
        case $address in
            *:*) echo "add rule $chain ip6 saddr $address accept" ;;
            *)
                echo "add rule $chain arp saddr ip $address accept"
                echo "add rule $chain ip saddr $address accept"
                ;;
        esac
    done
    echo "add rule $chain icmpv6 type nd-router-advert drop"
    echo "add rule $chain ip6 saddr { ::, fe80::/10 } meta l4proto 58 accept"  # ICMPv6, without a file of names
    echo "add rule $chain drop"
}

# The interface goes with the device; it may be gone already.
forget_vif() {
    wanted=$(xenstore_read_default "$XENBUS_PATH/vifname" '')
    [ -z "$wanted" ] || dev=$wanted
    [ -e "/sys/class/net/$dev" ] || return 0
    ip link set dev "$dev" nomaster 2>/dev/null || true
    ip link set dev "$dev" down 2>/dev/null || true
}
