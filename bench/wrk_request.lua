-- Decides what each request of wrk looks like: one template, with a number of its own and a random key where it asks.
--
-- wrk ... -s wrk_request.lua -- TEMPLATE KEY_FIRST KEY_STEP KEY_COUNT SEED [tally]
--
-- "{trace}" becomes the request's number (seven hex digits), "{key}" the number of one of KEY_COUNT keys (seven
-- decimal digits). Everything else is cut once, before the run, so that a request costs one format and one join.
-- With "tally", every status is counted one by one, which costs wrk more: used to verify, never while measuring.

local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

local function cut(text, mark)
  local first, last = text:find(mark, 1, true)
  if not first then
    return text, nil
  end
  return text:sub(1, first - 1), text:sub(last + 1)
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local template = file:read("*a")
  file:close()
  local first, step, count = tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
  local format, random, n = string.format, math.random, 0
  math.randomseed(tonumber(args[5]))
  if count == 1 then
    template = template:gsub("{key}", format("%07d", first))
  end
  local before_key, after_key = cut(template, "{key}")
  if after_key then
    local middle, tail = cut(after_key, "{trace}")
    if tail then
      request = function()
        n = n + 1
        return before_key .. format("%07d", first + step * random(0, count - 1)) .. middle .. format("%07x", n) .. tail
      end
    else
      request = function()
        return before_key .. format("%07d", first + step * random(0, count - 1)) .. middle
      end
    end
  else
    local head, tail = cut(template, "{trace}")
    if tail then
      request = function()
        n = n + 1
        return head .. format("%07x", n) .. tail
      end
    else
      request = function()
        return template
      end
    end
  end
  if args[6] == "tally" then
    statuses = {}
    response = function(status)
      statuses[status] = (statuses[status] or 0) + 1
    end
  end
end

function done(summary)
  local e = summary.errors
  local statuses = {}
  for code, times in pairs(threads[1]:get("statuses") or {}) do
    statuses[#statuses + 1] = string.format('"%d": %d', code, times)
  end
  print(string.format(
    'RESULT {"requests": %d, "duration_us": %d, "refused": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d, '
      .. '"statuses": {%s}}',
    summary.requests, summary.duration, e.status, e.connect, e.read, e.write, e.timeout, table.concat(statuses, ", ")))
end
