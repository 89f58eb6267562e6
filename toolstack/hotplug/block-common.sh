# SPDX-License-Identifier: Apache-2.0
# What the block scripts share.
dir=${0%/*}
. "$dir/xen-hotplug-common.sh"
parse_arguments "$@"
case $command in
    add | remove) ;;
    *) fatal "Invalid command: '$command' (add or remove is wanted)" ;;
esac
[ -n "$XENBUS_PATH" ] || { echo "XENBUS_PATH is not set" >&2; exit 1; }

# device_numbers DEVICE: "MAJOR:MINOR" in hexadecimal, as the back end reads it
device_numbers() {
    numbers=$(stat -L -c '%t:%T' "$1" 2>/dev/null) || fatal "$1 does not exist."
    case $numbers in
        0:0 | '') fatal "$1 is not a block device." ;;
    esac
    echo "$numbers"
}

# write_dev DEVICE: tells the back end which device it is to serve
write_dev() {
    [ -b "$1" ] || fatal "$1 is not a block device."
    numbers=$(device_numbers "$1") || exit 1
    xenstore_write "$XENBUS_PATH/node" "$1" "$XENBUS_PATH/physical-device-path" "$1"
    # last: this is what the back end waits for
    xenstore_write "$XENBUS_PATH/physical-device" "$numbers"
    success
}
