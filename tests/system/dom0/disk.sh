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
