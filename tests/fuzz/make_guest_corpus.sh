#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make_guest_corpus.sh GUEST_FUZZ [SECONDS]: makes corpus/guest beside this script anew. Runs the fuzzer GUEST_FUZZ for a while
# (10 minutes when nothing is said), from what is stored and from random steps, and keeps a small part that reaches all that was reached.
set -eu
cd "$(dirname "$0")"
fuzzer=$(realpath "$1") seconds=${2:-600}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work"/{found,random,kept}
# What is random reaches deep sooner than inputs that grow from nothing: a step is 24 bytes of any kind.
for ((i = 0; i < 150; i++)); do head -c $((24 * (20 << i % 4))) /dev/urandom >"$work/random/$i"; done
"$fuzzer" -max_total_time="$seconds" -use_value_profile=0 -max_len=4800 -len_control=0 -artifact_prefix="$work/" "$work"/{found,random} corpus/guest
# Longer inputs first, because one of them stands for many short ones: few files, and few worlds for hv_corpus_test to make.
for least in 1200 400 0; do
    mkdir "$work/tier"
    find "$work"/{found,random} corpus/guest -type f -size +${least}c -size -4000c -exec cp {} "$work/tier/" \;
    "$fuzzer" -merge=1 -use_counters=0 -use_value_profile=0 -max_len=4800 "$work/kept" "$work/tier"
    rm -r "$work/tier"
done
rm -rf corpus/guest
mkdir corpus/guest
for f in "$work"/kept/*; do
    name=${f##*/}
    cp "$f" "corpus/guest/${name:0:12}"
done
