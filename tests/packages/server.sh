#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the tests put into a plain Debian. `server.sh install` sets the service up that calls `server.sh service` at each boot,
# which runs /payload/run; as the kernel's init it installs GRUB for both firmwares, once.
set -u
PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin

install() {
    chmod 755 /usr/local/sbin/server.sh
    echo server >/etc/hostname
    printf 'LABEL=server / ext4 defaults 0 1\n/dev/sda2 /boot/efi vfat defaults,nofail 0 2\n' >/etc/fstab
    mkdir -p /boot/efi
    # As Debian's installer leaves it, with a serial console, and for an emulator that may be slow.
    sed -e 's/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=1/' -e 's/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX="console=ttyS0,115200 no_timer_check"/' \
        /usr/share/grub/default/grub >/etc/default/grub
    cat >>/etc/default/grub <<'G'
GRUB_CMDLINE_LINUX_XEN_REPLACE="console=hvc0 earlyprintk=xen"
GRUB_CMDLINE_XEN="com1=115200,8n1 console=com1 loglvl=all guest_loglvl=all"
G
    cat >/etc/systemd/system/payload.service <<'U'
[Unit]
Description=What the disk PAYLOAD brings
ConditionPathExists=/dev/sdb
[Service]
ExecStart=/usr/local/sbin/server.sh service
KillMode=process
[Install]
WantedBy=multi-user.target
U
    echo man-db man-db/auto-update boolean false | debconf-set-selections
    systemctl enable payload.service
    systemctl mask apt-daily.timer apt-daily-upgrade.timer man-db.timer e2scrub_all.timer systemd-networkd-wait-online.service
}

service() {
    systemctl is-system-running --wait >/dev/null
    mkdir -p /run/payload
    mount -t vfat -o sync,uid=0 /dev/sdb /run/payload || exit 1
    sh /run/payload/run >>/run/payload/log 2>&1
    sync
    umount /run/payload
    if [ -e /run/next ]; then systemctl --no-block "$(cat /run/next)"; fi
}

grub() {
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mount -t devtmpfs dev /dev 2>/dev/null
    mount -o remount,rw /
    mount -t vfat /dev/sda2 /boot/efi &&
        grub-install --target=i386-pc /dev/sda && grub-install --target=x86_64-efi --removable --no-nvram && update-grub &&
        sync && echo "server: grub is installed"
    umount /boot/efi
    mount -o remount,ro /
    sync
    echo o >/proc/sysrq-trigger
    sleep 60
}

case ${1:-} in
    install) install ;;
    service) service ;;
    *) grub ;;
esac
