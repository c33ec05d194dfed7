import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import { askTool, baseURL, callTokens, effort, failure, forecast, model, question, run, tokens } from "./cases.mjs";

const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const short = { model, max_output_tokens: tokens, reasoning: { effort }, temperature: 0 };
const ask = { ...short, input: question };
const long = { ...ask, max_output_tokens: 160, background: true };
const tools = [{ type: "function", name: "forecast", parameters: z.toJSONSchema(forecast), strict: true }];
const calling = { ...short, input: askTool, max_output_tokens: callTokens, tools, tool_choice: "required", parallel_tool_calls: false };

const reasoningOf = ({ output }) => output.find((item) => item.type === "reasoning")?.content[0].text;
const callsOf = ({ output }) => output.filter((item) => item.type === "function_call");
const shown = (response) => ({ id: response.id, status: response.status, text: response.output_text, reasoning: reasoningOf(response) });

function joined(events) {
  const text = (kind) => events.filter((event) => event.type === `response.${kind}.delta`).map((event) => event.delta).join("");
  return { text: text("output_text"), reasoning: text("reasoning_text"), numbers: events.map((event) => event.sequence_number) };
}

async function ended(response) {
  while (["queued", "in_progress"].includes(response.status)) {
    await new Promise((wake) => setTimeout(wake, 200));
    response = await client.responses.retrieve(response.id);
  }
  return response;
}

// The first events of a background stream, which is then left.
async function cut(count) {
  const events = [];
  for await (const event of await client.responses.create({ ...long, stream: true })) {
    events.push(event);
    if (events.length === count) break;
  }
  return events;
}

async function resumed(events) {
  const { response } = events[0];
  const rest = await client.responses.retrieve(response.id, { stream: true, starting_after: events.at(-1).sequence_number });
  for await (const event of rest) events.push(event);
  return { ...joined(events), whole: shown(await client.responses.retrieve(response.id)) };
}

await run({
  async chat() {
    const response = await client.responses.create(ask);
    return { ...shown(response), requestId: response._request_id };
  },

  async stream() {
    const events = [];
    for await (const event of await client.responses.create({ ...ask, stream: true })) events.push(event);
    return joined(events);
  },

  async tool() {
    const response = await client.responses.create(calling);
    return { calls: callsOf(response).map((call) => JSON.parse(call.arguments)), reasoning: reasoningOf(response) };
  },

  async streamedTool() {
    const stream = client.responses.stream(calling);
    const pieces = [];
    stream.on("response.function_call_arguments.delta", (event) => pieces.push(event.delta));
    return { calls: callsOf(await stream.finalResponse()).map((call) => JSON.parse(call.arguments)), pieces };
  },

  async toolLoop() {
    const first = await client.responses.create(calling);
    const input = callsOf(first).map(({ call_id }) => ({ type: "function_call_output", call_id, output: "sun" }));
    const second = await client.responses.create({ ...calling, input, previous_response_id: first.id, tool_choice: "none" });
    const { data } = await client.responses.inputItems.list(second.id, { order: "asc" });
    return { text: second.output_text, results: data.map((item) => item.output).filter(Boolean) };
  },

  async structure() {
    const text = { format: zodTextFormat(forecast, "forecast") };
    const response = await client.responses.parse({ ...short, input: askTool, max_output_tokens: callTokens, text });
    return { object: response.output_parsed, reasoning: reasoningOf(response) };
  },

  async background() {
    const begun = await client.responses.create({ ...ask, background: true });
    return { begun: begun.status, ...shown(await ended(begun)) };
  },

  async cancel() {
    const begun = await client.responses.create({ ...long, max_output_tokens: 2000 });
    const cancelled = await client.responses.cancel(begun.id);
    return { cancelled: cancelled.status, retrieved: (await client.responses.retrieve(begun.id)).status };
  },

  async retrieve() {
    const created = await client.responses.create(ask);
    const retrieved = await client.responses.retrieve(created.id);
    await client.responses.delete(created.id);
    const gone = await failure(client.responses.retrieve(created.id), "status");
    return { created: shown(created), retrieved: shown(retrieved), gone };
  },

  async resume() {
    return resumed(await cut(8));
  },

  async resumeLater() {
    const events = await cut(8);
    await ended(events[0].response);
    return resumed(events);
  },

  async count() {
    const { input_tokens } = await client.responses.inputTokens.count({ model, input: question });
    return { tokens: input_tokens };
  },

  async error() {
    const missing = await failure(client.responses.create({ ...ask, model: "other" }), "status", "code");
    return { missing, bad: await failure(client.responses.create({ ...ask, temperature: 9 }), "status", "param") };
  },
});
