# SPDX-License-Identifier: Apache-2.0
# What both machines of tests/system/pair do. wire OWN OTHER: the card between them, and a xend that takes domains over it.
wire() {
    modprobe -a e1000 ata_piix sd_mod
    check "there is a wire" wait_until 60 ip link show eth0
    ip addr add "$1/24" dev eth0
    ip link set eth0 up
    check "there is a disk that both have" wait_until 60 test -b /dev/sda
    xend stop
    printf "(xend-relocation-server yes)\n(xend-relocation-hosts-allow '^localhost$ ^%s$')\n" "$2" >/etc/xen/xend-config.sxp
    check "xend takes domains" xend start
}
wholes() { grep -ac 'whole-[0-9]' "$(console_log moved)"; }
more_wholes() { [ "$(wholes)" -gt "$1" ]; }
# goes_on WHAT: it prints what it printed before, and what it holds is as it was
goes_on() {
    check "$1: it goes on" wait_until 120 more_wholes "$(($(wholes) + 2))"
    check "$1: nothing in its memory is torn" sh -c "! grep -aq 'torn-[0-9]' $(console_log moved)"
    equal "$1: there is one of it" 1 "$(xm list | awk 'NR > 2' | wc -l)"
}
