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

# route_addresses OWN: the guest's IPv4 addresses are behind the interface, and this machine speaks to them as OWN
route_addresses() {
    for address in $ip_list; do
        case $address in
            *:*) ;;
            *) do_or_die ip route replace "$address" dev "$dev" src "$1" ;;
        esac
    done
}

# With antispoof=yes only the guest's own addresses come out of its interface: its MAC, and of IP what `ip` in the store names; without
# `ip` only the MAC is looked at. DHCP, and what IPv6 needs to find neighbours, pass; what claims to be a router or to have another's
# address does not. The rules stand where the interface's packets come in, so that they hold for bridges and routes alike; the kernel
# drops them with the interface.
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
    rules=$(guard_rules) || exit 1
    echo "$rules" | nft -f - || fatal "nft refuses the rules against wrong addresses of $dev (MAC $mac, ip '$ip_list')"
}

guard_rules() {
    chain="netdev xen_antispoof $dev"
    echo "add table netdev xen_antispoof"
    echo "add chain $chain { type filter hook ingress device \"$dev\" priority 0; policy accept; }"
    echo "flush chain $chain"
    [ -z "$mac" ] || echo "add rule $chain ether saddr != $mac drop"
    [ -n "$ip_list" ] || return 0
    guard_ipv4
    guard_ipv6
    echo "add rule $chain drop"
}

guard_ipv4() {
    echo "add rule $chain arp saddr ip 0.0.0.0 accept"
    echo "add rule $chain ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept"
    for address in $ip_list; do
        case $address in
            *:*) continue ;;
        esac
        echo "add rule $chain arp saddr ip $address accept"
        echo "add rule $chain ip saddr $address accept"
    done
}

# Own are also the link-local address that is made of the MAC, and any that `ip` names. Numbers stand for what nft looks up in files.
guard_ipv6() {
    own=
    for address in $ip_list ${mac:+$(link_local "$mac")}; do
        case $address in
            *:*) own="$own $address" ;;
        esac
    done
    # 134, 137: "I am a router", "there is a better one". 136: "I have this address", which stands 64 bits behind the beginning.
    echo "add rule $chain icmpv6 type { 134, 137 } drop"
    lie="icmpv6 type 136"
    for address in $own; do
        bits=$(leading_bits "$address") || fatal "antispoof=yes: '$address' of $dev is no IPv6 address"
        lie="$lie @th,64,${bits% *} != 0x${bits#* }"
        # 135: "who has this address?": who has none yet asks so whether one is free, and nobody else can take that one.
        echo "add rule $chain ip6 saddr :: icmpv6 type 135 @th,64,${bits% *} 0x${bits#* } accept"
    done
    echo "add rule $chain $lie drop"
    # 131, 132, 143: what it listens to; 133: "where is a router?"
    echo "add rule $chain ip6 saddr :: icmpv6 type { 131, 132, 133, 143 } accept"
    for address in $own; do echo "add rule $chain ip6 saddr $address accept"; done
}

# first_name: what netback calls the interface of the back end's folder .../vif/DOMID/VIF
first_name() {
    domid=${XENBUS_PATH%/*}
    echo "vif${domid##*/}.${XENBUS_PATH##*/}"
}

# is_vif NAME: whether this interface is this device's, whoever else has one of that name
is_vif() {
    device=$(readlink "/sys/class/net/$1/device" 2>/dev/null) || return 1
    [ "${device##*/}" = "$(first_name | sed 's/^vif/vif-/; s/[.]/-/')" ]
}

# The interface goes with the device; it may be gone already, or never have got its name.
forget_vif() {
    wanted=$(xenstore_read_default "$XENBUS_PATH/vifname" '')
    [ -z "$wanted" ] || dev=$wanted
    is_vif "$dev" || return 0
    ip link set dev "$dev" nomaster 2>/dev/null || true
    ip link set dev "$dev" down 2>/dev/null || true
}
