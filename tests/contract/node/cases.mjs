// What every client is asked, and how a script is run: `node script.mjs BASE_URL SCENARIO` prints its result as JSON.
import { z } from "zod";

export const model = "smollm2-135m";
export const question = "Why is the sky blue?";
export const askTool = "What will the weather be in Paris tomorrow?";
export const tokens = 30;
export const callTokens = 80;
export const effort = "low";
export const forecast = z.object({ city: z.enum(["Paris", "Rome"]), days: z.literal([1, 2, 3]) });

export const [, , baseURL, scenario] = process.argv;

export async function run(scenarios) {
  console.log(JSON.stringify(await scenarios[scenario]()));
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
