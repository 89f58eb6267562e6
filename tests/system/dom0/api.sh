# SPDX-License-Identifier: Apache-2.0
# xend's interface for programs, /api/v1, as a program uses it: through a port of this machine, as root. xl has none.
[ "$TOOL" = xm ] || return 0

cp /etc/xen/xend-config.sxp $WORK/settings 2>/dev/null || : >$WORK/settings
echo '(xend-http-server yes)' >>/etc/xen/xend-config.sxp
xend stop && xend start

# ask METHOD PATH [BODY]: what is answered
ask() {
    local body=${3:-}
    printf '%s /api/v1%s HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' "$1" "$2" ${#body} "$body" |
        timeout 30 nc 127.0.0.1 8000
}
# value NAME: of an answer, the first member of this name
value() { grep -o "\"$1\":\(\"[^\"]*\|[^\",}]*\)" | head -n 1 | sed 's/^"[^"]*":"\{0,1\}//'; }
# job METHOD PATH [BODY]: asks for a change and prints how its job ended
job() {
    local id state looks=0
    id=$(ask "$@" | value id)
    while state=$(ask GET "/jobs/$id" | value state); [ "$state" = waiting ] || [ "$state" = running ]; do
        [ $((looks += 1)) -lt 300 ] || break
        usleep 200000
    done
    echo "$state"
}
heard() { grep -q "^event: $1" $WORK/events; }

mkfifo $WORK/say
exec 7<>$WORK/say
nc 127.0.0.1 8000 <$WORK/say >$WORK/events &
listener=$!
printf 'GET /api/v1/events HTTP/1.0\r\n\r\n' >&7
check "somebody listens" wait_until 10 grep -q '^: xend' $WORK/events

equal "the hypervisor's version" "$(cat /sys/hypervisor/version/major).$(cat /sys/hypervisor/version/minor)$(cat /sys/hypervisor/version/extra)" "$(ask GET /version | value hypervisor)"
equal "dom0 is there" Domain-0 "$(ask GET /domains/0 | value name)"
equal "and who is not is not" "HTTP/1.0 404 Not Found" "$(ask GET /domains/nobody | head -n 1 | tr -d '\r')"
equal "what xm says is said" "Domain 'nobody' does not exist." "$(ask GET /domains/nobody | value detail)"
config='{"config":{"name":"api","kernel":"/xen/guest/tiny","memory":16,"extra":"wait","on_poweroff":"destroy"},"start":true}'
equal "a domain is made" succeeded "$(job POST /domains "$config")"
equal "its name is taken" failed "$(job POST /domains "$config")"
check "$TOOL sees it" listed api
equal "it has the number that $TOOL shows" "$(domid_of api)" "$(ask GET /domains/api | value id)"
equal "it is paused" succeeded "$(job POST /domains/api/pause)"
equal "and so it is" paused "$(ask GET /domains/api | value state)"
etag=$(ask GET /domains/api | tr -d '\r' | sed -n 's/^ETag: //p')
equal "who knows it is told nothing again" "HTTP/1.0 304 Not Modified" \
    "$(printf 'GET /api/v1/domains/api HTTP/1.0\r\nIf-None-Match: %s\r\n\r\n' "$etag" | timeout 30 nc 127.0.0.1 8000 | head -n 1 | tr -d '\r')"
check "$TOOL unpause" $TOOL unpause api
equal "its virtual CPU is counted" 1 "$(ask GET /domains/api/vcpus | grep -o '"cpu_time_ns"' | wc -l)"
equal "it ends" succeeded "$(job POST /domains/api/destroy)"
check "and is gone" wait_until 30 gone api
for event in domain.created domain.started domain.paused domain.unpaused domain.gone job; do
    check "$event was heard" wait_until 10 heard $event
done
kill $listener
exec 7>&-
rm -f $WORK/say
cp $WORK/settings /etc/xen/xend-config.sxp
xend stop && xend start
