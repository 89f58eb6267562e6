# SPDX-License-Identifier: Apache-2.0
# Debian's libvirt (libvirtd, its Xen driver, libxl) and virsh, on a disk of their own, drive a PV domain through its life, beside xl.
# What libvirt cannot do on any Xen is in checks named so.
if [ "$TOOL" != xl ]; then echo "# libvirt: beside Debian's xl alone"; return 0; fi
ROOT=/xenolith/libvirt
XML=$WORK/lv.xml
export LC_ALL=C LIBVIRT_DEFAULT_URI=xen:///system
# One virsh takes all commands: loading its seventy libraries takes an emulator seconds.
ANSWERS=$WORK/virsh
virsh_begins() {
    [ -p $WORK/ask ] || mkfifo $WORK/ask
    : >$ANSWERS
    TERM=dumb virsh -q <$WORK/ask >>$ANSWERS 2>&1 8>&- &
    exec 8>$WORK/ask
}
virsh_ends() { exec 8>&-; }
# v WORD...: what virsh says to one command, without its own prompt and the echo of what it was asked; fails when it says `error:`.
v() {
    local mark=$RANDOM$RANDOM
    : >$ANSWERS
    printf '%s\necho e"n"d-%s\n' "$*" "$mark" >&8
    wait_until 150 grep -q "end-$mark" $ANSWERS || { cat $ANSWERS; return 1; }
    sed -e 1d -e '/^virsh # echo e"n"d/d' -e 's/^virsh # //' -e "/^end-$mark/d" -e '/^$/d' $ANSWERS
    ! grep -q '^error:' $ANSWERS
}
answers() { timeout 60 virsh -q uri; }
unknown_calls() { xl dmesg | grep 'unknown'; }
# state_is STATE [NAME]
state_is() { [ "$(v domstate "${2:-lv}" 2>/dev/null | head -n 1)" = "$1" ]; }
# field NAME COMMAND...: the value behind `NAME:` in what the command says
field() { local name=$1; shift; v "$@" | sed -n "s/^$name *: *//p"; }
not_in_libvirt() { refused "libvirt's own: no $1" 'not supported by the connection driver' v "$@"; }
beats() { grep -c 'beat-[0-9]' "$(console_log lv)"; }
more_beats() { [ "$(beats)" -gt "$1" ]; }
goes_on() { check "$1: the guest goes on" wait_until 60 more_beats "$(($(beats) + 2))"; }
# inside NAME COMMAND PATTERN: a command typed into the guest's console has an answer like that
inside() { type_to lv "$2" && check "$1" wait_until 60 said lv "$3"; }
# boots WHAT: a guest that has just been started says so, and then beats
boots() {
    check "$1: the guest boots" ready lv
    type_to lv '(n=0; while sleep 1; do n=$((n + 1)); echo beat-$n; done) &'
}
definition() {
    cat <<END
<domain type='xen'><name>lv</name><uuid>11111111-2222-3333-4444-555555555555</uuid><memory unit='MiB'>112</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='xenpv'>linux</type><kernel>/xen/guest/vmlinuz</kernel><initrd>/xen/guest/initrd.img</initrd><cmdline>console=hvc0</cmdline></os>
<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
<devices><disk type='file' device='disk'><driver name='phy' type='raw'/><source file='/xen/images/lv.img'/><target dev='xvda' bus='xen'/></disk>
<interface type='bridge'><mac address='00:16:3e:01:02:03'/><source bridge='xenbr0'/></interface>
<console type='pty'><target type='xen'/></console></devices></domain>
END
}

modprobe -a ata_piix sd_mod ext4
wait_until 20 test -b /dev/sda
mkdir -p $ROOT /usr/share /run/libvirt /var/log/libvirt/libxl /var/lib/libvirt /var/cache/libvirt /usr/lib/xen-4.17/bin
check "libvirt's disk is there" mount -o ro /dev/sda $ROOT
for name in usr/lib/x86_64-linux-gnu usr/lib/libvirt usr/share/libvirt usr/sbin/libvirtd usr/bin/virsh usr/lib/xen-4.17/bin/libxl-save-helper; do
    [ -e /$name ] || ln -s $ROOT/$name /$name
done
cp -r $ROOT/etc/libvirt /etc/
echo 0123456789abcdef0123456789abcdef >/etc/machine-id
unknown=$(unknown_calls)
daemon() { LIBVIRT_LOG_OUTPUTS=2:file:/var/log/libvirt/libvirtd.log libvirtd -d; }
check "libvirtd starts" daemon
if ! wait_until 120 answers; then failed_check "it answers"; tail -n 20 /var/log/libvirt/libvirtd.log | sed 's/^/# /'; return 0; fi

