# SPDX-License-Identifier: Apache-2.0
# What `install` has a plain Debian do, in one step a boot. The step is kept beside this file, on the disk PAYLOAD.
here=/run/payload
step=$(cat $here/step 2>/dev/null || echo plain)
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
verdict() { if [ "$1" = 0 ]; then echo "ok $2"; else echo "not ok $2"; fi; }
check() { local what=$1; shift; "$@" >/tmp/said 2>&1; local status=$?; verdict $status "$what"; [ $status = 0 ] || sed 's/^/#   /' /tmp/said; }
equal() { check "$1" test "$2" = "$3"; [ "$2" = "$3" ] || echo "#   '$2' was wanted, and it is '$3'"; }
wait_until() { local n=$(($1 * 2)); shift; until "$@" >/dev/null 2>&1; do n=$((n - 1)); [ $n -gt 0 ] || return 1; sleep 0.5; done; }
then_do() { echo "$1" >$here/step; echo "$2" >/run/next; }

# Every file but those that apt, systemd and the logs of the machine itself keep.
list_files() {
    find / -xdev \( -path /run -o -path /tmp -o -path /proc -o -path /sys -o -path /dev -o -path /var/cache -o -path /var/tmp \
        -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/lib/systemd -o -path /var/log/apt -o -path /var/log/dpkg.log -o -path /var/log/journal -o -path /root/files \) \
        -prune -o -printf '%p %l\n' | grep -v '/__pycache__' | LC_ALL=C sort
}
on_xen() { [ "$(cat /sys/hypervisor/type 2>/dev/null)" = xen ]; }
on_linux() { ! on_xen; }
domain_id() { xm domid demo; }
runs() { xm list demo | awk 'NR == 2 && $5 ~ /^[r-][b-]----$/ { found = 1 } END { exit !found }'; }
heard() { grep -q 'guest: ready' /var/log/xen/console/guest-demo.log; }
pid_of() { systemctl show -P MainPID "$1"; }
no_failure() { systemctl --failed --no-legend | sed 's/^/failed: /'; [ -z "$(systemctl --failed --no-legend)" ]; }
console_answers() { (sleep 2; echo 'echo again-$((40 + 2))'; sleep 10) | timeout 30 script -qfc "xm console demo" /dev/null | grep again-42; }
default_is_xen() { grep -q '^ *set default="Debian GNU/Linux, with Xen hypervisor"' /boot/grub/grub.cfg; }

host_is_up() {
    check "$1: GRUB started Xenolith by default" on_xen
    check "$1: the hypervisor is ours" sh -c "xm dmesg | grep -i 'xenolith'"
    check "$1: xm list shows Domain-0" sh -c 'xm list | grep "^Domain-0  *0 "'
    check "$1: Domain-0 has what /etc/default/grub.d/xenolith.cfg gives it" sh -c 'xm list | awk "\$1 == \"Domain-0\" { exit \$3 != 1024 }"'
    check "$1: no service has failed" no_failure
    echo "# $(xm list | tail -n 1); up after $(cut -d' ' -f1 /proc/uptime) s"
}

install_packages() {
    mkdir -p /root/files
    check "$1: GRUB starts the plain Debian" on_linux
    update-grub >/dev/null 2>&1  # the menu as it is on this firmware
    list_files >/root/files/before
    cp /boot/grub/grub.cfg /root/files/grub.cfg
    check "$1: apt install ./*.deb" apt-get -y install $here/old/*.deb
    check "$1: Xenolith is the default of the boot menu" default_is_xen
    check "$1: on Linux the tools stay off" sh -c '! pidof xenstored xend && ! systemctl is-active xend'
    check "$1: no service has failed" no_failure
}

put_guest() {
    check "no bridge was made" sh -c '! ls -d /sys/class/net/*/bridge'
    check "network-bridge makes one when it is told to" sh -c '/etc/xen/scripts/network-bridge start && ip addr add 10.0.0.1/24 dev xenbr0'
    mkdir -p /xen/guest /xen/images
    cp $here/vmlinuz $here/initrd.img /xen/guest/
    truncate -s 16M /xen/images/demo.img
    cp $here/demo.cfg /etc/xen/demo
}

