#!/usr/bin/env bash
# What testssl.sh (Debian: apt-get install testssl.sh) finds to say of TLS as forecourt speaks it.
#
#   tests/tls.sh [PROGRAM]
#
# Starts the program (default: target/release/forecourt) on ports of the kernel's choosing, with ECDSA and RSA certificates made
# here, and prints a summary. Fails if a finding is of severity MEDIUM or above, apart from those that are
# expected (see below).
set -euo pipefail

program=$(realpath "${1:-target/release/forecourt}")
testssl=$(command -v testssl || command -v testssl.sh) || { echo "left out: testssl.sh is not installed"; exit 0; }
folder=$(mktemp -d)
cd "$folder"

make() { # NAME ALGORITHM...
  local name=$1
  shift
  openssl req -x509 -newkey "$@" -nodes -keyout "$name.key" -out "$name.pem" -days 90 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
}
make ecdsa ec -pkeyopt ec_paramgen_curve:prime256v1
make rsa rsa:3072

cat > forecourt.toml <<'TOML'
[log.access]
path = "off"
[listeners.secure]
address = "127.0.0.1:0"
tls = { certificates = [{ certificate = "ecdsa.pem", key = "ecdsa.key" }, { certificate = "rsa.pem", key = "rsa.key" }] }
[[routes]]
pool = "none"
[pools.none]
backends = [{ address = "127.0.0.1:9" }]
TOML

NO_COLOR=1 "$program" run --config forecourt.toml 2> log &
balancer=$!
trap 'kill $balancer 2>/dev/null || true; wait $balancer 2>/dev/null || true; rm -rf "$folder"' EXIT
port=
for _ in $(seq 100); do
  port=$(sed -n 's/.*listening listener=.*127\.0\.0\.1:\([0-9]*\).*/\1/p' log | head -1)
  [ -n "$port" ] && break
  sleep 0.1
done
[ -n "$port" ] || { cat log; exit 1; }

# Not asked for: how browsers are simulated (no name server here) and what belongs to the application (HTTP headers).
"$testssl" --quiet --color 0 --warnings off --openssl-timeout 10 --protocols --server-defaults --server-preference --fs \
  --vulnerable --each-cipher --jsonfile findings.json "localhost:$port" > report 2>&1 || true

[ -s findings.json ] || { cat report; exit 1; }
python3 - <<'PY'
import collections, json, sys

findings = json.load(open("findings.json"))
# What a certificate brings along that has no authority behind it.
# And the order of cipher suites is the client's: all are strong, and who lacks hardware for AES knows best.
expected = ("cipher_order", "cert_chain_of_trust", "cert_trust", "cert_revocation", "OCSP", "cert_caIssuers", "cert_notAfter", "cert_expirationStatus", "CAA", "DNS_CAA", "cert_extlifeSpan", "cert_chain", "certificate_transparency")
counts = collections.Counter(finding["severity"] for finding in findings)
print("findings by severity:", dict(counts))
bad = []
for finding in findings:
    if finding["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL"):
        known = any(finding["id"].startswith(start) for start in expected)
        print(f'{finding["severity"]:8} {finding["id"]}: {finding["finding"]}{"  (as expected)" if known else ""}')
        if not known and finding["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL"):
            bad.append(finding["id"])
for wanted in ("SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3", "FS", "heartbleed", "ROBOT", "secure_renego", "CRIME_TLS", "ticketbleed", "sessionresumption_ticket"):
    for finding in findings:
        if finding["id"] == wanted:
            print(f'{finding["severity"]:8} {wanted}: {finding["finding"]}')
sys.exit(f"not as it should be: {bad}" if bad else 0)
PY
