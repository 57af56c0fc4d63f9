-- Sixteen requests in one write: what wrk sends when it pipelines.
function init()
  local requests = {}
  for number = 1, 16 do
    requests[number] = wrk.format("GET", "/hello?" .. number)
  end
  sixteen = table.concat(requests)
end

function request()
  return sixteen
end
