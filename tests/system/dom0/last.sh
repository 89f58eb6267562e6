# SPDX-License-Identifier: Apache-2.0
# After everything else: neither kernel nor hypervisor has anything to complain about.
check "dom0's kernel has no complaint at the end" sh -c ". $TESTS/lib.sh; ! complaints"
if [ "$HYPERVISOR" = ours ]; then
    $TOOL dmesg >$WORK/dmesg 2>&1
    check "the hypervisor's log has no warning or error" sh -c "! grep -Ei 'warn|error|bug|leak|assert' $WORK/dmesg"
fi
