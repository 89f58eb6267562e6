# SPDX-License-Identifier: Apache-2.0
# 64 MiB through a file-backed disk, read back by the guest and by dom0.
truncate -s 80M /xen/images/disk.img
forget_console disk
check "$TOOL create with a file-backed disk" $TOOL create "$(guest disk 'extra = "console=hvc0 disk-test then=poweroff"' 'disk = [ "file:/xen/images/disk.img,xvda,w" ]')"
wait_until 150 said disk 'guest: disk '
wait_until 60 gone disk
expected=$(pattern 64 | md5sum | cut -d' ' -f1)
equal "64 MiB: the guest reads back what it wrote" "guest: disk $expected" "$(told disk 'guest: disk ')"
equal "64 MiB: dom0 sees the same in the file" "$expected" "$(dd if=/xen/images/disk.img bs=1M count=64 2>/dev/null | md5sum | cut -d' ' -f1)"
check "the loop device is given back" wait_until 20 sh -c '! losetup -a | grep -q /xen/images/disk.img'
end disk
rm -f /xen/images/disk.img
# A disk that comes while the guest runs: what is written through it is outside when it has gone.
if [ "$TOOL" = xm ]; then
    truncate -s 4M /xen/images/hot.img
    forget_console hot
    check "$TOOL create of a guest for hot devices" $TOOL create "$(guest hot 'extra = "console=hvc0"')"
    check "it runs" ready hot
    check "$TOOL block-attach" $TOOL block-attach hot file:/xen/images/hot.img xvdb w
    check "the guest has the disk and writes to it" sh -c ". $TESTS/lib.sh; wait_until 20 $TOOL block-list hot; type_to hot 'while ! [ -b /dev/xvdb ]; do sleep 1; done; yes through-a-hot-disk | head -c 65536 >/dev/xvdb; sync; echo hot-\$((6 * 9))'; wait_until 40 said hot 'hot-54'"
    equal "$TOOL block-list shows it, connected" "51728 4" "$($TOOL block-list hot | awk '$1 == 51728 { print $1, $4 }')"
    refused "it cannot be attached twice" 'already connected' $TOOL block-attach hot file:/xen/images/hot.img xvdb w
    check "$TOOL block-detach" $TOOL block-detach hot xvdb
    equal "what the guest wrote is in the file" "$(yes through-a-hot-disk | head -c 65536 | md5sum)" "$(head -c 65536 /xen/images/hot.img | md5sum)"
    check "the loop device is given back" wait_until 20 sh -c '! losetup -a | grep -q /xen/images/hot.img'
    check "xl's form is taken too" $TOOL block-attach hot /xen/images/hot.img,raw,xvdb,rw
    check "the guest has it" sh -c ". $TESTS/lib.sh; type_to hot 'while ! [ -b /dev/xvdb ]; do sleep 1; done; echo again-\$((7 * 9))'; wait_until 40 said hot 'again-63'"
    check "a paused guest" $TOOL pause hot
    refused "does not let go of it when it is asked" 'is busy' $TOOL block-detach hot 51728
    check "and loses it by force" $TOOL block-detach hot 51728 -f
    equal "$TOOL block-list shows none" 0 "$($TOOL block-list hot | grep -c 51728)"
    check "$TOOL unpause" $TOOL unpause hot
    check "$TOOL network-attach" $TOOL network-attach hot bridge=xenbr0 mac=00:16:3e:05:06:07
    check "the card is connected" wait_until 20 sh -c "[ \"\$($TOOL network-list hot | awk '\$3 == \"00:16:3e:05:06:07\" { print \$1, \$5 }')\" = '0 4' ]"
    check "$TOOL network-detach" $TOOL network-detach hot 0
    equal "$TOOL network-list shows none" 1 "$($TOOL network-list hot | wc -l)"
    check "the guest goes on" sh -c ". $TESTS/lib.sh; type_to hot 'echo on-\$((8 * 9))'; wait_until 20 said hot 'on-72'"
    check "$TOOL destroy" $TOOL destroy hot
    wait_until 30 gone hot
    equal "nothing of its devices stays" "" "$(for kind in vbd vif; do xenstore-list /local/domain/0/backend/$kind 2>/dev/null; done)$(losetup -a | grep hot.img)"
    rm -f /xen/images/hot.img
fi
# A guest whose kernel is on its own disk.
if [ "$TOOL" = xm ]; then
    forget_console booted
    on_disk() { tiny booted x 'kernel = ""' 'extra = ""' 'vcpus = 2' 'disk = [ "file:/xenolith/boot.img,xvda,w" ]' "$@"; }
    check "$TOOL create with a boot loader" $TOOL create "$(on_disk 'bootloader = "/usr/bin/pygrub"')"
    check "its kernel was found by its menu, and runs" wait_until 60 said booted 'guest: status'
    equal "with its ramdisk, filled up to words as GRUB does" "guest: a module of 8 bytes" "$(told booted 'guest: a module')"
    # What else it finds is the scenario tiny's: QEMU 7.2 has another error code for INT n than a CPU.
    equal "which begins as it should" "" "$(told booted 'FAILED: the module')"
    check "it is gone" wait_until 30 gone booted
    refused "an entry without a kernel" 'boot/not-there' $TOOL create "$(on_disk 'bootloader = "pygrub"' 'bootargs = "--entry=0"')"
    refused "a boot loader that is not there" "Boot loader isn't executable: nosuch" $TOOL create "$(on_disk 'bootloader = "nosuch"')"
    equal "nothing of them stays" "" "$(ls /var/run/xend/boot)$(losetup -a | grep boot.img)"
    end booted
fi
