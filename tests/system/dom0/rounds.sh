# SPDX-License-Identifier: Apache-2.0
# Rounds of create and destroy: afterwards exactly as many pages are free as before. One round goes first, for what is
# made once and kept.
one_round() { $TOOL create "$config" >$WORK/out 2>&1 && wait_until 20 listed round && $TOOL destroy round >>$WORK/out 2>&1 && wait_until 20 gone round; }
config=$(tiny round wait 'vcpus = 2')
one_round
before=$(settled_free_pages)
round=0
while [ $round -lt "${ROUNDS:-20}" ]; do
    one_round || { show $WORK/out; break; }
    round=$((round + 1))
done
equal "${ROUNDS:-20} rounds of create and destroy" "${ROUNDS:-20}" "$round"
same_memory "$before"
equal "no domain is left" 1 "$($TOOL list | awk 'NR > 1' | wc -l)"
equal "nothing of them is left in the store" "0" "$(xenstore-list /local/domain | tr '\n' ' ' | sed 's/ $//')"