upgrade() {
    check "xm create demo" xm create demo
    check "the domain reaches user space" wait_until 200 heard
    check "its network works" wait_until 30 ping -c 1 -W 2 10.0.0.2
    id=$(domain_id) store=$(pid_of xenstored) consoles=$(pid_of xenconsoled) xend=$(pid_of xend)
    ping -i 1 10.0.0.2 >/tmp/ping &
    pinger=$!
    check "the packages are upgraded while it runs" apt-get -y install $here/new/*.deb
    kill -INT $pinger
    wait $pinger
    check "the upgrade is there" sh -c 'dpkg-query -W -f "\${Version}\n" xenolith-tools | grep higher'
    equal "xenstored is the same process" "$store" "$(pid_of xenstored)"
    check "xend and xenconsoled are new ones" test "$consoles" != "$(pid_of xenconsoled)" -a "$xend" != "$(pid_of xend)"
    equal "the domain is the same" "$id" "$(domain_id)"
    check "xm list says that it runs" wait_until 10 runs
    check "its network lost nothing meanwhile" grep -E ' 0(\.[0-9]+)?% packet loss' /tmp/ping
    sed -n 's/^\(.* packets transmitted\)/# \1/p' /tmp/ping
    check "its console answers a new xenconsoled" console_answers
    check "killed, xenstored comes back and knows the domain" sh -c "kill -9 $store; sleep 3; xm domid demo"
    equal "it is systemd's" "$(cat /run/xenstored/xenstored.pid)" "$(pid_of xenstored)"
    check "tools of running domains are not removed" sh -c '! apt-get -y remove xenolith-tools && xm list demo'
    check "xm shutdown -w demo" timeout 100 xm shutdown -w demo
}

remove() {
    rm -rf /etc/xen/auto/demo /etc/xen/demo /xen /var/lib/xen/save
    check "apt purge" apt-get -y purge --autoremove 'xenolith-*'
    check "no process of the tools runs on" sh -c '! pidof xenstored xenconsoled xend'
    find /tmp -maxdepth 1 -type f -delete
    list_files >/root/files/after
    check "no file stays, none is missing" diff /root/files/before /root/files/after
    check "the boot menu is what it was" diff /root/files/grub.cfg /boot/grub/grub.cfg
}

echo "# step $step"
case $step in
    plain)
        if [ -d /sys/firmware/efi ]; then firmware=UEFI; else firmware=BIOS; fi
        install_packages $firmware
        then_do $firmware reboot
        ;;
    BIOS)
        host_is_up BIOS
        put_guest
        upgrade
        check "no service has failed" no_failure
        verdict 0 "the host is ready on BIOS"
        then_do off poweroff
        ;;
    UEFI)
        host_is_up UEFI
        check "the firmware is UEFI: GRUB told the hypervisor so" sh -c 'xm dmesg | grep "Command line: .*no-real-mode" && ! xm dmesg | grep "real-mode.*ignored"'
        put_guest
        ln -s ../demo /etc/xen/auto/demo
        check "the machine's start makes the domain in /etc/xen/auto" systemctl restart xendomains
        check "it runs" wait_until 100 heard
        check "the machine's stop puts it away" systemctl stop xendomains
        check "nothing but Domain-0 runs" sh -c '[ "$(xm list | wc -l)" = 2 ] && ls /var/lib/xen/save/demo'
        check "the next start brings it back" sh -c 'systemctl start xendomains && xm domid demo'
        check "xm destroy demo" xm destroy demo
        ip link del xenbr0
        echo "a line" >>/var/log/xen/xenstored.log
        check "logs are rotated" sh -c 'logrotate -s /run/logrotate -f /etc/logrotate.d/xenolith && ls /var/log/xen/xenstored.log.1.gz && xm list'
        remove
        then_do linux reboot
        ;;
    linux)
        check "GRUB starts Linux again" on_linux
        check "no service has failed" no_failure
        verdict 0 "it is the plain Debian again"
        then_do off poweroff
        ;;
esac