# The machine.
check "virsh begins" virsh_begins
equal "version" "Running hypervisor: Xen 4.17.0" "$(v version | sed -n 's/^\(Running.*4\.17\).*/\1.0/p')"
v capabilities >$WORK/capabilities
check "capabilities: PV domains of 64 bits" grep -q "<machine>xenpv</machine>" $WORK/capabilities
check "capabilities: both CPUs, and that domains move live" sh -c "grep -q \"<cpus num='$CPUS'>\" $WORK/capabilities && grep -q '<live/>' $WORK/capabilities"
v nodeinfo >$WORK/nodeinfo
equal "nodeinfo: CPUs" "$CPUS" "$(sed -n 's/^CPU(s): *//p' $WORK/nodeinfo)"
equal "nodeinfo: memory is xl's, in whole MiB" "$(xl info | sed -n 's/^total_memory *: *//p')" "$(($(sed -n 's/^Memory size: *\([0-9]*\) KiB/\1/p' $WORK/nodeinfo) / 1024))"
equal "freecell: so is what is free" "$(xl info | sed -n 's/^free_memory *: *//p')" "$(($(v freecell | sed -n 's/^Total: *\([0-9]*\) KiB/\1/p') / 1024))"
check "cpu-stats of dom0" v cpu-stats 0 --total
equal "list --all: dom0 alone" "0 Domain-0 running" "$(v list --all | xargs)"
for words in "nodecpustats" "nodememstats" "nodecpumap" "domstats 0"; do not_in_libvirt $words; done

# A domain that is kept.
truncate -s 8M /xen/images/lv.img /xen/images/hot.img
definition >$XML
virsh event --all --loop >$WORK/events 2>&1 8>&- & listener=$!
check "define" v define $XML
equal "it is shut off" "- lv shut off" "$(v list --inactive | xargs)"
check "dumpxml" v dumpxml lv
cp $WORK/out $WORK/dumped
check "with what was said" sh -c "grep -q \"<mac address='00:16:3e:01:02:03'/>\" $WORK/dumped && grep -q \"<source file='/xen/images/lv.img'/>\" $WORK/dumped"
v domxml-to-native --format xen-xl --domain lv >$WORK/native.cfg
check "domxml-to-native" grep -q '^name = "lv"' $WORK/native.cfg
forget_console lv
check "start" v start lv
refused "start of what runs" 'already active' v start lv
boots "start"
equal "list" "lv running" "$(v list | awk '$2 == "lv" { print $2, $3 }')"
check "xl list has it too" listed lv
equal "domid is xl's" "$(domid_of lv)" "$(v domid lv | head -n 1)"
equal "dominfo: memory and CPUs" "114688 KiB 2" "$(field 'Used memory' dominfo lv) $(field 'CPU(s)' dominfo lv)"
equal "ttyconsole" "$(xenstore-read "/local/domain/$(domid_of lv)/console/tty")" "$(v ttyconsole lv)"

# Its console, by the only way that virsh has: a terminal.
(wait_until 60 grep -q 'Escape character' $WORK/typed; sleep 1; printf 'echo by-virsh-$((6 * 7))\n'; wait_until 60 grep -q 'by-virsh-42' $WORK/typed; printf '\035'; sleep 2) |
    timeout 150 script -qfc 'virsh console --force lv' $WORK/typed >/dev/null 2>&1
check "console: what is typed arrives, what it says is shown" grep -q 'by-virsh-42' $WORK/typed

