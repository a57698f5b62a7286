// A real supabase-js client, driven by a test: one JSON object a line comes in, one goes out.
//
//   {"chain": [["from", "token_events"], ["select", "*"], ["eq", "id", "…"]]}
//     calls the methods one after another, and answers {data, error, status, statusText, count};
//   {"code": "…"}  runs JavaScript with `supabase`, `user` and `print` in scope, and answers
//     {"printed": […]}.
//
// The address, the anon key, the user's token and its id come by the environment.
import { createInterface } from "node:readline";
import { createClient } from "@supabase/supabase-js";
import WebSocket from "ws";

const { REST_URL, ANON_KEY, USER_TOKEN, USER_ID } = process.env;
const supabase = createClient(REST_URL, ANON_KEY, {
  auth: { persistSession: false, autoRefreshToken: false },
  global: { headers: USER_TOKEN ? { Authorization: `Bearer ${USER_TOKEN}` } : {} },
  realtime: { transport: WebSocket }, // Node 20 has none of its own
});
const AsyncFunction = (async () => {}).constructor;

async function answer({ chain, code }) {
  if (code !== undefined) {
    const printed = [];
    const print = (value) => printed.push(value);
    await new AsyncFunction("supabase", "user", "print", code)(supabase, { id: USER_ID }, print);
    return { printed };
  }
  let target = supabase;
  for (const [method, ...values] of chain) target = target[method](...values);
  const { data, error, count, status, statusText } = await target;
  return { data, error: error && { ...error }, count, status, statusText };
}

for await (const line of createInterface({ input: process.stdin })) {
  let told;
  try {
    told = await answer(JSON.parse(line));
  } catch (error) {
    told = { thrown: String(error?.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify(told)}\n`);
}
process.exit(0); // the Realtime client may hold a timer
