# SPDX-License-Identifier: Apache-2.0
# The emulated machine of ./run: its command line, and watching it while it runs.
# Uses ./run's option variables; `run` is the folder of this one run.

emulator_pid='' pair_pid=''

clean_up() {
    # The second of two machines ends its own emulator.
    [ -z "$pair_pid" ] || { kill -TERM "$pair_pid" && wait "$pair_pid"; } 2>/dev/null || true
    [ -z "$emulator_pid" ] || kill -KILL "$emulator_pid" 2>/dev/null || true
    [ -z "${run:-}" ] || rm -rf "$run"
}

# A device node proves nothing: a machine must start under KVM and run its first instructions. Some nested KVMs interpret
# what their hardware cannot run, and know few instructions: RDSSPD, which every Xen uses (a no-op before CET), tells.
# The program is a multiboot header with load addresses, then: rdsspd %eax; mov $0x10,%al; out %al,$0xf4; hlt.
kvm_probe() {
    local status=0
    printf '\x02\xb0\xad\x1b\x00\x00\x01\x00\xfe\x4f\x51\xe4\x00\x00\x10\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x10\x00\xf3\x0f\x1e\xc8\xb0\x10\xe6\xf4\xf4\xeb\xfd' >"$run/probe"
    timeout -k 2 5 qemu-system-x86_64 -accel kvm -cpu host -m 32 -nodefaults -display none -no-reboot \
        -device isa-debug-exit,iobase=0xf4,iosize=1 -kernel "$run/probe" >/dev/null 2>&1 || status=$?
    [ $status = 33 ]
}

# The answer is kept until the machine under us starts anew.
kvm_works() {
    local verdict answer
    [ -w /dev/kvm ] || return 1
    verdict=$CACHE/kvm-$(cat /proc/sys/kernel/random/boot_id)
    if [ ! -s "$verdict" ]; then
        mkdir -p "$CACHE"
        if kvm_probe; then answer=yes; else answer=no; fi
        echo $answer >"$verdict"
    fi
    [ "$(cat "$verdict")" = yes ]
}

machine_command() {
    if [ "$emulator" = bochs ]; then bochs_command; else qemu_command; fi
}

hypervisor_line() {
    local line="com1=115200,8n1 console=com1 dom0_mem=512M,max:512M loglvl=all guest_loglvl=all"
    # TCG runs XSAVE and XRSTOR without the trap that CR0.TS asks for. Xen switches the FPU lazily on AMD models, so dom0
    # would restore into another domain's registers: programs in dom0 die at random once a second domain runs.
    [ "$hypervisor" = xen ] && line+=" spec-ctrl=eager-fpu"
    printf '%s' "$line$append"
}
dom0_line() {
    local line="console=hvc0 earlyprintk=xen panic=1"
    [ "$hypervisor" = none ] && line="console=ttyS0 panic=1"
    [ "$dom0" = debian ] && line+=" root=/dev/sda rw"
    [ "$emulator" = bochs ] && line+=" xenolith.out=0x2f8 xenolith.control=0x3e8"
    printf '%s' "$line$dom0_append"
}

qemu_command() {
    local major cpu threads=multi modules
    major=$(qemu-system-x86_64 --version | sed -n '1s/.*version \([0-9]*\).*/\1/p')
    # MWAIT faults in every TCG; before version 10 so does IRET to ring 3 with SMAP on.
    cpu=EPYC,-monitor
    [ "$major" -ge 10 ] || cpu+=,-smap
    if [ -n "$icount" ]; then accel=tcg; threads=single; fi
    if [ "$accel" = auto ]; then if kvm_works; then accel=kvm; else accel=tcg; fi; fi
    command=(qemu-system-x86_64)
    if [ "$accel" = kvm ]; then command+=(-accel kvm -cpu host); else command+=(-accel "tcg,thread=$threads" -cpu "$cpu"); fi
    [ -z "$icount" ] || command+=(-icount "shift=0,sleep=off")
    command+=(-m "$mem" -smp "$smp" -display none -no-reboot -net none)
    if [ "$hypervisor" = none ]; then
        command+=(-kernel "$kernel" -append "$(dom0_line)" -initrd "$initrd")
    elif [ "$loader" = qemu ]; then
        command+=(-kernel "$image" -append "$(hypervisor_line)")
        if [ -n "$kernel" ]; then
            modules=$(printf '%s %s' "$kernel" "$(dom0_line)" | sed 's/,/,,/g')
            command+=(-initrd "$modules,$initrd")
        fi
    else
        grub_cd "$loader"
        command+=(-cdrom "$run/boot.iso" -boot d)
    fi
    if [ -n "$exec_file" ]; then
        command+=(-chardev "file,id=console,path=$run/console.log" -serial chardev:console
                  -chardev "file,id=out,path=$run/out" -device isa-debugcon,iobase=0xe9,chardev=out
                  -chardev "file,id=control,path=$run/control" -device isa-debugcon,iobase=0xea,chardev=control)
    else
        command+=(-serial mon:stdio)
    fi
    [ -z "$gdb" ] || command+=(-gdb "tcp:localhost:$gdb" -S)
    command+=(${disks[@]+"${disks[@]}"} ${qemu_more[@]+"${qemu_more[@]}"})
}

