# SPDX-License-Identifier: Apache-2.0
# One stock-kernel domU through its life: create, look, console, pause, and every way to end.
config=$(guest life 'extra = "console=hvc0"' 'disk = [ "/xen/images/life.img,raw,xvda,rw" ]' 'vif = [ "bridge=xenbr0" ]')
truncate -s 16M /xen/images/life.img
forget_console life
check "$TOOL create" $TOOL create "$config"
id=$(domid_of life)
equal "$TOOL domid" "$id" "$($TOOL domid life)"
equal "$TOOL domname" life "$($TOOL domname "$id")"
check "the guest reaches user space" ready life
check "the guest runs on 2 processors" said life 'guest: up, 2 cpus'
equal "$TOOL vcpu-list shows both" 2 "$($TOOL vcpu-list life | awk 'NR > 1 && $1 == "life"' | wc -l)"
equal "$TOOL block-list shows the disk, connected" "51712 4" "$($TOOL block-list life | awk '$1 == 51712 { print $1, $4 }')"
equal "$TOOL network-list shows the card, connected" "0 4" "$($TOOL network-list life | awk 'NR == 2 { print $1, $5 }')"
check "console: what is typed arrives, and is answered" sh -c ". $TESTS/lib.sh; type_to life 'echo answer-\$((6 * 7))'; wait_until 20 said life 'answer-42'"
check "the guest starts with the machine's time" sh -c ". $TESTS/lib.sh; type_to life 'echo clock-\$((\$(date +%s) - $(date +%s)))-seconds'; wait_until 20 said life 'clock--?[0-9]{1,2}-seconds' || { grep -a clock- $(console_log life); false; }"
(sleep 2; echo 'echo through-$((40 + 2))-console'; sleep 4) | timeout 20 script -qec "$TOOL console life" /dev/null >$WORK/console.out 2>&1
check "$TOOL console carries both directions" sh -c "grep -q 'through-42-console' $WORK/console.out || { cat $WORK/console.out; false; }"
check "$TOOL pause" $TOOL pause life
check "a paused domain shows p" wait_until 10 sh -c ". $TESTS/lib.sh; case \$(state_of life) in *p*) ;; *) false;; esac"
check "$TOOL unpause" $TOOL unpause life
check "it answers again" sh -c ". $TESTS/lib.sh; type_to life 'echo again-\$((3 * 5))'; wait_until 20 said life 'again-15'"
# One that never rests, under a cap of a fifth of a processor.
cpu_time() { $TOOL list life | awk 'NR == 2 { print int($6 * 10) }'; }
type_to life 'while :; do :; done &'
check "$TOOL sched-credit2 -c" $TOOL sched-credit2 -d life -c 20
check "shows the cap" sh -c "$TOOL sched-credit2 -d life | grep -E '\\b20\\b'"
sleep 1
uptime() { sed 's/ .*//; s/.$//; s/\.//' /proc/uptime; }
used=$(cpu_time) took=$(uptime)
sleep 10
used=$(($(cpu_time) - used)) took=$(($(uptime) - took))
check "the guest gets no more than that: $used of $took tenths of a second" test $((used * 100 / took)) -le 23 -a $((used * 100 / took)) -ge 8
check "$TOOL sched-credit2 -c 0" $TOOL sched-credit2 -d life -c 0
type_to life 'kill %1; echo idle-$((2 * 21))'
check "no cap again, and it answers" wait_until 20 said life idle-42
if [ "$TOOL" = xm ]; then
    tty=$(xenstore-read /local/domain/"$id"/console/tty)
    check "xm health: all is well" xm health
    check "xm metrics" sh -c "xm metrics >$WORK/metrics"
    equal "it counts the guest's disk and card" "1 1" "$(grep -c '^xen_vbd_read_bytes_total{.*name="life",.*} [1-9]' $WORK/metrics) $(grep -c '^xen_vif_transmit_bytes_total{.*name="life",' $WORK/metrics)"
    equal "its memory and its processors" "1 2" "$(grep -c '^xen_domain_memory_bytes{.*name="life",.*} [1-9]' $WORK/metrics) $(grep -c '^xen_vcpu_seconds_total{.*name="life",' $WORK/metrics)"
    killall -STOP xenstored
    # Somebody asks for the consoles to be looked at again, and the store says nothing.
    kill -HUP "$(pidof xenconsoled)"
    sleep 1
    printf 'echo alone-$((2 * 4))\n' >"$tty"
    check "console: a store that hangs does not stop it" sh -c ". $TESTS/lib.sh; wait_until 15 said life alone-8"
    begin=$(date +%s)
    check "a store that hangs: xm list answers, from what is known" timeout 10 $TOOL list
    refused "xm says so where the store is asked, instead of waiting for ever" "does not answer|timed out" timeout 60 $TOOL block-list life
    took=$(($(date +%s) - begin))
    check "and within a bearable time ($took s)" test $took -lt 45
    refused "xm health says so too" "not ok store" timeout 60 xm health
    killall -CONT xenstored
    check "with the store back, tools work again" wait_until 30 $TOOL domid life
    # Daemons that die are started again, and the guest goes on with what it has.
    for daemon in xenstored xenconsoled; do
        old=$(pidof $daemon)
        kill -9 "$old"
        check "$daemon that died is started again" wait_until 30 sh -c "new=\$(pidof $daemon) && [ \"\$new\" != $old ]"
    done
    check "the store has what it had" wait_until 20 sh -c "[ \"\$(xenstore-read /local/domain/$id/name)\" = life ]"
    revived() { type_to life 'echo revived-$((2 * 8))' && sleep 1 && said life revived-16; }
    check "the console is there again" wait_until 30 revived
