# SPDX-License-Identifier: Apache-2.0
# ./run --profile: QEMU counts the instructions of every block of code while the script runs; scripts/profile/report names the functions.
# Uses ./run's option variables.

# The names of the stock kernel's functions: Debian's System.map is empty, so a kernel on the bare machine is asked once.
kernel_names() {
    local names
    names=$CACHE/kallsyms-$(sha256sum "$kernel" | cut -c 1-16)
    if [ ! -s "$names" ]; then
        say "asking the kernel for the names of its functions (once)"
        printf '#!/bin/sh\ngzip -c /proc/kallsyms\n' >"$run/ask"
        "$TOP/run" --no-build --build-dir "$build" --hypervisor none --dom0 "$dom0" --tools "$tools" --dom0-append " nokaslr" --exec "$run/ask" |
            gunzip -c >"$names.part" || die "the kernel's names could not be read"
        mv "$names.part" "$names"
    fi
    printf '%s' "$names"
}

profile_begin() {
    local major interface=4
    need_packages g++ python3
    major=$(qemu-system-x86_64 --version | sed -n '1s/.*version \([0-9]*\).*/\1/p')
    [ "$major" -ge 9 ] || interface=1
    names=$(kernel_names)
    g++ -std=c++20 -O2 -shared -fPIC -fvisibility=hidden -DQEMU_PLUGIN_INTERFACE=$interface -o "$run/plugin.so" "$TOP/scripts/profile/plugin.cpp" ||
        die "the profiling plugin does not build"
    qemu_more+=(-plugin "$run/plugin.so,out=$run/counts")
}

profile_end() {
    local image=$build/hypervisor/xenolith
    case $hypervisor in ours) ;; none|xen) image=-;; *) image=$hypervisor;; esac
    [ -s "$run/counts" ] || { say "warning: the emulator counted nothing"; return 0; }
    "$TOP/scripts/profile/report" "$run/counts" "$image" "$names" >"$profile"
}
