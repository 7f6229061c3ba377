import { createSession, PawlError, type components, type ErrorCode } from "@pawl/client";

type Schemas = components["schemas"];

const pawl: string = import.meta.env["VITE_PAWL_URL"];
const mode = new URLSearchParams(location.search).get("mode") === "cookie" ? "cookie" : "token";

// Both callbacks run in every tab, whichever tab signs in or out.
const session = createSession({
  url: pawl,
  mode,
  name: "example-" + mode, // each mode has its own session
  onSignedIn: () => void show(),
  onSignedOut: () => void show(),
});

function element<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/** Calls an API with the session, and returns the data of the answer. Pawl stands for an API of your own here. */
async function call<T>(method: string, path: string, body?: object): Promise<T> {
  const response = await session.fetch(pawl + path, {
    method,
    headers: { "Content-Type": "application/json" },
    ...(body && { body: JSON.stringify(body) }),
  });
  const answer = (await response.json()) as { success: boolean; data: T; errorCode: ErrorCode; message: string };
  if (!answer.success) {
    throw new PawlError(answer.errorCode, answer.message, response.status);
  }
  return answer.data;
}

/** Shows the sign-in or the account. */
async function show(): Promise<void> {
  element("sign-in").hidden = session.signedIn;
  element("account").hidden = !session.signedIn;
  if (session.signedIn) {
    await attempt(load);
  } else {
    element("name").textContent = "";
    element("sessions").replaceChildren(); // the next user must not see them
  }
}

/** Loads the user and the sessions. */
async function load(): Promise<void> {
  const [user, current, sessions] = await Promise.all([
    call<Schemas["User"]>("GET", "/v2/users/me"),
    call<Schemas["SessionInfo"]>("POST", "/v2/auth/session"),
    call<Schemas["Session"][]>("POST", "/v2/auth/sessions", { recordsPerPage: 20 }),
  ]);
  if (!session.signedIn) {
    return; // signed out meanwhile
  }
  element("name").textContent = `${user.firstName} ${user.lastName}`.trim() || user.login;
  element("level").textContent = user.authLevel;
  element("expires").textContent = new Date(current.expiresAt ?? 0).toLocaleTimeString();
  element("sessions").replaceChildren(...sessions.map(row));
}

/** Returns the row of a session. All text is set as text, so that no session can inject a script. */
function row(s: Schemas["Session"]): HTMLTableRowElement {
  const tr = document.createElement("tr");
  for (const text of [s.userAgent, s.ip, new Date(s.created).toLocaleString(), String(s.refreshes)]) {
    tr.insertCell().textContent = text;
  }
  const end = document.createElement("button");
  end.textContent = s.current ? "End (this one)" : "End";
  end.dataset["session"] = s.current ? "current" : "other";
  end.onclick = () => attempt(async () => {
    await call("DELETE", "/v2/auth/sessions/" + s.sessionId);
    await load(); // without a session, the SDK shows the sign-in by onSignedOut
  });
  tr.insertCell().append(end);
  return tr;
}

/** Runs an action, and shows its error. */
async function attempt(action: () => Promise<void>): Promise<void> {
  element("message").textContent = "";
  try {
    await action();
  } catch (e) {
    const ended = e instanceof PawlError && e.errorCode === "SignedOut";
    element("message").textContent = ended ? "You were signed out." : String((e as Error).message);
  }
}

element<HTMLFormElement>("sign-in").onsubmit = (event) => {
  event.preventDefault();
  const password = element<HTMLInputElement>("password");
  void attempt(() => session.login(element<HTMLInputElement>("login").value, password.value)).then(() => {
    password.value = "";
  });
};
element("reload").onclick = () => attempt(load);
element("sign-out").onclick = () => attempt(() => session.logout());

const choice = element<HTMLSelectElement>("mode");
choice.value = mode;
choice.onchange = () => location.assign("?mode=" + choice.value);

// In cookie mode, another page of the site may have signed in, or the user may have cleared the storage.
void session.resume().catch(() => false).then(show);
