#!/usr/bin/env bash
# Services that are not ours through a running forecourt: gRPC and WebSocket of Python's libraries, events and long polls,
# and the clients curl, nghttp, h2load and openssl s_client over HTTP/2 and TLS.
# Usage: tests/services.sh [BINARY]   (default: target/release/forecourt, built if it is not there)
# Says for each check what it found; exit 1 if one failed. What is not installed is left out and said, unless
# FORECOURT_TEST_SERVERS=required. grpcio and websockets come from PyPI, into a folder that is gone afterwards.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/programs.sh

install_libraries() {
  python=$work/venv/bin/python
  python3 -m venv "$work/venv" >"$work/pip" 2>&1 &&
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check grpcio websockets >>"$work/pip" 2>&1 && return 0
  missing "grpcio and websockets cannot be installed: $(tail -1 "$work/pip")"
  return 1
}

start_all() {
  "$python" tests/services/backend.py >"$work/ports" 2>"$work/backend.log" &
  started+=($!)
  said "$work/ports" $! "$work/backend.log"
  read -r calls pages talks <"$work/ports"
  # A certificate that is its own authority, so that clients can be told to believe it.
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$work/key.pem" -out "$work/cert.pem" 2>"$work/openssl"
  # Seconds in place of the defaults' tens, so that what may be silent shows it.
  cat >"$work/forecourt.toml" <<TOML
[log]
access = { path = "off" }
[listeners.web]
address = "127.0.0.1:0"
timeouts = { body = "2s" }
[listeners.secure]
address = "127.0.0.1:0"
[listeners.secure.tls]
certificates = [{ certificate = "cert.pem", key = "key.pem" }]
[[routes]]
path_prefix = "/test.Service"
pool = "calls"
[[routes]]
path_prefix = "/down.Service"
pool = "down"
[[routes]]
path_prefix = "/talk"
pool = "talks"
$(for path in / /poll /events; do printf '[[routes]]\npath = "%s"\npool = "pages"\n' "$path"; done)
[pools.calls]
protocol = "h2c"
backends = [{ address = "127.0.0.1:$calls" }]
[pools.down]
protocol = "h2c"
backends = [{ address = "127.0.0.1:1" }]
[pools.talks]
backends = [{ address = "127.0.0.1:$talks" }]
[pools.pages]
backends = [{ address = "127.0.0.1:$pages" }]
TOML
  "$binary" run --config "$work/forecourt.toml" 2>"$work/log" &
  started+=($!)
  for listener in web secure; do
    until address=$(sed -n "s/.*listening listener=\"*$listener\"* address=\([0-9.:]*\).*/\1/p" "$work/log") && [ -n "$address" ]; do
      kill -0 $! || { cat "$work/log"; exit 1; }
      sleep 0.05
    done
    declare -g "$listener=$address"
  done
}

# The checks of a client in Python, in the words of this script.
by_python() {
  local line
  timeout 60 "$python" "tests/services/$2" "$web" "$secure" "$work/cert.pem" >"$work/said" 2>"$work/$2.log" ||
    bad "$1: $(tail -1 "$work/$2.log")"
  while read -r line; do
    case $line in
      "ok "*) ok "$1: ${line#ok }" ;;
      *) bad "$1: ${line#FAILED }" ;;
    esac
  done <"$work/said"
}

with_curl() {
  curl() { command curl --silent --show-error --max-time 20 --cacert "$work/cert.pem" "$@"; }
  check "curl: HTTP/2 by ALPN" "hello 200 2" "$(curl --http2 -w '%{http_code} %{http_version}' "https://$secure/" | tr '\n' ' ')"
  check "curl: HTTP/2 by prior knowledge" "hello 200 2" \
    "$(curl --http2-prior-knowledge -w '%{http_code} %{http_version}' "http://$web/" | tr '\n' ' ')"
  check "curl: HTTP/1.1 where it asks for an upgrade to h2c" "hello 200 1.1" \
    "$(curl --http2 -w '%{http_code} %{http_version}' "http://$web/" | tr '\n' ' ')"
  check "curl: HTTP/1.1 by ALPN" "hello 200 1.1" "$(curl --http1.1 -w '%{http_code} %{http_version}' "https://$secure/" | tr '\n' ' ')"
  local way url
  for way in --http1.1 --http2-prior-knowledge; do
    flows "curl $way: the first event is not held back" "$way" "http://$web/events"
    check "curl $way: a long poll" hello "$(curl "$way" "http://$web/poll")"
  done
  url=https://$secure/events
  flows "curl over TLS: the first event is not held back" --http2 "$url"
  check "curl: a message of gRPC for a service that is not there" 12 \
    "$(curl --http2-prior-knowledge -o /dev/null -H 'content-type: application/grpc' -d '' -w '%header{grpc-status}' "http://$web/no/such" 2>/dev/null || true)"
  unset -f curl
}

# flows WHAT WAY URL: five events, half a second between them. The head comes at once and the end two seconds later.
flows() {
  local first total
  read -r first total < <(curl "$2" --output /dev/null -w '%{time_starttransfer} %{time_total}\n' "$3")
  if awk -v first="$first" -v total="$total" 'BEGIN { exit !(first < 0.4 && total > 1.9) }'; then ok "$1"; else
    bad "$1: first byte after $first s, the last after $total s"
  fi
}

with_nghttp() {
  nghttp --no-verify-peer --stat "https://$secure/" >"$work/nghttp" 2>&1 || true
  holds "nghttp: a page by TLS" "$work/nghttp" ' 200 +6 /'
  nghttp --multiply=50 --stat "http://$web/" >"$work/nghttp" 2>&1 || true
  check "nghttp: 50 at once in clear" 50 "$(grep -Ec ' 200 +6 /' "$work/nghttp")"
}

with_h2load() {
  local url
  for url in "http://$web/" "https://$secure/"; do
    h2load --requests 20000 --clients 10 --max-concurrent-streams 100 "$url" >"$work/h2load" 2>&1 || true
    holds "h2load ${url%%:*}: 20,000 requests, a thousand at once, none failed" "$work/h2load" '20000 succeeded, 0 failed, 0 errored'
    grep 'finished in' "$work/h2load" | sed 's/^/        /'
  done
}

with_openssl() {
  s_client() { openssl s_client -connect "$secure" -servername localhost -CAfile "$work/cert.pem" "$@" </dev/null >"$work/tls" 2>&1 || true; }
  local protocol
  for protocol in h2 http/1.1; do
    s_client -alpn "$protocol"
    holds "openssl: ALPN $protocol" "$work/tls" "^ALPN protocol: $protocol"
    holds "openssl: the certificate is good" "$work/tls" 'Verify return code: 0'
  done
  s_client -alpn http/1.1,h2
  holds "openssl: of both, h2" "$work/tls" '^ALPN protocol: h2'
  s_client -tls1_2
  holds "openssl: TLS 1.2" "$work/tls" 'Protocol *: TLSv1.2'
  s_client -tls1_3
  holds "openssl: TLS 1.3" "$work/tls" 'New, TLSv1.3'
  s_client -tls1_1 -cipher DEFAULT@SECLEVEL=0
  holds "openssl: TLS 1.1 is refused" "$work/tls" 'Cipher is \(NONE\)'
  unset -f s_client
}

if has python3 && has openssl && install_libraries; then
  start_all
  by_python grpcio calls.py
  by_python websockets talks.py
  if has curl; then with_curl; fi
  if has nghttp; then with_nghttp; fi
  if has h2load; then with_h2load; fi
  with_openssl
fi
if [ "$failed" -eq 0 ]; then echo "all well"; else echo "something failed"; fi
exit "$failed"
