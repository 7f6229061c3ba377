-- Asks Pawl whether a request may pass. It sets txn.pawl_status, and on 200, or
-- 204 for a preflight, the X-Auth-* headers. Without an answer the status stays unset, and haproxy.cfg
-- rejects the request.
local url = os.getenv("PAWL_FORWARD_AUTH")
local asked = { "authorization", "x-api-key", "cookie", "origin", "sec-fetch-site", "access-control-request-method" }
local names = { "x-auth-user-id", "x-auth-login", "x-auth-session-id", "x-auth-level", "x-auth-network-id", "x-auth-mailbox-id" }

local function first(headers, name)
    local values = headers and headers[name]
    return values and values[0] or ""
end

core.register_action("pawl-auth", { "http-req" }, function(txn)
    local sent, ask = txn.http:req_get_headers(), {}
    for _, name in ipairs(asked) do
        if sent[name] then
            ask[name] = {}
            for _, value in pairs(sent[name]) do -- Pawl rejects two of them
                table.insert(ask[name], value)
            end
        end
    end
    ask["x-forwarded-method"] = { txn.f:method() }
    local answer = core.httpclient():get({ url = url, headers = ask, timeout = 10000 })
    if not answer or not answer.status then
        return
    end
    txn:set_var("txn.pawl_status", answer.status)
    txn:set_var("txn.pawl_challenge", first(answer.headers, "www-authenticate"))
    if answer.status == 200 or answer.status == 204 then
        for _, name in ipairs(names) do
            txn.http:req_set_header(name, first(answer.headers, name))
        end
    end
end, 0)
