-- Requests for wrk: one method on one path, "%d" in path and body replaced by a number. With a file of proofs each
-- line is a number, a tab and a DPoP proof for that number's address; no proof is sent twice.
local method, path, body = os.getenv("LOAD_METHOD"), os.getenv("LOAD_PATH"), os.getenv("LOAD_BODY")
local headers, proofs, sent = {}, nil, 0
local numbers = tonumber(os.getenv("LOAD_NUMBERS") or "")
for line in (os.getenv("LOAD_HEADERS") or ""):gmatch("[^\n]+") do
  local name, value = line:match("^([^:]+):%s*(.*)$")
  headers[name] = value
end
if os.getenv("LOAD_PROOFS") then
  proofs = {}
  for line in io.lines(os.getenv("LOAD_PROOFS")) do
    local number, proof = line:match("^(%d+)\t(.*)$")
    proofs[#proofs + 1] = { number, proof }
  end
end
local plain -- made at the first request: before that wrk has no Host header to add

request = function()
  if not proofs and numbers then
    sent = sent + 1
    return wrk.format(method, (path:gsub("%%d", sent % numbers)), headers, body)
  elseif not proofs then
    plain = plain or wrk.format(method, path, headers, body)
    return plain
  end
  sent = sent + 1
  local number = proofs[sent]
  if not number then -- out of proofs: counted as an error, never as an answer
    headers["DPoP"] = "out-of-proofs"
    return wrk.format("GET", "/", headers)
  end
  headers["DPoP"] = number[2]
  local text = body and body:gsub("%%d", sent)
  return wrk.format(method, (path:gsub("%%d", number[1])), headers, text)
end

done = function(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('\nRESULT{"requests":%d,"microseconds":%d,"refused":%d,"failed":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, summary.errors.status, failed, latency:percentile(50), latency:percentile(99)))
end
