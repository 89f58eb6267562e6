# SPDX-License-Identifier: Apache-2.0
# The second machine of ./run --pair: another ./run in the background, with a wire to the first and the disk that both have.
# Uses ./run's option variables; `run` is the folder of this run.

check_pair() {
    [ "$tools$dom0$emulator" = oursminiqemu ] || die "--pair: only with our tools, the small dom0 and QEMU"
    [ -z "$icount$gdb$profile" ] || die "--pair: not with --icount, --gdb or --profile"
}

# machine_of_pair NAME OTHER MAC: what this machine has beside others; the wire is datagrams between two sockets, and whoever comes first waits for nobody.
machine_of_pair() {
    qemu_more+=(-drive "file=$wire/disk.img,format=raw,if=ide,file.locking=off"
                -netdev "dgram,id=wire,local.type=unix,local.path=$wire/$1,remote.type=unix,remote.path=$wire/$2"
                -device "e1000,netdev=wire,mac=$3")
    adds+=("$TOP/dom0/pair-up:/usr/local/sbin/pair-up" "$TOP/dom0/pair-answer:/usr/local/sbin/pair-answer" "$TOP/dom0/there:/usr/local/bin/there"
           "$TOP/dom0/roam.cfg:/etc/xen/roam")
}

# Before dom0's files are put together.
pair_begin() {
    wire=$run
    truncate -s 64M "$wire/disk.img"
    machine_of_pair here there 52:54:00:00:00:01
    printf '#!/bin/sh\nexec pair-up here\n' >"$run/start"
    chmod 755 "$run/start"
    adds+=("$run/start:/xenolith/start")
    printf '#!/bin/sh\nexec pair-up there\n' >"$run/there.exec"
    "$TOP/run" --pair-wire "$wire" --exec "$run/there.exec" --no-build --build-dir "$build" --hypervisor "$hypervisor" --mem "$mem" --smp "$smp" \
        --append "$append" --dom0-append "$dom0_append" --accel "$accel" --timeout 1000000 >"$run/there.log" 2>&1 </dev/null &
    pair_pid=$!
}
