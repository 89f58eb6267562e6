# SPDX-License-Identifier: Apache-2.0
# A stock kernel that chooses grant tables of version 2: 64 MiB of its disk go through them.
truncate -s 80M /xen/images/grants.img
forget_console grants
check "$TOOL create of a guest with grant tables of version 2" $TOOL create \
    "$(guest grants 'extra = "console=hvc0 grant_table.version=2 disk-test then=poweroff"' 'disk = [ "file:/xen/images/grants.img,xvda,w" ]')"
wait_until 150 said grants 'guest: disk '
check "its kernel was given version 2" said grants 'Grant tables using version 2'
wait_until 60 gone grants
expected=$(pattern 64 | md5sum | cut -d' ' -f1)
equal "64 MiB by grants of version 2: the guest reads back what it wrote" "guest: disk $expected" "$(told grants 'guest: disk ')"
equal "64 MiB by grants of version 2: dom0 sees the same in the file" "$expected" "$(dd if=/xen/images/grants.img bs=1M count=64 2>/dev/null | md5sum | cut -d' ' -f1)"
end grants
rm -f /xen/images/grants.img
