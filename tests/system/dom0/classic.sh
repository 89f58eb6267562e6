# SPDX-License-Identifier: Apache-2.0
# A machine that was started with sched= one of the older Xens' policies: dom0 and a domain run under it, and its own verb acts.
scheduler=$(xm info | awk '$1 == "xen_scheduler" { print $3 }')
check "a domain under $scheduler" xm create "$(guest classic 'extra = "console=hvc0"')"
check "it runs" ready classic
case $scheduler in
    sedf)
        check "xm sched-sedf sets" xm sched-sedf classic -p 40 -s 10 -l 5 -e 1
        check "and shows" sh -c "xm sched-sedf classic | grep -E '^classic +[0-9]+ +40.0 +10.0 +5.0 +1 +0'"
        check "all domains too" sh -c "xm sched-sedf | grep '^Domain-0 '"
        refused "a slice beyond its period" . xm sched-sedf classic -p 10 -s 20;;
    atropos)
        check "xm atropos sets" xm atropos classic 40000000 10000000 5000000 1
        refused "a slice beyond its period" . xm atropos classic 10000000 20000000 5000000 1;;
    bvt)
        check "xm sched-bvt sets" xm sched-bvt classic 20 0 0 0 0
        check "xm sched-bvt-ctxallow" xm sched-bvt-ctxallow 5000000;;
    rrobin)
        check "xm rrobin sets" xm rrobin 20000000
        refused "a slice that is too short" . xm rrobin 5;;
    *) failed_check "the scheduler is one of the older Xens'" "it is $scheduler";;
esac
[ "$scheduler" = sedf ] || refused "what is sedf's says who is there" "Xen is running with the $scheduler scheduler" xm sched-sedf classic -p 40 -s 10
check "it goes on" sh -c ". $TESTS/lib.sh; type_to classic 'echo after-\$((6 * 7))'; wait_until 20 said classic after-42"
end classic
