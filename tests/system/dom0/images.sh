# SPDX-License-Identifier: Apache-2.0
# Disks that are images of other formats than raw: a qemu-nbd serves each to a device of dom0. xl has its own way for them.
if [ "$TOOL" = xm ]; then
I=/xen/images/of
img=$I/disk.qcow2
served() { ls -l /proc/[0-9]*/exe 2>/dev/null | grep -c qemu-nbd; }
connected() { cat /sys/block/nbd*/backend 2>/dev/null | grep -c .; }
nothing_left() { [ "$(served) $(connected)" = "0 0" ]; }
# in_guest NAME NUMBER COMMAND: typed into the guest, which says NUMBER twice over when all of it went well
in_guest() { type_to "$1" "{ $3; } && echo did-\$(($2 * 2))"; wait_until 150 said "$1" "did-$(($2 * 2))"; }
# What the guest has of its own: `put DISK WORD` is through when 256 KiB are on the disk, and `disk NAME` when there is one. Each that
# comes gets a name that none had before: of one that goes dom0 hears before it has vanished from the guest's /dev.
words() { type_to "$1" 'disk() { until [ -b /dev/$1 ]; do usleep 200000; done; }; put() { disk $1 && yes $2 | head -c 262144 | dd of=/dev/$1 bs=64k iflag=fullblock conv=fsync,notrunc 2>/dev/null && [ -b /dev/$1 ]; }'; }
# image_sum FORMAT FILE KIB: of its first bytes, from outside
image_sum() {
    if qemu-img convert -f "$1" -O raw "$2" $I/out.raw; then head -c $(($3 * 1024)) $I/out.raw | md5sum | cut -d' ' -f1; else echo "it cannot be read"; fi
    rm -f $I/out.raw
}
text_sum() { yes "$1" | head -c 262144 | md5sum | cut -d' ' -f1; }
mkdir -p $I

forget_console im
refused "qemu-utils is not installed" 'needs /usr/bin/qemu-img, which is not there' sh -c "truncate -s 1M $img; $TOOL create $(tiny no x "disk = [ 'tap:qcow2:$img,xvda,w' ]")"
(cd / && cpio -idm --quiet 2>/dev/null </xenolith/images.cpio)
rm -f $img
check "images are made" sh -c "qemu-img create -q -f qcow2 $img 16M && qemu-img create -q -f vpc -o subformat=dynamic $I/disk.vhd 16M && qemu-img create -q -f vmdk $I/disk.vmdk 16M && qemu-img create -q -f vdi $I/disk.vdi 16M"
yes from-outside | head -c 262144 >$I/text
qemu-img convert -f raw -O qcow2 $I/text $I/written.qcow2
check "a guest starts on a qcow2 image" $TOOL create "$(guest im 'extra = "console=hvc0"' "disk = [ 'format=qcow2, vdev=xvda, access=rw, backendtype=qdisk, target=$img' ]")"
check "it runs" ready im
words im
equal "one server, one device" "1 1" "$(served) $(connected)"
check "it writes" in_guest im 1001 "put xvda inside"
refused "another domain cannot have the image" "is in use" $TOOL create "$(tiny no x "disk = [ 'qcow2:$img,xvda,r' ]")"
ln -s $img $I/link
refused "not under another name either" "is in use" $TOOL create "$(tiny no x "disk = [ 'file:$I/link,xvda,w' ]")"
refused "nor twice in one domain" "is in use|another process" $TOOL block-attach im qcow2:$I/link xvdb w
refused "w! would be its end" "has one writer" $TOOL block-attach im tap:qcow2:$I/written.qcow2 xvdb 'w!'
refused "it does not move" "cannot move: its disk xvda is a qcow2 image" $TOOL migrate im localhost

