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

# main_address CARD: its first IPv4 address
main_address() { ip -4 -o addr show dev "$1" scope global 2>/dev/null | awk '{ sub("/.*", "", $4); print $4; exit }'; }

# answer_for_others CARD: neighbours there are told that addresses behind other cards are here
answer_for_others() { echo 1 >"/proc/sys/net/ipv4/conf/$1/proxy_arp" || fatal "cannot have $1 answer for others"; }

# What `start` changes is noted with what it was, once, and `stop` puts it back.
NOTES=/var/run/xen-hotplug
# set_for_now WHO FILE VALUE
set_for_now() {
    mkdir -p "$NOTES"
    grep -qs "^$2 " "$NOTES/$1.before" || echo "$2 $(cat "$2")" >>"$NOTES/$1.before" || fatal "cannot write $NOTES/$1.before"
    echo "$3" >"$2" || fatal "cannot write $3 to $2"
}
# put_back WHO
put_back() {
    [ -e "$NOTES/$1.before" ] || return 0
    while read -r file value; do
        # The card may be gone by now.
        [ ! -e "$file" ] || echo "$value" >"$file"
    done <"$NOTES/$1.before"
    rm -f "$NOTES/$1.before"
}
