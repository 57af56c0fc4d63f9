# What clients.sh, services.sh and prometheus.sh begin with; to be sourced from the project's folder with their arguments. Sets `binary`,
# `work` (a folder that is gone afterwards) and `failed`; ends what is in `started` when the script ends.

binary=${1:-target/release/forecourt}
[ -x "$binary" ] || cargo build --locked --release
work=$(mktemp -d)
failed=0
started=()
cleanup() {
  for id in "${started[@]}"; do kill "$id" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

ok() { printf 'ok      %s\n' "$1"; }
bad() {
  printf 'FAILED  %s\n' "$1"
  failed=1
}
# check WHAT EXPECTED GOT
check() {
  if [ "$2" = "$3" ]; then ok "$1"; else bad "$1: expected ${2@Q}, got ${3@Q}"; fi
}
# holds WHAT FILE PATTERN
holds() {
  if grep -Eqi "$3" "$2"; then ok "$1"; else
    bad "$1: no $3 in:"
    sed 's/^/        /' "$2" | tail -20
  fi
}
missing() {
  if [ "${FORECOURT_TEST_SERVERS:-}" = required ]; then bad "$1"; else printf 'left out: %s\n' "$1"; fi
}
has() {
  command -v "$1" >/dev/null && return 0
  missing "$1 is not installed"
  return 1
}
# said FILE ID LOG: waits until the process has written the file; says what it logged if it ends instead
said() {
  while [ ! -s "$1" ]; do
    kill -0 "$2" || { cat "$3"; exit 1; }
    sleep 0.05
  done
}
