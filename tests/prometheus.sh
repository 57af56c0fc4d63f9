#!/usr/bin/env bash
# What deploy/ has for Prometheus and Grafana, tried: promtool on metrics and rules, and every query of the dashboard asked
# of a real Prometheus that scrapes the demo while one of its backends is stopped and started.
# Usage: tests/prometheus.sh [BINARY]   (default: target/release/forecourt, built if it is not there)
# Says for each check what it found; exit 1 if one failed. What is not installed is left out and said, unless
# FORECOURT_TEST_SERVERS=required.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/programs.sh

# tool WHAT COMMAND...: promtool finds nothing to say
tool() {
  local what=$1
  shift
  if "$@" >"$work/tool" 2>&1; then ok "$what"; else
    bad "$what:"
    sed 's/^/        /' "$work/tool" | tail -20
  fi
}

start_demo() {
  : >"$work/demo"
  "$binary" demo --port 0 --admin-port 0 --for 120s >"$work/demo" 2>"$work/demo.log" &
  started+=($!)
  for _ in $(seq 200); do
    shop=$(sed -n 's|^ *shop *\(http://[0-9.:]*\)/.*|\1|p' "$work/demo")
    admin=$(sed -n 's|^ *metrics *http://\([0-9.:]*\)/.*|\1|p' "$work/demo")
    stop=$(sed -n 's|.* \(http://[0-9.:]*/backends/[a-z]*\)/stop.*|\1|p' "$work/demo" | head -1)
    [ -n "$shop" ] && [ -n "$admin" ] && [ -n "$stop" ] && return 0
    sleep 0.05
  done
  cat "$work/demo" "$work/demo.log"
  exit 1
}

# A busy minute in ten seconds: everybody buys, and one backend goes and comes back.
shop_for_a_while() {
  local round
  for round in $(seq 10); do
    if [ "$round" = 3 ]; then curl -sS -o /dev/null -X POST "$stop/stop"; fi
    if [ "$round" = 7 ]; then curl -sS -o /dev/null -X POST "$stop/start"; fi
    # New shoppers, and one who stays.
    seq 100 | xargs -P4 -I@ curl -s -o /dev/null "$shop/products/@"
    curl -s -o /dev/null -b "$work/jar" -c "$work/jar" "$shop/basket?[1-10]"
    sleep 0.5
  done
}

start_prometheus() {
  cp deploy/prometheus/*.yml "$work"
  sed -i "s/127.0.0.1:9900/$admin/; s/: 15s/: 1s/" "$work/prometheus.yml"
  # It does not say which port the kernel chose, so it takes one that was free a moment ago.
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" \
    --web.listen-address="127.0.0.1:$port" >"$work/prometheus.log" 2>&1 &
  started+=($!)
  for _ in $(seq 200); do
    curl -fs -o /dev/null "http://127.0.0.1:$port/-/ready" && return 0
    kill -0 $! || { cat "$work/prometheus.log"; exit 1; }
    sleep 0.05
  done
}

if has promtool; then
  tool "promtool: rules" promtool check rules deploy/prometheus/forecourt.rules.yml
  tool "promtool: every alert fires for what it is about" promtool test rules deploy/prometheus/forecourt.rules.test.yml
  for alert in $(sed -n 's/.*- alert: //p' deploy/prometheus/forecourt.rules.yml); do
    holds "$alert is tried" deploy/prometheus/forecourt.rules.test.yml "alertname: $alert\$"
  done
fi
if has prometheus && has python3 && has curl; then
  start_demo
  start_prometheus
  shop_for_a_while
  if has promtool; then
    curl -fsS "http://$admin/metrics" >"$work/metrics"
    tool "promtool: metrics" sh -c "promtool check metrics <'$work/metrics'"
  fi
  if python3 tests/prometheus/queries.py "http://127.0.0.1:$port" deploy/grafana/forecourt.json; then
    ok "every query of the dashboard has figures"
  else
    bad "a query of the dashboard has none"
  fi
  # Loaded, and worked out without an error.
  curl -fsS "http://127.0.0.1:$port/api/v1/rules" >"$work/rules"
  check "rules that Prometheus cannot work out" 0 "$(grep -o '"health":"err"' "$work/rules" | wc -l)"
  holds "Prometheus has the rules" "$work/rules" '"name":"ForecourtErrorsBurnFast"'
fi
[ "$failed" = 0 ] && echo "all well"
exit "$failed"
