// Requests to the server: JSON in and out, and events as they come.

import { make } from "./dom.js";
import { t } from "./strings.js";

const TOKEN = "sightline-token";
const token = () => sessionStorage.getItem(TOKEN);

function headers() {
  const known = { "content-type": "application/json" };
  if (token()) known.authorization = `Bearer ${token()}`;
  return known;
}

// Asks for the token in a dialog; resolves when there is one.
function askToken() {
  const title = make("h2", { id: "token-title", text: token() ? t("token.wrong") : t("token.asked") });
  const input = make("input", { id: "token", type: "password", autocomplete: "off" });
  const dialog = make("dialog", { "aria-labelledby": "token-title" }, make("form", { method: "dialog" }, title,
    make("div", { class: "field" }, make("label", { for: "token", text: t("token") }), input), make("button", { type: "submit", text: t("token.use") })));
  document.body.append(dialog);
  return new Promise((resolve, reject) => {
    dialog.addEventListener("close", () => {
      const given = input.value.trim();
      sessionStorage.setItem(TOKEN, given);
      dialog.remove();
      if (given) resolve();
      else reject(new Error(t("token.none")));
    });
    dialog.showModal();
  });
}

async function request(path, body, signal) {
  const options = { headers: headers(), signal };
  if (body !== undefined) Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  const answer = await fetch(path, options);
  if (answer.status === 401) {
    await askToken();
    return request(path, body, signal);
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(told.error?.message ?? t("server.answered", answer.status)), { status: answer.status });
  }
  return answer;
}

export async function ask(path, body, signal) {
  return (await request(path, body, signal)).json();
}

// The events of a streamed answer, one object after the other.
export async function* events(path, body, signal) {
  const reader = (await request(path, body, signal)).body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (held + value).split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      const told = JSON.parse(part.slice("data: ".length));
      if (told.error) throw Object.assign(new Error(told.error.message), { status: told.error.code });
      yield told;
    }
  }
}