# grub_cd multiboot1|multiboot2: a CD whose GRUB loads hypervisor and dom0 by that protocol, as an installed Debian does.
grub_cd() {
    local iso=$run/iso version=${1#multiboot}
    version=${version#1}
    [ -z "$print" ] || return 0
    mkdir -p "$iso/boot/grub"
    cp "$image" "$iso/boot/hypervisor"
    {
        printf 'set timeout=0\nmenuentry xenolith {\n  multiboot%s /boot/hypervisor placeholder %s\n' "$version" "$(hypervisor_line)"
        if [ -n "$kernel" ]; then
            cp "$kernel" "$iso/boot/vmlinuz"
            cp "$initrd" "$iso/boot/initrd"
            printf '  module%s /boot/vmlinuz placeholder %s\n  module%s --nounzip /boot/initrd\n' "$version" "$(dom0_line)" "$version"
        fi
        printf '}\n'
    } >"$iso/boot/grub/grub.cfg"
    grub-mkrescue -o "$run/boot.iso" "$iso" >"$run/mkrescue.log" 2>&1 || { tail "$run/mkrescue.log" >&2; die "grub-mkrescue failed"; }
}

# Bochs starts from GRUB's CD. Its serial lines go to files and pipes; there is no terminal.
bochs_command() {
    local share=/usr/share/bochs
    [ -n "$exec_file" ] || die "--emulator bochs has no terminal: use --exec FILE"
    [ "$dom0" = mini ] || die "--emulator bochs boots the mini dom0 only"
    if [ "$loader" = qemu ]; then grub_cd multiboot1; else grub_cd "$loader"; fi
    cat >"$run/bochsrc" <<R
cpu: model=corei7_haswell_4770, count=1, ips=100000000, reset_on_triple_fault=0
memory: guest=$mem, host=$mem
romimage: file=$share/BIOS-bochs-latest
vgaromimage: file=$share/VGABIOS-lgpl-latest
ata0-master: type=cdrom, path=$run/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$run/console.log
com2: enabled=1, mode=file, dev=$run/out
com3: enabled=1, mode=file, dev=$run/control
display_library: rfb, options="timeout=0"
log: $run/bochs.log
panic: action=report
error: action=report
clock: sync=none
R
    echo c >"$run/bochs.start"
    command=(env BXSHARE=$share bochs -q -f "$run/bochsrc" -rc "$run/bochs.start")
}

seconds_since() { local now=$EPOCHREALTIME; awk -v a="$1" -v b="$now" 'BEGIN { printf "%.2f", b - a }'; }

report_line() { [ -z "$report" ] || printf '%s\n' "$1" >>"$report"; }

run_terminal() {
    local status=0
    if [ -n "$timeout" ]; then timeout --foreground "$timeout" "${command[@]}" || status=$?; else "${command[@]}" || status=$?; fi
    exit $status
}

fail_with_console() {
    local keep=$build/console.log
    mkdir -p "$build"
    { tr -d '\r\000' <"$run/console.log" 2>/dev/null || true; } >"$keep"
    printf '%s\n' "---- the last lines of the console (all of it: $keep) ----" >&2
    tail -n 40 "$keep" >&2
    [ ! -s "$run/emulator.log" ] || { printf '%s\n' "---- the emulator said ----"; tail -n 5 "$run/emulator.log"; } >&2
    die "$1"
}

# Runs the machine, streams the script's output, follows the control lines (up, ready, exit N) until it is off.
run_script() {
    local status='' start line part='' deadline died='' stage="starting" off_deadline=''
    mkfifo "$run/out" "$run/control"
    : >"$run/console.log"
    exec 6<>"$run/out" 7<>"$run/control"
    cat <"$run/out" 6>&- 7>&- &
    local streamer=$!
    start=$EPOCHREALTIME
    "${command[@]}" </dev/null >"$run/emulator.log" 2>&1 6>&- 7>&- &
    emulator_pid=$!
    [ -z "$report" ] || : >"$report"
    deadline=$((SECONDS + timeout))
    while :; do
        line=''
        if ! read -r -t 0.5 -u 7 line; then
            part+=$line  # the time may be up in the middle of a line: what came of it is kept
        else
            line=$part$line part=''
            case $line in
                up) stage="dom0's user space is up"; report_line "up=$(seconds_since "$start")";;
                ready) stage="the tools are up"; report_line "ready=$(seconds_since "$start")"; [ -z "$profile" ] || kill -USR2 "$emulator_pid";;
                "exit "*) [ -z "$profile" ] || kill -USR2 "$emulator_pid"
                    status=${line#exit }; stage=done; off_deadline=$((SECONDS + 60)); report_line "exit=$status";;
            esac
            continue
        fi
        [ -z "$died" ] || break
        if ! kill -0 "$emulator_pid" 2>/dev/null; then died=1; continue; fi  # once more round: lines may wait
        if [ -n "$off_deadline" ] && [ $SECONDS -ge "$off_deadline" ]; then break; fi
        [ $SECONDS -lt $deadline ] || break
    done
    if [ -n "$died" ]; then
        wait "$emulator_pid" || true
    else
        kill -KILL "$emulator_pid" 2>/dev/null || true
        wait "$emulator_pid" 2>/dev/null || true
    fi
    emulator_pid=''
    exec 6>&-
    wait $streamer || true
    [ -z "$log" ] || tr -d '\r\000' <"$run/console.log" >"$log"
    [ -z "$profile" ] || profile_end
    if [ -n "$status" ]; then
        if [ -n "$died" ]; then report_line poweroff=yes; else report_line poweroff=no; say "warning: the machine did not power off after the script; it was stopped"; fi
        exit "$status"
    fi
    if [ -n "$died" ]; then fail_with_console "the machine stopped before the script ended (it got as far as: $stage)"; fi
    fail_with_console "no end after $timeout seconds (it got as far as: $stage)"
}
