#!/usr/bin/env bash
# Clients that are not ours against a running forecourt: curl, ab, wrk with pipelining, slowhttptest.
# Usage: tests/clients.sh [BINARY]   (default: target/release/forecourt, built if it is not there)
# Says for each check what it found; exit 1 if one failed. What is not installed is left out and said, unless
# FORECOURT_TEST_SERVERS=required.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/programs.sh

start_all() {
  python3 tests/clients/backend.py >"$work/port" 2>"$work/backend.log" &
  started+=($!)
  said "$work/port" $! "$work/backend.log"
  # Seconds in place of the defaults' tens, so that what is slow is cut while we watch.
  cat >"$work/forecourt.toml" <<TOML
[log]
level = "info"
access = { path = "off" }
[listeners.web]
address = "127.0.0.1:0"
[listeners.strict]
address = "127.0.0.1:0"
[listeners.strict.timeouts]
header = "3s"
idle = "3s"
body = "3s"
[listeners.strict.limits]
body_rate = "1KiB/s"
[admin]
address = "127.0.0.1:0"
[[routes]]
path_prefix = "/"
pool = "shop"
[pools.shop]
backends = [{ address = "127.0.0.1:$(cat "$work/port")" }]
TOML
  "$binary" run --config "$work/forecourt.toml" 2>"$work/log" &
  started+=($!)
  for listener in web strict admin; do
    until address=$(sed -n "s/.*listening listener=\"*$listener\"* address=\([0-9.:]*\).*/\1/p" "$work/log") && [ -n "$address" ]; do
      kill -0 $! || { cat "$work/log"; exit 1; }
      sleep 0.05
    done
    declare -g "$listener=http://$address"
  done
}

with_curl() {
  local out=$work/out body=$work/body
  curl() { command curl --silent --show-error --max-time 20 "$@"; }
  check "curl: a page" hello "$(curl "$web/")"
  check "curl: HTTP/1.0" "hello 200 1.1" "$(curl --http1.0 -w '%{http_code} %{http_version}' "$web/" | tr '\n' ' ')"
  check "curl: a response that ends with its connection" "until the end" "$(curl "$web/old")"
  check "curl: two pages on one connection" "1 0 " "$(curl -o "$out" -w '%{num_connects} ' "$web/" -o "$out" "$web/")"
  curl --head "$web/" >"$out"
  holds "curl: HEAD announces the length" "$out" '^content-length: 6'
  head -c 20000000 /dev/urandom >"$body"
  local sum
  sum="20000000 $(sha256sum "$body" | cut -d' ' -f1)"
  check "curl: an upload of 20 MB" "$sum" "$(curl -T "$body" -H 'Expect:' "$web/echo")"
  check "curl: the same in chunks" "$sum" "$(curl -T "$body" -H 'Expect:' -H 'Transfer-Encoding: chunked' "$web/echo")"
  check "curl: the same after a 100 Continue" "$sum" "$(curl -v -T "$body" -H 'Expect: 100-continue' "$web/echo" 2>"$out")"
  holds "curl: the 100 is the backend's" "$out" '< HTTP/1.1 100 Continue'
  check "curl: an answer before the upload" 413 "$(curl -o "$out" -w '%{http_code}' -T "$body" -H 'Expect:' "$web/early" 2>/dev/null || true)"
  check "curl: an answer in place of a 100" 413 "$(curl -o "$out" -w '%{http_code}' -T "$body" -H 'Expect: 100-continue' "$web/early")"
  curl --raw "$web/trailers" >"$out"
  holds "curl: trailers" "$out" '^x-sum: 42'
  curl -v "$web/hints" >"$out" 2>&1
  holds "curl: early hints" "$out" '< HTTP/1.1 103 Early Hints'
  check "curl: 64 MiB" 67108864 "$(curl -o /dev/null -w '%{size_download}' "$web/big")"
  check "curl: an unknown method" hello "$(curl -X BREW "$web/")"
  check "curl: TRACE is refused" 405 "$(curl -o "$out" -w '%{http_code}' -X TRACE "$web/")"
  check "curl: a malformed field is refused" 400 "$(curl -o "$out" -w '%{http_code}' -H 'bad name: x' "$web/")"
  unset -f curl
}

