# SPDX-License-Identifier: Apache-2.0
# Bad input: one clear line, a status that is not zero, nothing half-made, free memory as before.
: >$WORK/none.img
truncate -s 4M /xen/images/bad.img
head -c 100000 /xen/guest/vmlinuz >$WORK/truncated
$TOOL create "$(tiny warm wait)" >/dev/null 2>&1
end warm
before=$(settled_free_pages)
domains=$($TOOL list | wc -l)

printf 'name = "bad\nkernel = \n' >$WORK/syntax.cfg
refused "a syntax error in the config" 'syntax|line 1|:1' $TOOL create $WORK/syntax.cfg
refused "a config that is not there" 'nothing.cfg|no such file' $TOOL create $WORK/nothing.cfg
refused "a kernel that is not there" 'nothing-kernel|no such file' $TOOL create "$(guest bad "kernel = \"$WORK/nothing-kernel\"")"
refused "a truncated kernel" 'truncated|kernel|image|loader' $TOOL create "$(guest bad "kernel = \"$WORK/truncated\"")"
refused "a kernel without Xen notes" 'xen|note|kernel|loader' $TOOL create "$(guest bad 'kernel = "/bin/busybox"')"
refused "a disk that is not there" 'nothing.img|no such file|disk|block' $TOOL create "$(guest bad 'disk = [ "file:/xen/images/nothing.img,xvda,w" ]')"
refused "more memory than there is" 'memory|free' $TOOL create "$(guest bad 'memory = 900000')"
refused "an unknown option" 'option|unknown|invalid|unrecognized' $TOOL create --nonsense "$(guest bad)"
refused "an unknown command" 'command|unknown|not found|no such' $TOOL nonsense
refused "a domain that is not there" 'nobody|domain' $TOOL destroy nobody
if [ "$TOOL" = xm ]; then
    refused "a bad memory figure" 'memory' $TOOL create "$(guest bad 'memory = "lots"')"
    refused "a bad disk string" 'disk' $TOOL create "$(guest bad 'disk = [ "nonsense" ]')"
fi
equal "nothing half-made is left" "$domains" "$($TOOL list | wc -l)"

check "a first domain takes the disk" $TOOL create "$(tiny first wait 'disk = [ "file:/xen/images/bad.img,xvda,w" ]')"
refused "a disk already in use" 'in use|sharing|already|attach|disk|block' $TOOL create "$(tiny second wait 'disk = [ "file:/xen/images/bad.img,xvda,w" ]')"
end second
cp $WORK/first.cfg $WORK/twin.cfg
refused "a name already taken" 'already|exists|duplicate|in use' $TOOL create "$(tiny first wait)"
end first

if [ "$TOOL" = xm ]; then
    printf '#!/bin/sh\ntouch %s/slow.runs\nsleep 25\nexit 1\n' $WORK >$WORK/slow.sh
    chmod +x $WORK/slow.sh
    $TOOL create "$(tiny slow wait "vif = [ 'script=$WORK/slow.sh' ]")" >/dev/null 2>&1 &
    slow=$!
    check "a hotplug script hangs" wait_until 30 test -e $WORK/slow.runs
    check "xm list answers meanwhile" timeout 10 $TOOL list
    refused "and so does a request for another domain" 'nobody' timeout 10 $TOOL destroy nobody
    check "the script still hangs" kill -0 $slow
    if wait $slow; then failed_check "the creation fails in the end"; else passed_check "the creation fails in the end"; fi
fi

$TOOL create "$(tiny dies x 'kernel = "/xen/guest/tiny-dies"')" >$WORK/out 2>&1
check "a guest that dies in its first instruction is cleaned away" wait_until 30 gone dies
end dies
check "no loop device is left" wait_until 20 sh -c '! losetup -a | grep -q /xen/images/bad.img'
same_memory "$before"
equal "nothing is left in the store" "0" "$(xenstore-list /local/domain | tr '\n' ' ' | sed 's/ $//')"
