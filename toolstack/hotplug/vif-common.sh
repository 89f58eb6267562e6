# SPDX-License-Identifier: Apache-2.0
# What the vif scripts share. Called as: SCRIPT online|offline|add|remove [type_if=vif], with $vif and $XENBUS_PATH.
dir=${0%/*}
. "$dir/xen-hotplug-common.sh"
. "$dir/xen-network-common.sh"

bridge=
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
