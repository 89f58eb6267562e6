# SPDX-License-Identifier: Apache-2.0
# What all hotplug scripts share. Sourced by a POSIX shell (busybox ash will do).
# A script is called with XENBUS_PATH = the device's back-end folder in the store. It says how it went in
# hotplug-status = connected | error | busy, with the reason in hotplug-error, and ends with a status to match.

PATH=$PATH:/usr/sbin:/sbin:/usr/bin:/bin
export PATH
unset CDPATH IFS
LOCKS=/var/run/xen-hotplug

log() { # LEVEL TEXT...
    log_level=$1
    shift
    echo "$log_level: $*" >&2
}

# The reason goes to the store and to our caller; nothing stays locked.
fatal() {
    log err "$@"
    if [ -n "$XENBUS_PATH" ]; then
        xenstore-write "$XENBUS_PATH/hotplug-error" "$*" "$XENBUS_PATH/hotplug-status" "${fatal_status:-error}" 2>/dev/null
    fi
    exit 1
}

success() { xenstore-write "$XENBUS_PATH/hotplug-status" connected || exit 1; }

do_or_die() { "$@" || fatal "$* failed"; }

need() { command -v "$1" >/dev/null 2>&1 || fatal "the program $1 is missing"; }

# xenstore_read PATH: the value, or the end of the script
xenstore_read() {
    xenstore-read "$1" 2>/dev/null || fatal "xenstore-read $1 failed."
}
# xenstore_read_default PATH DEFAULT
xenstore_read_default() { xenstore-read "$1" 2>/dev/null || echo "$2"; }
# xenstore_write PATH VALUE [PATH VALUE]...
xenstore_write() { xenstore-write "$@" || fatal "Writing $1 to xenstore failed."; }

# Arguments are key=value; the one without `=` is the command. A key becomes a shell variable only if it is one of ours.
command=
parse_arguments() {
    for argument in "$@"; do
        case $argument in
            type_if=*) type_if=${argument#*=} ;;
            bridge=*) bridge=${argument#*=} ;;
            netdev=*) netdev=${argument#*=} ;;
            vifnum=*) vifnum=${argument#*=} ;;
            antispoof=*) antispoof=${argument#*=} ;;
            dhcp=*) dhcp=${argument#*=} ;;
            *=*) log warning "the argument $argument is not understood" ;;
            *) command=$argument ;;
        esac
    done
}

# claim_lock NAME: waits until this script is the only one that holds NAME; it lets go when it ends.
claim_lock() {
    mkdir -p "$LOCKS"
    exec 9>"$LOCKS/$1.lock" || fatal "cannot write $LOCKS/$1.lock"
    flock 9 || fatal "cannot lock $LOCKS/$1.lock"
}
release_lock() { exec 9>&-; }
