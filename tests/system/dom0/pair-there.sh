# SPDX-License-Identifier: Apache-2.0
# The second of two machines (tests/system/pair): takes a guest, looks at it, and sends it back.
. $TESTS/pair.sh
wire 10.77.0.2 10.77.0.1
check "the other host asks to be paired" wait_until 600 sh -c "xm host-list | grep -q ' asks '"
words=$(xm host-list | awk '$2 == "asks" { $1 = $2 = ""; print }' | xargs)
echo "# words: $words"
check "its words are accepted" xm host-accept $words
equal "it is paired, by its address" 10.77.0.1 "$(xm host-list | awk '$2 == "paired" { print $1 }')"
check "a guest comes" wait_until 600 listed moved
goes_on "here"
type_to moved 'echo disk-$(dd if=/dev/xvda bs=6 count=1 2>/dev/null); echo second | dd of=/dev/xvda bs=512 conv=sync,fsync 2>/dev/null; echo written-$?'
check "here: the disk has what was written there" wait_until 60 said moved 'disk-marker'
check "here: it writes to it" wait_until 60 said moved 'written-0'
check "and goes back" xm migrate moved 10.77.0.1
check "it is gone here" wait_until 60 gone moved
equal "nothing is left of it" "" "$(xenstore-ls /local/domain | grep -E 'incoming|moved')"
# It comes once more, and xend here is killed just then: it stays where it was, or, if it had the right to run already, goes back.
check "the guest comes again" wait_until 300 listed moved--incoming
kill -9 "$(pidof xend | tr ' ' '\n' | sort -n | tail -n 1)"
wait_until 60 xend status
sleep 20
if listed moved; then xm migrate moved 10.77.0.1; fi
check "xend killed: nothing is left of it" wait_until 120 sh -c "! xenstore-ls /local/domain | grep -qE 'incoming|moved'"
check "the other machine says that all is over" sh -c "timeout 600 nc -l -p 7100 | grep -q over"
