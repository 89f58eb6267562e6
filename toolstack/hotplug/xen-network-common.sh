# SPDX-License-Identifier: Apache-2.0
# What the network scripts share: bridges and interfaces, by iproute2.

# default_route_device: the interface behind the default route
default_route_device() {
    { ip -o route show default; ip -6 -o route show default; } 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1
}

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

# main_address6 CARD: its first IPv6 address that is to last
main_address6() {
    ip -6 -o addr show dev "$1" scope global 2>/dev/null | grep -Ev ' (temporary|deprecated|tentative|dadfailed)' |
        awk '{ sub("/.*", "", $4); print $4; exit }'
}

# link_local MAC: the IPv6 address that a card with this MAC gives itself
link_local() {
    IFS=:
    set -- $1
    unset IFS
    echo "fe80::$(printf '%02x' $((0x$1 ^ 2)))$2:${3}ff:fe$4:$5$6"
}

# leading_bits ADDRESS[/LENGTH]: "LENGTH NUMBER", the first bits of an IPv6 address as one hexadecimal number. Status 1: it is none.
leading_bits() {
    echo "$1" | awk '
        function groups(text, part,    n, i, out) {
            n = text == "" ? 0 : split(text, part, ":")
            for (i = 1; i <= n; i++) {
                if (part[i] !~ /^[0-9a-fA-F]+$/ || length(part[i]) > 4) exit bad = 1
                out = out substr("0000", length(part[i]) + 1) tolower(part[i])
            }
            return out
        }
        {
            length_ = 128
            if (i = index($0, "/")) { length_ = substr($0, i + 1); $0 = substr($0, 1, i - 1) }
            if (length_ !~ /^[0-9]+$/ || length_ + 0 < 1 || length_ + 0 > 128) exit bad = 1
            length_ += 0
            gap = index($0, "::")
            front = groups(gap ? substr($0, 1, gap - 1) : $0, a)
            back = gap ? groups(substr($0, gap + 2), b) : ""
            missing = 32 - length(front) - length(back)
            if (gap ? missing < 4 : missing != 0) exit bad = 1
            while (missing-- > 0) front = front "0"
            hex = front back
            for (i = 1; i <= 32; i++) {
                digit = index("0123456789abcdef", substr(hex, i, 1)) - 1
                for (weight = 8; weight >= 1; weight /= 2) { bits = bits (digit >= weight ? 1 : 0); digit %= weight }
            }
            bits = substr(bits, 1, length_)
            while (length(bits) % 4) bits = "0" bits
            for (i = 1; i <= length(bits); i += 4)
                out = out substr("0123456789abcdef", 1 + 8 * substr(bits, i, 1) + 4 * substr(bits, i + 1, 1) + 2 * substr(bits, i + 2, 1) + substr(bits, i + 3, 1), 1)
            print length_, out
        }
        END { exit bad }'
}

# answer_for_others CARD: neighbours there are told that addresses behind other cards are here
answer_for_others() { echo 1 >"/proc/sys/net/ipv4/conf/$1/proxy_arp" || fatal "cannot have $1 answer for others"; }

# answer_for CARD ADDRESS: neighbours there are told that the IPv6 address is here
answer_for() { do_or_die ip -6 neigh replace proxy "$2" dev "$1"; }
# stop_answering_for ADDRESS: on no card any more
stop_answering_for() {
    for interface in /sys/class/net/*; do
        ip -6 neigh del proxy "$1" dev "${interface##*/}" 2>/dev/null || true
    done
}

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
