# SPDX-License-Identifier: Apache-2.0
# Runs the scenarios named in SCENARIOS, in order, and closes with the plan: a run without one was cut short.
. /xenolith/tests/lib.sh
cd $WORK || exit 1
for scenario in $SCENARIOS; do
    echo "# scenario $scenario"
    start=$(date +%s)
    . $TESTS/$scenario.sh
    echo "# scenario $scenario took $(($(date +%s) - start)) s"
done
echo "1..$count"
[ $failed = 0 ]