fi
if [ "$TOOL" = xm ]; then
    check "xm vcpu-pin" xm vcpu-pin life all 0
    equal "xm vcpu-list shows it" "0 0" "$(xm vcpu-list life | awk '$1 == "life" { printf "%s%s", sep, $NF; sep = " " }')"
    check "xm vcpu-set 1" xm vcpu-set life 1
    check "the guest goes on with one processor" wait_until 30 sh -c "[ \"\$(xm vcpu-list life | grep -c -- --p)\" = 1 ]"
    check "xm vcpu-set 2" xm vcpu-set life 2
    type_to life 'echo 1 >/sys/devices/system/cpu/cpu1/online'  # what udev does elsewhere
    check "and with two again" wait_until 30 sh -c "[ \"\$(xm vcpu-list life | grep -c -- --p)\" = 0 ]"
    equal "xm top counts its disk and card" "1 1" "$(xm top -b -i 1 | awk '$1 == "life" { print $10, $13 }')"
    check "xm mem-max" xm mem-max life 160
    check "lifts what xm mem-set takes" xm mem-set life 144
    check "xm mem-set" xm mem-set life 112
    check "which the guest follows" wait_until 30 sh -c "[ \"\$(xm list life | awk 'NR == 2 { print \$3 }')\" = 112 ]"
    check "xm dump-core" xm dump-core life $WORK/life.core
    equal "it is an ELF core with the guest's memory" "7f454c46 1" "$(head -c 4 $WORK/life.core | od -An -tx1 | tr -d ' ') $(head -c 4096 $WORK/life.core | grep -c xen_pages)"
    rm -f $WORK/life.core
    check "and the guest goes on" sh -c ". $TESTS/lib.sh; type_to life 'echo dumped-\$((9 * 9))'; wait_until 20 said life 'dumped-81'"
    refused "xm trigger of an unknown kind" 'Invalid trigger' xm trigger life tickle
