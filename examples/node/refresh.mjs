// Signs in, refreshes once, and shows that only the new token is valid.

function setting(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

async function post(path, { body, headers } = {}) {
  const response = await fetch(setting("PAWL_URL") + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  return { status: response.status, ...(await response.json()) };
}

// A post that must succeed; returns the answer's data.
async function exchange(path, options) {
  const { success, data, status, errorCode, message } = await post(path, options);
  if (!success) throw new Error(`${path}: ${status} ${errorCode}: ${message}`);
  return data;
}

const session = (token) => post("/v2/auth/session", { headers: { Authorization: `Bearer ${token}` } });

try {
  const old = await exchange("/v2/auth/login", {
    body: { login: setting("PAWL_LOGIN"), password: setting("PAWL_PASSWORD") },
  });
  console.log(`signed in as user ${old.userId}`);

  const fresh = await exchange("/v2/auth/refresh", {
    body: { token: old.token },
    headers: { "X-API-Key": setting("ECGRID_API_KEY") },
  });
  console.log(`refreshed: new token expires ${fresh.expiresAt}`);

  const dead = await session(old.token);
  console.log(`superseded token: ${dead.status} ${dead.errorCode}`);
  if (dead.status !== 401 || dead.errorCode !== "InvalidSession") throw new Error("the superseded token should be refused");

  const good = await session(fresh.token);
  console.log(`new token: ${good.status}`);
  if (good.status !== 200) throw new Error("the new token should be good");
} catch (error) {
  console.error(`refresh.mjs: ${error.cause?.message || error.message}`);
  process.exitCode = 1;
}
