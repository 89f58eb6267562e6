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
