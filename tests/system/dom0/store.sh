# SPDX-License-Identifier: Apache-2.0
# xenstore through its ordinary clients.
check "store: write" xenstore-write /test/a one /test/b/c two
equal "store: read" one "$(xenstore-read /test/a)"
equal "store: list" "a b" "$(xenstore-list /test | sort | tr '\n' ' ' | sed 's/ $//')"
refused "store: a missing node is an error" "couldn't|ENOENT|no such" xenstore-read /test/nothing
check "store: remove takes the subtree" sh -c "xenstore-rm /test/b && ! xenstore-exists /test/b/c"
check "store: permissions" sh -c "xenstore-chmod /test/a n0 r1 && xenstore-ls -p /test | grep -q 'n0,r1'"
xenstore-watch -n 3 /test/w >$WORK/watch 2>&1 &
watcher=$!
usleep 500000
xenstore-write /test/w/x 1
xenstore-write /test/w/y 2
check "store: a watch fires for each change below it" wait_until 10 sh -c "grep -q /test/w/x $WORK/watch && grep -q /test/w/y $WORK/watch"
kill $watcher 2>/dev/null
i=0
while [ $i -lt 200 ]; do xenstore-write /test/many/$i $i || break; i=$((i + 1)); done
equal "store: many nodes" 200 "$(xenstore-list /test/many | wc -l)"
xenstore-rm /test

# A full disk under xenstored's journal: a store of its own, on a disk of 1 MiB.
if [ "$TOOL" = xm ]; then
    small=$WORK/small
    small_store() { XENSTORED_PATH=$small/run/socket "$@"; }
    small_start() { xenstored --no-domain-init --run-dir $small/run --trace-file $WORK/small.log && wait_until 10 small_store xenstore-list /; }
    small_kill() { kill -9 "$(cat $small/run/xenstored.pid)"; wait_until 10 sh -c "! XENSTORED_PATH=$small/run/socket xenstore-list /"; }
    # small_fill FOLDER ROUND N: N nodes of 3000 bytes, in one go
    small_fill() {
        set -- "$1" "$2" "$3" "$(head -c 3000 /dev/zero | tr '\0' v)"
        small_store xenstore-write $(i=0; while [ $i -lt $3 ]; do echo "/$1/$i round$2$4"; i=$((i + 1)); done)
    }
    small_rounds() { local i=$1; while [ $i -lt $2 ]; do small_fill small $i 10 || return 1; i=$((i + 1)); done; }
    mkdir -p $small && mount -t tmpfs -o size=512k tmpfs $small && mkdir $small/run
    check "store: a second one starts on a small disk" small_start
    check "store: it takes what it is given" small_rounds 0 4
    cat /dev/zero >$small/full 2>/dev/null
    check "store: a full disk does not stop it" small_rounds 4 20
    small_kill
    check "store: it starts again" small_start
    equal "store: and knows what was written on the full disk" "round19v" "$(small_store xenstore-read /small/9 | cut -c 1-8)"
    # More than there is room for: no journal is better than one that takes the store back.
    cat /dev/zero >$small/full 2>/dev/null
    check "store: nor a journal that has no room at all" small_fill large 0 200
    check "store: the log says that recovery is off" wait_until 10 grep -q "Recovery is off" $WORK/small.log
    equal "store: an old state is not left behind" 0 "$(wc -c <$small/run/journal)"
    rm $small/full
    small_store xenstore-rm /large
    check "store: recovery is on again when there is room" wait_until 10 grep -q "Recovery is on again" $WORK/small.log
    small_store xenstore-write /small/after yes
    small_kill
    check "store: it starts once more" small_start
    equal "store: with all there was" "yes 10" "$(small_store xenstore-read /small/after) $(small_store xenstore-list /small | grep -c '^[0-9]')"
    small_kill
    umount $small
fi
