# SPDX-License-Identifier: Apache-2.0
# Runs in dom0: what it costs to save, restore and move a stock guest of 128 MB without devices, and how long it stands still for that.
# TOOL is xm or xl; the other host is this one.
cost=/xenolith/bench/command-cost
mkdir -p /run/bench/more/bin
cd /run/bench || exit 1
give_up() { echo "bench: FAILED: $*"; tail -n 5 $console; exit 1; }
shown() { $cost "$@" >out 2>&1 || { cat out; give_up "$*"; }; grep '^bench: ' out; }
wait_until() {
    local left=$1
    shift
    until "$@"; do left=$((left - 1)); [ $left -gt 0 ] || give_up "$*"; sleep 1; done
}
console=/var/log/xen/console/guest-moved.log
said() { grep -q -- "$1" $console; }

cp /xenolith/bench/silence more/bin/silence
chmod 755 more/bin/silence
(cd more && find bin | cpio -o -H newc 2>/dev/null) >more.cpio
cat /xen/guest/initrd.img more.cpio >initrd

# begin MB [MIB]: a guest of so much memory that watches its own gaps, and rewrites MIB of its memory all the time
begin() {
    : >$console 2>/dev/null
    {
        printf 'name = "moved"\nkernel = "/xen/guest/vmlinuz"\nramdisk = "/run/bench/initrd"\nmemory = %s\nvcpus = 1\n' "$1"
        printf 'extra = "console=hvc0"\non_crash = "preserve"\n'
    } >moved.cfg
    $TOOL create moved.cfg >out 2>&1 || { cat out; give_up "create"; }
    wait_until 300 said 'guest: ready'
    printf 'silence %s\n' "$2" >"$(xenstore-read "/local/domain/$($TOOL domid moved)/console/tty")"
    wait_until 60 said 'gaps are watched'
    sleep 2
}
# watched NAME COMMAND...: what it costs, and the guest's longest gap meanwhile
watched() {
    local before after
    before=$(wc -l <$console)
    shown "$@"
    wait_until 30 gap_after "$before"
    after=$(tail -n +$((before + 1)) $console | tr -d '\r' | sed -n 's/^gap: //p' | sort -n | tail -n 1)
    echo "bench: $1, silence: $after"
}
gap_after() { tail -n +$(($1 + 1)) $console | grep -q '^gap: '; }
end() { $TOOL destroy moved >/dev/null; }

begin 128
shown "save" $TOOL save moved image
sync
shown "restore" $TOOL restore image
sleep 2
rm image
if [ "$TOOL" = xm ]; then
    ip link set lo up
    xend stop
    printf "(xend-relocation-server yes)\n(xend-relocation-hosts-allow '^localhost\$')\n" >/etc/xen/xend-config.sxp
    xend start || give_up "xend start"
    watched "migrate" xm migrate moved localhost
    sleep 2
    watched "migrate -l" xm migrate -l moved localhost
    end
    begin 256
    watched "migrate -l, 256 MB" xm migrate -l moved localhost
    end
    begin 128 16
    watched "migrate -l, 16 MB rewritten" xm migrate -l moved localhost
fi
end
echo "bench: done"
