# SPDX-License-Identifier: Apache-2.0
# A stock guest is saved and restored, and goes on: what it computes, what it holds in memory, its disk, its card. With xm also to xl
# and back, which stands beside it (tests/system/run puts it there); and what must not succeed does nothing.
FILES=$WORK/saved
mkdir -p $FILES
truncate -s 16M /xen/images/saved.img
forget_console saved
check "$TOOL create" $TOOL create "$(guest saved 'extra = "console=hvc0"' 'disk = [ "/xen/images/saved.img,raw,xvda,rw" ]' 'vif = [ "bridge=xenbr0" ]')"
check "the guest reaches user space" ready saved
type_to saved '(echo marker | dd of=/dev/xvda bs=512 conv=sync,fsync; dd if=/dev/urandom of=/tmp/data bs=1M count=16; md5sum /tmp/data >/tmp/sum) 2>/dev/null'
type_to saved '(n=0; while md5sum -c /tmp/sum >/dev/null 2>&1; do n=$((n + 1)); echo whole-$n; usleep 300000; done; echo torn-$n) &'
check "it checks its memory again and again" wait_until 60 said saved 'whole-3'

wholes() { grep -ac 'whole-[0-9]' "$(console_log saved)"; }
more_wholes() { [ "$(wholes)" -gt "$1" ]; }
# goes_on WHAT: it prints what it printed before, and what it holds is as it was
goes_on() {
    check "$1: it goes on" wait_until 60 more_wholes "$(($(wholes) + 2))"
    check "$1: nothing in its memory is torn" sh -c "! grep -aq 'torn-[0-9]' $(console_log saved)"
}
# has_devices WHAT: disk and card are connected, and the disk has what was written
has_devices() {
    marks=$((marks + 1))
    type_to saved "echo disk-$marks-\$(dd if=/dev/xvda bs=6 count=1 2>/dev/null)"
    check "$1: the disk has what it wrote" wait_until 30 said saved "disk-$marks-marker"
    equal "$1: disk and card are connected" "4 4" "$($TOOL block-list saved | awk '$1 == 51712 { print $4 }') $($TOOL network-list saved | awk 'NR == 2 { print $5 }')"
}
marks=0