# What comes and goes while it runs.
number=2000
for case in "xvdb tap:tapdisk:vmdk:$I/disk.vmdk vmdk $I/disk.vmdk" "xvdc vdi:$I/disk.vdi vdi $I/disk.vdi" "xvdd vhd:$I/disk.vhd vpc $I/disk.vhd"; do
    set -- $case
    number=$((number + 1))
    check "block-attach $2" $TOOL block-attach im "$2" "$1" w
    check "the guest writes to it" in_guest im $number "put $1 hot"
    check "block-detach" $TOOL block-detach im "$1"
    equal "the $3 image has it" "$(text_sum hot)" "$(image_sum "$3" "$4" 256)"
    equal "and is given back" "1 1" "$(served) $(connected)"
done
check "an image that was written outside" $TOOL block-attach im qcow2:$I/written.qcow2 xvde r
check "is read inside" in_guest im 2101 "disk xvde; echo sum-\$(md5sum </dev/xvde)"
equal "byte for byte" "sum-$(text_sum from-outside)" "$(told im '^sum-' | cut -d' ' -f1)"
check "block-detach" $TOOL block-detach im xvde

# Faults: one line each, and nothing stays.
head -c 65536 /dev/urandom >$I/noise.img
qemu-img create -q -f qcow2 $I/base.qcow2 4M
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 $I/child.qcow2 && rm $I/base.qcow2
head -c 1048576 /dev/zero >$I/base.raw
qemu-img create -q -f qcow2 -b base.raw -F raw $I/unsaid.qcow2  # behind its header: the format, which an older QEMU does not write
printf 'none' | dd of=$I/unsaid.qcow2 bs=1 seek=112 conv=notrunc status=none
qemu-img create -q -f qcow2 -o data_file=$I/data.raw $I/elsewhere.qcow2 4M
cp $I/written.qcow2 $I/damaged.qcow2 && printf '\377\377\377\377' | dd of=$I/damaged.qcow2 bs=1 seek=20 conv=notrunc status=none
refused "an image of another format" "not in qcow2 format" $TOOL block-attach im qcow2:$I/noise.img xvdb w
refused "a damaged image" "damaged.qcow2" $TOOL block-attach im qcow2:$I/damaged.qcow2 xvdb w
refused "a backing file that is missing" "backing file that does not exist: $I/base.qcow2" $TOOL block-attach im qcow2:$I/child.qcow2 xvdb w
refused "a backing file that would be guessed at" "format of its backing file $I/base.raw is not written" $TOOL block-attach im qcow2:$I/unsaid.qcow2 xvdb w
refused "data in another file" "data is in another file" $TOOL block-attach im qcow2:$I/elsewhere.qcow2 xvdb w
refused "no image at all" "does not exist" $TOOL block-attach im qcow2:$I/none.qcow2 xvdb w
# A guest that writes an image's head into its raw disk changes nothing of what dom0 takes it for.
cp $I/elsewhere.qcow2 $I/raw.img
check "a raw image that looks like another" $TOOL block-attach im raw:$I/raw.img xvdf r
check "is raw to the guest" in_guest im 2201 "disk xvdf; echo head-\$(dd if=/dev/xvdf bs=3 count=1 2>/dev/null)"
check "its own first bytes" said im '^head-QFI'
check "block-detach" $TOOL block-detach im xvdf
equal "none of it left a server" "1 1" "$(served) $(connected)"

# Its server ends with it, and comes with it.
check "save" $TOOL save im $I/saved
check "a saved domain has no server" nothing_left
equal "what it wrote is in its image" "$(text_sum inside)" "$(image_sum qcow2 $img 256)"
check "the image is sound" qemu-img check -q -f qcow2 $img
check "restore" $TOOL restore $I/saved
rm -f $I/saved
check "it reads its disk" in_guest im 2401 "echo now-\$(head -c 262144 /dev/xvda | md5sum)"
equal "as it was" "now-$(text_sum inside)" "$(told im '^now-' | cut -d' ' -f1)"

