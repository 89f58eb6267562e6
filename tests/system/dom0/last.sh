# SPDX-License-Identifier: Apache-2.0
# After everything else: neither kernel nor hypervisor has anything to complain about.
check "dom0's kernel has no complaint at the end" sh -c "! dmesg | grep -E 'BUG:|WARNING:|Oops|Call Trace|general protection|soft lockup|rcu.*stall'"
if [ "$HYPERVISOR" = ours ]; then
    $TOOL dmesg >$WORK/dmesg 2>&1
    check "the hypervisor's log has no warning or error" sh -c "! grep -Ei 'warn|error|bug|leak|assert' $WORK/dmesg"
fi