id=$(domid_of saved)
check "$TOOL save" $TOOL save saved $FILES/one
check "the domain is gone" wait_until 30 gone saved
check "the file is there" test -s $FILES/one
check "and nothing half-written" sh -c "! ls $FILES | grep -q part"
check "$TOOL restore" $TOOL restore $FILES/one
check "there is a new domain of that name" new_id saved "$id"
goes_on "restored"
has_devices "restored"
type_to saved "echo clock-\$((\$(date +%s) - $(date +%s)))-seconds"
check "its clock is right" wait_until 20 said saved 'clock--?[0-9]-seconds'
rm -f $FILES/one  # xl's files have no holes, and dom0 keeps them in its memory
id=$(domid_of saved)
check "$TOOL save -c" $TOOL save -c saved $FILES/checkpoint
equal "the domain stays" "$id" "$(domid_of saved)"
goes_on "after a checkpoint"
has_devices "after a checkpoint"
rm -f $FILES/*

if [ "$TOOL" = xm ]; then
    xl_beside() { LD_LIBRARY_PATH=$xl_libraries /usr/lib/xen-4.17/bin/xl "$@"; }
    mkdir -p /xenolith/xl /usr/lib /var/log/xen /var/lib/xen
    (cd /xenolith/xl && busybox cpio -id </xenolith/xl.cpio 2>/dev/null)
    ln -sfn /xenolith/xl/usr/lib/xen-4.17 /usr/lib/xen-4.17
    cp /xenolith/xl/etc/xen/xl.conf /etc/xen/
    xl_libraries=$(find /xenolith/xl -type d -name x86_64-linux-gnu | tr '\n' ':')
    check "xm save, for xl" xm save saved $FILES/two
    equal "the file has hashes" "$FILES/two is whole: every byte is what was written" "$(xm savefile verify $FILES/two)"
    equal "it says whose it is" "saved" "$(xm savefile info $FILES/two | awk '$1 == "name" { print $3 }')"
    check "xl restores what xm saved" xl_beside restore $FILES/two
    rm $FILES/two
    goes_on "restored by xl"
    check "xl save, for xm" xl_beside save saved $FILES/three
    check "xl's file is whole, without hashes" sh -c "xm savefile verify $FILES/three | grep -q 'has no hashes'"
    check "xm restores what xl saved" xm restore $FILES/three
    rm $FILES/three
    goes_on "restored by xm"
    has_devices "restored by xm"

    id=$(domid_of saved)
    mkdir -p $WORK/small && mount -t tmpfs -o size=4M none $WORK/small
    refused "a full disk" 'no space' xm save saved $WORK/small/file
    equal "leaves no file" "" "$(ls $WORK/small)"
    umount $WORK/small
    goes_on "after a full disk"
    refused "a file that cannot be made" 'unable to create file' xm save saved /nowhere/file
    refused "dom0 is not saved" 'privileged domain 0' xm save 0 $FILES/no
    check "xm save -c" xm save -c saved $FILES/two
    refused "a name that is taken" 'already exists' xm restore $FILES/two
    rm $FILES/two
    equal "the guest is the one that it was" "$id" "$(domid_of saved)"
    xm save saved $FILES/four >/dev/null 2>&1 &
    sleep 0.3
    kill -9 "$(pidof xend | tr ' ' '\n' | sort -n | tail -n 1)"
    wait $!
    # The file was whole already, or the guest goes on: never both, never neither.
    if wait_until 60 listed saved; then goes_on "after xend was killed at it"; else check "the file is whole" xm restore $FILES/four; fi
    rm -f $FILES/four

    check "xm save, once more" xm save saved $FILES/one
    wait_until 30 gone saved
    quiet=$(settled_free_pages)
    refused "a file that is not there" 'unable to read file' xm restore $FILES/nothing
    refused "a file of another kind" 'not a saved domain' xm restore /xen/guest/vmlinuz
    for size in 40 5000 1000000 20000000; do
        head -c $size $FILES/one >$FILES/cut
        refused "a file cut at byte $size" 'ends inside' xm restore $FILES/cut
    done
    { head -c 38 $FILES/one; printf '\377'; tail -c +40 $FILES/one | head -c 100000; } >$FILES/damaged
    refused "a damaged header" 'not known here' xm restore $FILES/damaged
    dd if=$FILES/one of=$WORK/bytes bs=1 skip=30000000 count=8 2>/dev/null
    printf 'damaged!' | dd of=$FILES/one bs=1 seek=30000000 conv=notrunc 2>/dev/null
    refused "eight other bytes in the guest's memory" 'is not what was written' xm restore $FILES/one
    refused "xm savefile verify says so too" 'is not what was written' xm savefile verify $FILES/one
    dd if=$WORK/bytes of=$FILES/one bs=1 seek=30000000 conv=notrunc 2>/dev/null
    rm $FILES/cut $FILES/damaged
    equal "bad files leave no domain" 1 "$(xm list | awk 'NR > 1' | wc -l)"
    equal "and take no memory" "$quiet" "$(settled_free_pages)"
    check "the good one is restored, paused" xm restore -p $FILES/one
    check "it is paused" sh -c ". $TESTS/lib.sh; case \$(state_of saved) in *p*) ;; *) false;; esac"
    end saved
    same_memory "$quiet"
fi
end saved
if [ "$TOOL" = xm ]; then
    check "xm new of a domain to suspend" xm new "$(guest asleep 'extra = "console=hvc0"')"
    forget_console asleep
    check "xm start" xm start asleep
    check "it reaches user space" ready asleep
    type_to asleep 'secret=$((6 * 111))'
    check "xm suspend" xm suspend asleep
    check "it is not there" wait_until 30 gone asleep
    equal "xm list --state=suspended shows it" "asleep -" "$(xm list --state=suspended | awk 'NR == 2 { print $1, $2 }')"
    refused "xm start of one that is suspended" "'xm resume'" xm start asleep
    xend stop && xend start
    check "xm resume, by the next xend" xm resume asleep
    type_to asleep 'echo still-$secret'
    check "it goes on with what it had" wait_until 30 said asleep 'still-666'
    refused "xm resume of one that is there" 'already exists' xm resume asleep
    equal "nothing is left of its file" "" "$(find /var/lib/xend/domains -name checkpoint.chk)"
    end asleep
    check "xm delete" xm delete asleep
fi
rm -rf $FILES /xen/images/saved.img
check "no loop device is left" wait_until 20 sh -c '! losetup -a | grep -q /xen/images/saved.img'
equal "nothing is left in the store" "0" "$(xenstore-list /local/domain | tr '\n' ' ' | sed 's/ $//')"
