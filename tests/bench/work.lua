-- work.lua - the requests that bench.py lets wrk send:
--
--   wrk ... -s work.lua URL -- <server> <call> <token> [<bytes of a value>]
--
-- call: get, set, cache/get, cache/set, atomic/add, or queue: a push and a pop in turn, of one queue.
-- Keys are chosen at random from KEYS; values are 64 bytes unless told. etcd takes the same keys and values in
-- base64 over its HTTP/JSON gateway.

local KEYS = 10000
local prepared = {}
local count = 0

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(text)
    local out = {}
    for i = 1, #text, 3 do
        local a, b, c = text:byte(i, i + 2)
        local n = a * 65536 + (b or 0) * 256 + (c or 0)
        for shift = 18, 0, -6 do
            local digit = math.floor(n / 2 ^ shift) % 64
            out[#out + 1] = alphabet:sub(digit + 1, digit + 1)
        end
        if not c then out[#out] = "=" end
        if not b then out[#out - 1] = "=" end
    end
    return table.concat(out)
end

local posted = {
    ["set"] = '{"key":"%s","value":"%s"}',
    ["cache/set"] = '{"key":"%s","value":"%s","ttl":600}',
    ["atomic/add"] = '{"key":"%s","delta":1}',
    ["queue/push"] = '{"key":"queue","value":"%2$s"}',
    ["queue/pop"] = '{"key":"queue"}',
}

local function insi(call, key, value, headers, i)
    if call == "queue" then
        call = i % 2 == 1 and "queue/push" or "queue/pop"
    end
    if call == "get" or call == "cache/get" then
        return wrk.format("GET", "/db/api/v1/" .. call .. "?key=" .. key, headers)
    end
    local body = posted[call]:gsub("%%2%$s", value):gsub("%%s", key, 1):gsub("%%s", value, 1)
    return wrk.format("POST", "/db/api/v1/" .. call, headers, body)
end

local function etcd(call, key, value)
    if call == "get" then
        return wrk.format("POST", "/v3/kv/range", {}, '{"key":"' .. base64(key) .. '"}')
    end
    return wrk.format("POST", "/v3/kv/put", {},
                      '{"key":"' .. base64(key) .. '","value":"' .. base64(value) .. '"}')
end

function init(args)
    local server, call, token = args[1], args[2], args[3]
    local headers = {["Authorization"] = "Bearer " .. (token or "")}
    local filler = string.rep("v", math.max(0, (tonumber(args[4]) or 64) - 64))
    math.randomseed(os.time())
    for i = 1, KEYS do
        local key = string.format("bench%06d", math.random(0, KEYS - 1))
        local value = string.format("%064d", i) .. filler
        prepared[i] = server == "etcd" and etcd(call, key, value) or insi(call, key, value, headers, i)
    end
end

function request()
    count = count % KEYS + 1
    return prepared[count]
end