# What it has.
equal "domblklist" "xvda /xen/images/lv.img" "$(v domblklist lv | xargs)"
equal "domiflist" "vif$(domid_of lv).0 bridge xenbr0 - 00:16:3e:01:02:03" "$(v domiflist lv | xargs)"
inside "the guest writes to its disk" 'echo through-libvirt | dd of=/dev/xvda bs=512 conv=sync,fsync 2>/dev/null && echo wrote-$((7 * 7))' 'wrote-49'
equal "which is in the file" through-libvirt "$(head -c 15 /xen/images/lv.img)"
check "domblkstat counts it" [ "$(v domblkstat lv xvda | sed -n "s/^xvda wr_req //p")" -gt 0 ]
inside "its card reaches dom0" 'ip addr add 10.0.0.77/24 dev eth0; ip link set eth0 up; n=0; until ping -c 1 -W 1 10.0.0.1 >/dev/null || [ $n = 20 ]; do n=$((n + 1)); done; echo card-$((n < 20))' 'card-1'
check "domifstat counts it" [ "$(v domifstat lv "vif$(domid_of lv).0" | sed -n 's/^.* rx_packets //p')" -gt 0 ]

# What changes while it runs.
check "setmem" v setmem lv 96M --live
equal "xl list shows it" 96 "$(xl list lv | awk 'NR == 2 { print $3 }')"
check "setmem back" v setmem lv 112M --live
check "setmaxmem" v setmaxmem lv 128M --live
check "setvcpus" v setvcpus lv 1 --live
inside "the guest has one" 'n=0; until [ $(nproc) = 1 ] || [ $n = 20 ]; do n=$((n + 1)); sleep 1; done; echo cpus-is-$(nproc)' 'cpus-is-1'
equal "vcpucount" "2 1" "$(v vcpucount lv --maximum --live | xargs) $(v vcpucount lv --current --live | xargs)"
check "setvcpus back" v setvcpus lv 2 --live
check "vcpupin" v vcpupin lv 1 0 --live
equal "xl vcpu-list shows it" 0 "$(xl vcpu-list lv | awk '$3 == 1 { print $7 }')"
equal "vcpupin shows it" "1 0" "$(v vcpupin lv --vcpu 1 | xargs)"
check "vcpuinfo" v vcpuinfo lv
equal "schedinfo" credit2 "$(field Scheduler schedinfo lv)"
check "schedinfo --set" v schedinfo lv --set weight=512
equal "it has that weight" 512 "$(field weight schedinfo lv)"
check "attach-disk" v attach-disk lv /xen/images/hot.img xvdb --sourcetype file --driver phy --subdriver raw --live
inside "the guest has the disk" 'n=0; until [ -b /dev/xvdb ] || [ $n = 20 ]; do n=$((n + 1)); sleep 1; done; yes hot | head -c 65536 >/dev/xvdb; sync; echo hot-$((6 * 9))' 'hot-54'
equal "domblklist has both" "xvda xvdb" "$(v domblklist lv | awk '{ print $1 }' | xargs)"
check "detach-disk" v detach-disk lv xvdb --live
equal "what the guest wrote is in the file" "$(yes hot | head -c 65536 | md5sum)" "$(head -c 65536 /xen/images/hot.img | md5sum)"
check "the loop device is given back" wait_until 20 sh -c '! losetup -a | grep -q /xen/images/hot.img'
check "attach-interface" v attach-interface lv bridge xenbr0 --mac 00:16:3e:05:06:07 --live
equal "domiflist has both" 2 "$(v domiflist lv | grep -c xenbr0)"
inside "the guest has the card" 'n=0; until [ -e /sys/class/net/eth1 ] || [ $n = 20 ]; do n=$((n + 1)); sleep 1; done; echo mac-$(cat /sys/class/net/eth1/address)' 'mac-00:16:3e:05:06:07'
check "detach-interface" v detach-interface lv bridge --mac 00:16:3e:05:06:07 --live
equal "domiflist has one" 1 "$(v domiflist lv | grep -c xenbr0)"

# It stands still, and goes on.
check "suspend" v suspend lv
check "it is paused" state_is paused
equal "for xl too" p "$(state_of lv | cut -c 3)"
check "resume" v resume lv
goes_on "resume"
check "save" v save lv $WORK/saved
check "it is shut off" state_is 'shut off'
check "it is gone" wait_until 30 gone lv
check "restore" v restore $WORK/saved
rm -f $WORK/saved
goes_on "restore"
inside "restored: its disk" 'echo again-$(dd if=/dev/xvda bs=15 count=1 2>/dev/null)' 'again-through-libvirt'
check "managedsave" v managedsave lv
equal "dominfo says so" yes "$(field 'Managed save' dominfo lv)"
check "start goes on from there" v start lv
goes_on "managed save"

# Its ends.
id=$(domid_of lv)
forget_console lv
check "reboot" v reboot lv
check "another domain of that name" wait_until 60 new_id lv "$id"
boots "reboot"
check "shutdown" v shutdown lv
check "it is shut off" wait_until 60 state_is 'shut off'
check "and gone" wait_until 30 gone lv
check "start --paused" v start lv --paused
check "destroy" v destroy lv
check "it is gone" wait_until 30 gone lv
check "undefine" v undefine lv
refused "it is not known" 'failed to get domain' v dominfo lv
check "create: a domain that is not kept" v create $XML
check "xl destroys it" xl destroy lv
unheard_of() { ! v domid "$1"; }
check "libvirt notices" wait_until 30 unheard_of lv
kill -INT $listener
wait_until 30 sh -c "! kill -0 $listener" || kill -9 $listener
for event in Started Suspended Resumed Stopped Undefined; do check "event: $event" grep -Eq "event 'lifecycle' for domain '?lv'?: $event" $WORK/events; done

# Two who do not know each other.
check "xl create beside it" xl create "$(tiny other wait)"
refused "libvirt's own: it does not see what it did not make" 'failed to get domain' v dominfo other
end other
for wrong in /xen/guest/vmlinuz xenbr0 /xen/images/lv.img; do
    sed "s,$wrong,/nosuch," $XML >$WORK/wrong.xml
    refused "there is no $wrong" '^error: ' v create $WORK/wrong.xml
done
check "nothing of them stays" wait_until 30 gone lv
equal "no back end, no loop device" "" "$(for kind in vbd vif console; do xenstore-list /local/domain/0/backend/$kind 2>/dev/null; done; losetup -a)"
virsh_ends
kill "$(pidof libvirtd)"
check "libvirtd ends" wait_until 30 sh -c '! pidof libvirtd'
equal "the hypervisor knew all that was asked" "$unknown" "$(unknown_calls)"
rm -f /xen/images/lv.img /xen/images/hot.img
umount -l $ROOT
