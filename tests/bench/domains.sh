# SPDX-License-Identifier: Apache-2.0
# Runs in dom0: what making, listing and destroying small domains costs, alone and among COUNT of them. TOOL is xm or xl.
cost=/xenolith/bench/command-cost
mkdir -p /run/bench
cd /run/bench || exit 1

# make NAME FIGURE: a domain of 4 MB without devices that waits for ever
make() {
    printf 'name = "%s"\nkernel = "/xen/guest/tiny"\nmemory = 4\nvcpus = 1\nextra = "wait"\non_crash = "destroy"\n' "$1" >"$1.cfg"
    $cost "$2" $TOOL create "$1.cfg" >out 2>&1 || { cat out; echo "bench: FAILED: $TOOL create of $1"; exit 1; }
    case $2 in unnamed) ;; *) grep '^bench: ' out;; esac
}
shown() { $cost "$@" >out 2>&1 || { cat out; echo "bench: FAILED: $*"; exit 1; }; grep '^bench: ' out; }

make d1 "create, first"
shown "list with 1" $TOOL list
make d2 "create, 2nd"
$cost --free "memory before" >free.before
sed 's/^bench: memory before, \(.*\): \(.*\)/\1 \2/' free.before >before
number=3
while [ $number -lt "$COUNT" ]; do make d$number unnamed; number=$((number + 1)); done
$cost --free "memory after" | sed 's/^bench: memory after, \(.*\): \(.*\)/\1 \2/' >after
awk -v n=$((COUNT - 3)) 'NR == FNR { before[$1] = $2; next }
    $1 == "hypervisor" { printf "bench: memory a domain, hypervisor: %.1f\n", (before[$1] - $2) / n - 4096; next }
    { printf "bench: memory a domain, dom0: %.1f\n", (before[$1] - $2) / n }' before after
make d"$COUNT" "create among many"
shown "list with many" $TOOL list
$cost --idle "idle with many, busy a second" 5
shown "destroy among many" $TOOL destroy d"$COUNT"
number=$((COUNT - 1))
while [ $number -gt 3 ]; do $TOOL destroy d$number >/dev/null; number=$((number - 1)); done
shown "destroy among few" $TOOL destroy d3
echo "bench: done"
