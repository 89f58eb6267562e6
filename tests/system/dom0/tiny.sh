# SPDX-License-Identifier: Apache-2.0
# The framework that the small guests stand on: its tour, which tests every helper once, as a domU.
printf 'module' >$WORK/module
for kernel in example example-generic; do
    forget_console example
    check "$TOOL create of the guest $kernel" $TOOL create "$(kernel example $kernel 'extra = "smp"' 'vcpus = 2' "ramdisk = \"$WORK/module\"")"
    check "it runs to its end" wait_until 60 said example 'guest: status'
    equal "every helper does what it says" "guest: status 0" "$(told example 'guest: status')"
    said example 'guest: status 0' || tail -n 20 "$(console_log example)" | sed 's/^/# /'
    check "it is gone" wait_until 30 gone example
    end example
done