# Under load, and a server that dies.
check "a disk under load" $TOOL block-attach im qcow2:$I/written.qcow2 xvdg w
type_to im 'disk xvdg; (while dd if=/dev/zero of=/dev/xvdg bs=4k count=64 conv=fsync 2>/dev/null; do :; done; echo load-$((5 * 11))) &'
sleep 3
for pid in /proc/[0-9]*; do grep -qs written.qcow2 $pid/cmdline && kill -9 ${pid#/proc/} && break; done
check "its server is killed: the guest sees errors" wait_until 60 said im 'load-55'
check "and loses the disk as any other" sh -c "$TOOL block-detach im xvdg || $TOOL block-detach im xvdg -f"
equal "nothing of it stays" "1 1" "$(served) $(connected)"
check "it goes on with its own" in_guest im 2301 "put xvda again"
check "the image may be served again" $TOOL block-attach im qcow2:$I/written.qcow2 xvdh w
type_to im 'disk xvdh; dd if=/dev/zero of=/dev/xvdh bs=4k count=64 conv=fsync 2>/dev/null &'
check "and is taken by force" $TOOL block-detach im xvdh -f
equal "leaving nothing" "1 1" "$(served) $(connected)"

# A xend that is killed as it attaches one.
server() { cat /proc/[0-9]*/stat 2>/dev/null | sed -n "s/^\([0-9]*\) (xend) . $(cat /var/run/xend.pid) .*/\1/p"; }
for wait in 0 80000 160000 300000 500000; do
    $TOOL block-attach im qcow2:$I/written.qcow2 xvdb w >/dev/null 2>&1 &
    usleep $wait
    kill -9 "$(server)"
    wait $!
    wait_until 60 sh -c "$TOOL block-list im >$WORK/list && ! grep -q ^51728 $WORK/list || { $TOOL block-detach im xvdb -f; false; }"
    check "killed after $wait us: one server, one device" wait_until 30 sh -c ". $TESTS/lib.sh; [ \"\$(ls -l /proc/[0-9]*/exe 2>/dev/null | grep -c qemu-nbd) \$(cat /sys/block/nbd*/backend 2>/dev/null | grep -c .)\" = '1 1' ]"
done

check "destroy" $TOOL destroy im
check "nothing is left" wait_until 30 nothing_left
module=$(find /lib/modules -name 'nbd.ko*')
check "the driver goes" modprobe -r nbd
mv "$module" $I/module
refused "without the driver" "its module nbd cannot be loaded" $TOOL create "$(tiny no x "disk = [ 'qcow2:$img,xvda,w' ]")"
mv $I/module "$module"
check "and nothing is left of that" nothing_left
check "nor of domains" gone no
# What dom0 needs to map many grants it keeps; from here on it has that.
forget_console im
free_before=$(settled_free_pages)
qemu-img create -q -f vdi $I/long.vdi 1G
check "another guest" $TOOL create "$(guest im 'extra = "console=hvc0"' "disk = [ 'qcow2:$img,xvda,w', 'vdi:$I/long.vdi,xvdb,w' ]")"
check "runs with two images" ready im
equal "two servers, two devices" "2 2" "$(served) $(connected)"
# What the guest was promised: a block that it has synced is in the image, whatever is under way when the disk goes. Each write here
# makes the image longer.
words im
type_to im 'disk xvdb; (i=1; while printf "%-4096s" block-$i | dd of=/dev/xvdb bs=4096 seek=$((i * 257)) conv=fsync,notrunc 2>/dev/null && [ -b /dev/xvdb ]; do echo synced-$i; i=$((i + 1)); done) &'
check "it writes and syncs" wait_until 240 said im '^synced-12'
check "the disk goes meanwhile" $TOOL block-detach im xvdb
promised=$(grep -E '^synced-[0-9]+' "$(console_log im)" | tail -n 1 | tr -dc 0-9)
promised=${promised:-none}
check "its image is sound" qemu-img check -q -f vdi $I/long.vdi
qemu-img convert -f vdi -O raw $I/long.vdi $I/out.raw
kept=0
while [ "$(dd if=$I/out.raw bs=4096 skip=$(((kept + 1) * 257)) count=1 2>/dev/null | tr -d ' \0')" = "block-$((kept + 1))" ]; do kept=$((kept + 1)); done
rm -f $I/out.raw
check "what was synced is there: $promised blocks promised, $kept kept" [ $kept -ge "$promised" ]
check "destroy" $TOOL destroy im
check "nothing is left" wait_until 30 nothing_left
rm -rf $I
same_memory "$free_before"
fi
