#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The clock, read on one processor after the other, never goes back (EPOCHREALTIME: microseconds, no process needed).
last=0
for round in {1..40}; do
    for cpu in 0 1; do
        taskset -p $((1 << cpu)) $$ >/dev/null 2>&1
        for i in {1..20}; do
            now=${EPOCHREALTIME/./}
            if [ "$now" -lt "$last" ]; then echo "processor $cpu: $now comes after $last"; exit 1; fi
            last=$now
        done
    done
done
