# SPDX-License-Identifier: Apache-2.0
# What cluster managers do with xm: Pacemaker's own agent under its own test program, and the calls and columns of Ganeti.
if [ "$TOOL" = xm ]; then
(cd / && cpio -id --quiet </xenolith/agents.cpio) 2>/dev/null
ln -sf /bin/busybox /usr/bin/gawk
export OCFT_xmfile=$(guest agents)
# Its patience with a call is for machines that are no emulators.
sed -i "s|^\(.*OCFT_xmfile=\).*|\1$OCFT_xmfile|; s/HangTimeout .*/HangTimeout 90/" /usr/share/resource-agents/ocft/configs/Xen
export OCF_ROOT=/usr/lib/ocf
# A guest that was asked to stop while it starts may not hear it: the agent destroys it after so many seconds.
export OCF_RESKEY_shutdown_timeout=15
mkdir -p /var/lib/resource-agents /run/resource-agents
check "Pacemaker: its test program is made" ocft make Xen
# The agent takes xl where there is one.
for name in xm xl; do
    [ $name = xm ] || ln -s /usr/sbin/xm /usr/sbin/xl
    ocft test Xen >$WORK/ocft 2>&1
    equal "Pacemaker: its nine tests of a Xen agent, with $name" "9 0" "$(grep -c 'OK' $WORK/ocft) $(grep -c 'FAILED\|ERROR' $WORK/ocft)"
    sed 's/^/# /' $WORK/ocft
    xm destroy agents >/dev/null 2>&1
done
check "xl help" xl help
equal "xl list is in xl's columns" "Name ID Mem VCPUs State Time(s)" "$(xl list | head -n 1 | xargs)"
equal "xl list of what is not there" "nosuch is an invalid domain identifier (rc=-6) 1" "$(xl list nosuch 2>&1) $(xl list nosuch >/dev/null 2>&1; echo $?)"
rm /usr/sbin/xl

# Ganeti 3.0 (hv_xen.py): the state is three letters of which it knows some, in six columns; numbers are whole.
check "Ganeti: xm is found" which xm
equal "Ganeti: info has what it reads, in whole MiB" "" "$(for key in total_memory free_memory nr_cpus nr_nodes cores_per_socket threads_per_core xen_major xen_minor; do xm info | grep -Eq "^$key *: [0-9]+$" || echo "$key"; done)"
list_ok() { xm list | awk 'NR == 1 { next } NF != 6 || $2 !~ /^[0-9]+$/ || $3 !~ /^[0-9]+$/ || $4 !~ /^[0-9]+$/ || $6 !~ /^[0-9]+\.[0-9]$/ || $5 !~ /^[r-][b-][p-][s-][c-][d-]$/ { bad = 1 } END { exit bad || NR < 2 }'; }
name=ganeti.example.com
cp "$(guest $name 'memory = 128' "maxmem = 128" 'cpus = [ "0", "all" ]' 'on_poweroff = "preserve"' 'root = "/dev/xvda1"' 'vif = ["mac=aa:00:00:12:34:56, bridge=xenbr0"]' "name = '$name'")" /etc/xen/$name
check "Ganeti: create -p /etc/xen/NAME" xm create -p /etc/xen/$name
check "Ganeti: list has six columns that it can read" list_ok
equal "Ganeti: the console's wrapper sees that it is paused" p "$(xm list $name | tail -n 1 | awk '{ print substr($5, 3, 1) }')"
check "Ganeti: unpause" xm unpause $name
check "Ganeti: it runs" ready $name
id=$(domid_of $name)
equal "Ganeti: domname gives the name" $name "$(xm domname "$id")"
equal "Ganeti: list --long is s-expressions" "(domid $id) (name $name)" "$(xm list --long $name | grep -oE '\((domid|name) [^)]*\)' | sort | head -n 2 | xargs)"
equal "Pacemaker: one line of --long has the word status" "(status 2)" "$(xm list --long $name | grep status | xargs)"
check "Ganeti: uptime" sh -c "xm uptime | grep -q $name"
check "Ganeti: mem-set" xm mem-set $name 120
check "Ganeti: reboot" xm reboot $name
check "Ganeti: another number tells that it has rebooted" wait_until 120 sh -c ". $TESTS/lib.sh; now=\$(domid_of $name); [ -n \"\$now\" ] && [ \"\$now\" != $id ]"
wait_until 60 ready $name
check "Ganeti: shutdown -w ends when the domain is down, although it is kept" timeout 120 xm shutdown -w $name
equal "Ganeti: it is shut down" "---s--" "$(xm list $name | tail -n 1 | awk '{ print $5 }')"
check "Ganeti: destroy takes what was kept" xm destroy $name
check "Ganeti: it is gone" wait_until 30 gone $name
refused "Ganeti: destroy of what is gone fails at once" "does not exist" xm destroy $name
rm -f /etc/xen/$name
fi
