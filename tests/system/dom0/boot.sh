# SPDX-License-Identifier: Apache-2.0
# dom0 itself: its processors, its rights, what the tool says about the machine.
equal "dom0 has ${CPUS:-2} processors" "${CPUS:-2}" "$(nproc)"
check "dom0 may control the machine" grep -q control_d /proc/xen/capabilities
check "$TOOL list shows Domain-0" listed Domain-0
equal "Domain-0 has id 0" 0 "$(domid_of Domain-0)"
$TOOL info >$WORK/info 2>&1
for field in nr_cpus total_memory free_memory xen_major xen_minor xen_caps xen_scheduler; do
    check "$TOOL info has $field" grep -Eq "^$field +: *[^ ]" $WORK/info
done
check "the hypervisor calls itself 4.17" sh -c "grep -Eq '^xen_major *: *4$' $WORK/info && grep -Eq '^xen_minor *: *17$' $WORK/info"
check "$TOOL dmesg shows the hypervisor's log" sh -c "$TOOL dmesg | grep -qi xen"
check "dom0's kernel has no complaint" sh -c ". $TESTS/lib.sh; ! complaints"
check "time moves forward on every processor" $TESTS/time-check.sh