with_ab() {
  local out=$work/ab
  ab -q -k -n 20000 -c 50 "$web/" >"$out" 2>&1 || true
  holds "ab: 20,000 requests, none failed" "$out" '^Failed requests: +0$'
  holds "ab: all answered" "$out" '^Complete requests: +20000$'
  holds "ab: all kept alive (HTTP/1.0)" "$out" '^Keep-Alive requests: +20000$'
  ab -q -n 3000 -c 20 "$web/" >"$out" 2>&1 || true
  holds "ab: a connection for each request, none failed" "$out" '^Failed requests: +0$'
}

with_wrk() {
  local out=$work/wrk
  wrk -t1 -c32 -d3s -s tests/clients/pipeline.lua "$web/" >"$out" 2>&1 || true
  holds "wrk: pipelines of sixteen" "$out" '[0-9]+ requests in'
  if grep -E 'Socket errors|Non-2xx' "$out"; then bad "wrk: errors"; else ok "wrk: no error, every answer 200"; fi
  grep 'requests in' "$out" | sed 's/^ */        /'
}

# The slow clients that forecourt holds now, the one that asks for this and the tool's own probe left out.
held() {
  curl --silent --max-time 5 "$admin/metrics" | awk -F'[ "]' '/^forecourt_connections\{listener="strict"/ { print ($NF > 1 ? $NF : 0) }'
}

# slow NAME SERVICE_PATH OPTIONS...: every slow connection is cut within its limit, and an honest client is served all the
# while. Asked of forecourt, not of the tool: whoever reads slowly sees a reset only behind what had come before it.
slow() {
  local name=$1 path=$2 most=0 now=0 began=$SECONDS unserved=0 out tool
  out=$work/slow.$1
  shift 2
  (cd "$work" && exec slowhttptest "$@" -c 200 -r 200 -i 1 -l 20 -p 2 -u "$strict$path" >"$out.log" 2>&1) &
  tool=$!
  started+=("$tool")
  while [ $((SECONDS - began)) -lt 15 ]; do
    now=$(held)
    [ "$now" -gt "$most" ] && most=$now
    [ "$(curl --silent --max-time 2 "$web/")" = hello ] || unserved=$((unserved + 1))
    [ "$most" -ge 200 ] && [ "$now" -eq 0 ] && break
    sleep 0.1
  done
  printf '        connected at most %s, %s of them left after %s s\n' "$most" "$now" $((SECONDS - began))
  check "slowhttptest $name: an honest client is served all the while" 0 "$unserved"
  if [ "$most" -ge 200 ]; then ok "slowhttptest $name: all were let in"; else bad "slowhttptest $name: all were let in"; fi
  check "slowhttptest $name: every one was cut" 0 "$now"
  # Opened within 2 s, cut within 3 more.
  if [ $((SECONDS - began)) -le 8 ]; then ok "slowhttptest $name: in time"; else bad "slowhttptest $name: in time"; fi
  kill "$tool" 2>/dev/null || true
  wait "$tool" 2>/dev/null || true
}

with_slowhttptest() {
  slow head / -H -x 24 -t GET
  slow body /echo -B -s 8192 -x 10 -t POST
  slow read /big -X -w 512 -y 1024 -n 1 -z 32 -k 1
}

start_all
if has curl; then with_curl; fi
if has ab; then with_ab; fi
if has wrk; then with_wrk; fi
if has slowhttptest; then with_slowhttptest; fi
if [ "$failed" -eq 0 ]; then echo "all well"; else echo "something failed"; fi
exit "$failed"
