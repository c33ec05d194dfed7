// What every client is asked, and how a script is run: `node script.mjs BASE_URL` reads names of scenarios, one a line,
// and prints for each a line of JSON: its result, or how it failed.
import { createInterface } from "node:readline";

import { z } from "zod";

export const model = "smollm2-135m";
export const question = "Why is the sky blue?";
export const askTool = "What will the weather be in Paris tomorrow?";
export const tokens = 30;
export const callTokens = 80;
export const effort = "low";
export const forecast = z.object({ city: z.enum(["Paris", "Rome"]), days: z.literal([1, 2, 3]) });

export const [, , baseURL] = process.argv;

export async function run(scenarios) {
  for await (const name of createInterface({ input: process.stdin })) {
    const answer = await scenarios[name]().then((result) => ({ result })).catch((error) => ({ failed: error.stack ?? String(error) }));
    console.log(JSON.stringify(answer));
  }
}

// A fetch that makes the choice of tokens certain: for SDKs that leave the temperature out when a model thinks.
export function greedy(url, init) {
  return fetch(url, { ...init, body: JSON.stringify({ temperature: 0, ...JSON.parse(init.body) }) });
}

// The class and the fields of the error that `promise` fails with.
export async function failure(promise, ...fields) {
  try {
    await promise;
  } catch (error) {
    return { class: error.constructor.name, ...Object.fromEntries(fields.map((name) => [name, error[name]])) };
  }
  throw new Error("it did not fail");
}
