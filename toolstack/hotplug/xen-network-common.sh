# SPDX-License-Identifier: Apache-2.0
# What the network scripts share: bridges and interfaces, by iproute2.

# default_route_device: the interface behind the default route
default_route_device() { ip -o route show default 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1; }

is_bridge() { [ -d "/sys/class/net/$1/bridge" ]; }

# first_bridge: the bridge of the default route's device, or the first there is
first_bridge() {
    device=$(default_route_device)
    if [ -n "$device" ] && is_bridge "$device"; then
        echo "$device"
        return
    fi
    for entry in /sys/class/net/*/bridge; do
        [ -d "$entry" ] || continue
        entry=${entry%/bridge}
        echo "${entry##*/}"
        return
    done
}

# create_bridge NAME: makes it if it is not there: no spanning tree, no forwarding delay
create_bridge() {
    [ -e "/sys/class/net/$1" ] && return 0
    ip link add name "$1" type bridge stp_state 0 forward_delay 0 2>/dev/null || ip link add name "$1" type bridge
}

# add_to_bridge BRIDGE INTERFACE
add_to_bridge() {
    [ "$(readlink -f "/sys/class/net/$2/master" 2>/dev/null)" = "$(readlink -f "/sys/class/net/$1")" ] && return 0
    ip link set dev "$2" master "$1"
}