fi
mv "$(console_log life)" $WORK/life.log.1 && kill -HUP "$(pidof xenconsoled)"
check "log rotation: after SIGHUP the console's lines go into a new file" sh -c ". $TESTS/lib.sh; wait_until 10 test -e $(console_log life); type_to life 'echo rotated-\$((4 * 5))'; wait_until 20 said life 'rotated-20'"
forget_console life
check "$TOOL reboot" $TOOL reboot life
check "after $TOOL reboot there is a new domain of that name" wait_until 90 new_id life "$id"
check "which boots" ready life
id=$(domid_of life)
forget_console life
check "the guest asks for a reboot itself" type_to life 'reboot -f'
check "and is restarted" wait_until 90 new_id life "$id"
check "and boots again" ready life
check "$TOOL shutdown" $TOOL shutdown life
check "the domain is gone after $TOOL shutdown" wait_until 60 gone life
for word in poweroff crash; do
    forget_console life-$word
    check "$TOOL create of a guest that ends by $word" $TOOL create "$(guest life-$word "extra = \"console=hvc0 then=$word\"")"
    check "on_$word = destroy is followed" sh -c ". $TESTS/lib.sh; wait_until 60 said life-$word 'guest: ready' && wait_until 60 gone life-$word"
    end life-$word
done
# A domain that xend keeps, across its own end too.
if [ "$TOOL" = xm ]; then
    check "xm new" xm new "$(tiny kept wait)"
    equal "xm list --all shows it" "kept -" "$(xm list --all | awk '$1 == "kept" { print $1, $2 }')"
    check "xm start" xm start kept
    refused "xm delete of one that runs" 'not halted' xm delete kept
    check "xm destroy" xm destroy kept
    wait_until 30 gone kept
    cp /etc/xen/xend-config.sxp $WORK/settings 2>/dev/null || : >$WORK/settings
    echo '(xend-tcp-xmlrpc-server yes)' >>/etc/xen/xend-config.sxp
    xend stop && xend start
    # rpc METHOD PARAM...: as a program does that was written for Xen 3
    rpc() {
        local body
        body="<methodCall><methodName>$1</methodName><params>$(shift; printf '<param><value>%s</value></param>' "$@")</params></methodCall>"
        printf 'POST /RPC2 HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s' ${#body} "$body" | timeout 20 nc 127.0.0.1 8006
    }
    equal "XML-RPC tells of it" 1 "$(rpc xend.domains_with_state '<int>0</int>' halted '<int>0</int>' | grep -c '<array><data><value><string>kept</string></value></data></array>')"
    equal "and refuses as it always did" 1 "$(rpc xend.domain.pause kept | grep -c '<int>3</int>.*<string>kept</string>')"
    session=$(rpc session.login_with_password root any | sed -n 's|.*<name>Value</name><value><string>\([^<]*\)<.*|\1|p')
    equal "so does the Xen-API" 1 "$(rpc VM.get_by_name_label "$session" kept | grep -c 'Success.*<array><data><value><string>[0-9a-f-]\{36\}<')"
    equal "but not to who has no session" 1 "$(rpc VM.get_all nobody | grep -c '<string>SESSION_INVALID</string>')"
    check "both have their unix sockets" test -S /var/run/xend/xmlrpc.sock -a -S /var/run/xend/xen-api.sock
    cp $WORK/settings /etc/xen/xend-config.sxp
    equal "the next xend knows it" "kept -" "$(xm list --all | awk '$1 == "kept" { print $1, $2 }')"
    check "xm delete" xm delete kept
fi
# More processors than the shared page has room for.
forget_console many
check "$TOOL create of a guest with 34 processors" $TOOL create "$(guest many 'vcpus = 34' 'memory = 256' 'extra = "console=hvc0"')"
check "it runs on all of them" sh -c ". $TESTS/lib.sh; ready many && said many 'guest: up, 34 cpus'"
end many
check "$TOOL create -p makes a paused domain" sh -c ". $TESTS/lib.sh; $TOOL create -p $(tiny still wait) && case \$(state_of still) in *p*) ;; *) false;; esac"
check "$TOOL destroy" $TOOL destroy still
check "the domain is gone after $TOOL destroy" wait_until 30 gone still
for letter in p r c d; do
    $TOOL create "$(tiny short-$letter $letter)" >$WORK/out 2>&1
    check "a guest that ends at once ($letter) is cleaned away" wait_until 30 gone short-$letter
    end short-$letter
done
