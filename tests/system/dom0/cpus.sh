# SPDX-License-Identifier: Apache-2.0
# A machine of many processors, and a domain of twice as many that keeps off the first one.
equal "tools see all processors" "$CPUS" "$($TOOL info | awk '$1 == "nr_cpus" { print $3 }')"
equal "so does dom0" "$CPUS" "$(grep -c ^processor /proc/cpuinfo)"
forget_console wide
check "$TOOL create of a guest with $((CPUS * 2)) processors" $TOOL create \
    "$(guest wide "vcpus = $((CPUS * 2))" "cpus = \"1-$((CPUS - 1))\"" 'memory = 256' 'extra = "console=hvc0"')"
check "it runs on all of them" sh -c ". $TESTS/lib.sh; wait_until 120 said wide 'guest: up, $((CPUS * 2)) cpus'"
equal "each may run on all but the first" $((CPUS * 2)) "$($TOOL vcpu-list wide | grep -c "[^0-9]1-$((CPUS - 1))\( .*\)*$")"
equal "none does" 0 "$($TOOL vcpu-list wide | awk '$1 == "wide" && $4 == 0' | wc -l)"
end wide
