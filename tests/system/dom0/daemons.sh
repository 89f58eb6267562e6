# SPDX-License-Identifier: Apache-2.0
# Daemons that are killed at work: nothing of what they did stays behind, and they answer again at once.
if [ "$TOOL" = xm ]; then
    backends() { for kind in vbd vif; do xenstore-list /local/domain/0/backend/$kind 2>/dev/null; done; }
    nothing_left() { [ -z "$(backends)$(ls /var/run/xend/domains)$(losetup -a | grep /xen/images/killed.img)" ]; }
    show_left() { backends; ls /var/run/xend/domains; losetup -a; $TOOL list; tail -n 20 /var/log/xen/xend.log; }
    hundredths() { sed 's/ .*//; s/\.//' /proc/uptime; }
    server() { cat /proc/[0-9]*/stat 2>/dev/null | sed -n "s/^\([0-9]*\) (xend) . $(cat /var/run/xend.pid) .*/\1/p"; }
    # kill_server: ends xend's server and says in hundredths of a second how long it is until xend answers
    kill_server() {
        local begin
        kill -9 "$(server)"
        begin=$(hundredths)
        wait_until 100 $TOOL list || return 1
        echo $(($(hundredths) - begin))
    }
    truncate -s 4M /xen/images/killed.img
    $TOOL create "$(tiny killed wait 'disk = [ "file:/xen/images/killed.img,xvda,w" ]' 'vif = [ "bridge=xenbr0" ]')" >/dev/null 2>&1
    end killed
    before=$(settled_free_pages)
    round=0 longest=0 random=${DAEMON_SEED:-$$}
    while [ $round -lt "${KILLS:-12}" ]; do
        sh -c "$TOOL create $WORK/killed.cfg; $TOOL destroy killed" >$WORK/out 2>&1 &
        worker=$!
        random=$(((random * 1103515245 + 12345) % 2147483648))
        usleep $((random / 65536 % 1500 * 1000))
        took=$(kill_server) || break
        [ "$took" -le $longest ] || longest=$took
        wait $worker
        end killed
        round=$((round + 1))
    done
    equal "xend is killed at work and comes back" "${KILLS:-12}" "$round"
    # Two seconds are what it may take on a machine that does nothing else; ones that emulate several share their time.
    check "it answers again at once (${longest}0 ms at most)" test $longest -le 1500
    wait_until 30 nothing_left
    equal "no back end, loop device or record stays of domains that are gone" "" "$(nothing_left || show_left)"
    same_memory "$before"

    printf '#!/bin/sh\n[ "$1" = online ] || exit 0\necho $$ >%s/orphan\nsleep 60\nxenstore-write $XENBUS_PATH/hotplug-status connected\n' $WORK >$WORK/orphan.sh
    chmod +x $WORK/orphan.sh
    rm -f $WORK/orphan
    $TOOL create "$(tiny orphan wait "vif = [ 'script=$WORK/orphan.sh' ]")" >/dev/null 2>&1 &
    worker=$!
    check "a hotplug script is at work" wait_until 30 test -s $WORK/orphan
    check "xend is killed meanwhile" kill_server
    check "its successor ends the script" wait_until 10 sh -c "! kill -0 $(cat $WORK/orphan)"
    wait $worker
    wait_until 30 nothing_left
    equal "and nothing stays behind" "" "$(nothing_left || show_left)"
    equal "no domain either" 1 "$($TOOL list | awk 'NR > 1' | wc -l)"
    rm -f /xen/images/killed.img

    check "a domain is made" $TOOL create "$(tiny stays wait)"
    id=$(domid_of stays)
    kill -9 "$(cat /var/run/xend.pid)"
    check "xend start after the supervisor was killed" xend start
    check "starts one" $TOOL list
    equal "and domains notice nothing" "$id" "$(domid_of stays)"
    check "xend stop" xend stop
    refused "stops it" "Unable to connect" $TOOL list
    check "xend start starts it again" xend start
    check "and it answers" $TOOL destroy stays
    wait_until 30 gone stays
fi
