# SPDX-License-Identifier: Apache-2.0
# How a PV kernel finds the hypervisor: each line of guests/conform's own is a check of this run.
words=checks
[ "$HYPERVISOR" = ours ] && words="checks kinder"
forget_console conform
check "$TOOL create of the conformance kernel" $TOOL create "$(kernel conform conform "extra = \"$words\"")"
check "the conformance kernel runs to its end" wait_until 300 said conform '^guest: status'
tr -d '\r' <"$(console_log conform)" >$WORK/conform.log
while IFS= read -r line; do
    case $line in
        "ok "*) passed_check "PV: ${line#ok }";;
        "not ok "*) failed_check "PV: ${line#not ok }";;
        "# "*) echo "$line";;
    esac
done <$WORK/conform.log
end conform
# A policy of the domain's own; only xl has a word for it.
if [ "$TOOL" = xl ]; then
    forget_console fewer
    check "xl create with fewer processor features" xl create "$(kernel fewer conform 'extra = "cpuid"' 'cpuid = "host,avx=0,sse4_2=0"')"
    check "it runs to its end" wait_until 300 said fewer '^guest: status'
    ecx=$(told fewer '^cpuid 0x1 0:' | awk '{ print $6 }')
    equal "CPUID shows the guest neither AVX nor SSE 4.2 (ecx ${ecx:-missing})" 0 $((${ecx:-0xffffffff} & 0x10100000))
    state=$(told fewer '^cpuid 0xd 0:' | awk '{ print $4 }')
    equal "and no state of AVX to save" 0x3 "$state"
    end fewer
fi
