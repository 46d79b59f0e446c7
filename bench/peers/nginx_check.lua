-- Decides, inside nginx, what fastgw decides: who calls, whether this often, whether they can pay. The rival of the bench,
-- written to be as cheap as shared dicts allow: one look-up for the key (unhashed), two operations for a GCRA bucket, two
-- for the balance, all of them atomic `incr` where they change something, so that it stays right with several workers.

local keys, buckets = ngx.shared.keys, ngx.shared.buckets
local balances, captured = ngx.shared.balances, ngx.shared.captured
local var, header, now, sub = ngx.var, ngx.header, ngx.now, string.sub

local PRICE = 1000000 -- nanos: 0.001 of the currency's unit
local MONEY = { empty = 0, rich = 1e15, limited = 1e15 }

-- A limit class travels as the flags of its key's entry: seconds per request, and the burst in seconds.
local USUAL, LIMITED = 1, 2
local INTERVAL = { [USUAL] = 1e-6, [LIMITED] = 3600 }
local BURST = { [USUAL] = 1, [LIMITED] = 3600 }

local REFUSED = { [401] = "@refused_401", [402] = "@refused_402", [429] = "@refused_429" }

local _M = {}

function _M.load(path)
  for line in io.lines(path) do
    local key, kind = line:match("^(%S+) (%S+)$")
    assert(keys:safe_set(key, "account-" .. sub(key, -7), 0, kind == "limited" and LIMITED or USUAL))
    assert(balances:safe_set("account-" .. sub(key, -7), MONEY[kind]))
  end
end

-- The answer itself is a `return` in a named location: cheaper than printing it from here.
local function refuse(status)
  return ngx.exec(REFUSED[status])
end

-- Seconds until the next token; 0 when one was taken.
local function take_token(key, class)
  local t, interval = now(), INTERVAL[class]
  local arrival = buckets:get(key) or 0
  local step = arrival < t and t - arrival + interval or interval
  if arrival + step - t > BURST[class] then
    return arrival + interval - t - BURST[class]
  end
  local after = buckets:incr(key, step, 0)
  if after - t > BURST[class] then -- another worker was quicker
    buckets:incr(key, -step)
    return interval
  end
  return 0
end

function _M.admit()
  local authorization = var.http_authorization
  local key = authorization and sub(authorization, 8)
  local account, class
  if key then
    account, class = keys:get(key)
  end
  if not account then
    header["WWW-Authenticate"] = "Bearer"
    return refuse(401)
  end
  local wait = take_token(key, class)
  if wait > 0 then
    local seconds = math.ceil(wait)
    header["Retry-After"] = seconds
    header["RateLimit"] = '"default";r=0;t=' .. seconds
    header["RateLimit-Policy"] = '"default";q=1;w=3600'
    return refuse(429)
  end
  if balances:get(account) < PRICE then
    return refuse(402)
  end
  if balances:incr(account, -PRICE) < 0 then -- another worker was quicker
    balances:incr(account, PRICE)
    return refuse(402)
  end
  ngx.ctx.account = account
end

function _M.settle()
  local account = ngx.ctx.account
  if not account then
    return
  end
  if ngx.status < 500 then
    captured:incr(account, PRICE, 0)
  else
    balances:incr(account, PRICE)
  end
end

return _M
