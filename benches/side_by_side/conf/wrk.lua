-- What every load has: one line for the harness at the end.
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("SIDE %d %d %d %d %d %d %d %d %d %d %d\n", summary.requests, summary.duration,
    e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
