import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";

import { askTool, baseURL, callTokens, effort, failure, forecast, model, question, run, tokens } from "./cases.mjs";

const client = new Anthropic({ baseURL: baseURL.replace(/\/v1$/, ""), apiKey: "none", maxRetries: 0 });
const thinking = { thinking: { type: "adaptive" }, output_config: { effort } };
const ask = (content) => ({ model, max_tokens: tokens, temperature: 0, messages: [{ role: "user", content }], ...thinking });
const tools = [{ name: "forecast", input_schema: z.toJSONSchema(forecast) }];
const any = { type: "any", disable_parallel_tool_use: true };
const calling = { ...ask(askTool), max_tokens: callTokens, tools, tool_choice: any };

const blocksOf = ({ content }, type) => content.filter((block) => block.type === type);
const textOf = (message) => blocksOf(message, "text").map((block) => block.text).join("");
const reasoningOf = (message) => blocksOf(message, "thinking").map((block) => block.thinking).join("");

await run({
  async chat() {
    const message = await client.messages.create(ask(question));
    const reasoningTokens = message.usage.output_tokens_details?.thinking_tokens;
    return { text: textOf(message), reasoning: reasoningOf(message), reasoningTokens, requestId: message._request_id };
  },

  async stream() {
    const result = { text: "", reasoning: "", signatures: [] };
    const stream = client.messages.stream(ask(question));
    stream.on("text", (text) => (result.text += text));
    stream.on("thinking", (text) => (result.reasoning += text));
    stream.on("signature", (signature) => result.signatures.push(signature));
    const message = await stream.finalMessage();
    return { ...result, final: { text: textOf(message), reasoning: reasoningOf(message) }, usage: message.usage };
  },

  async off() {
    const message = await client.messages.create({ ...ask(question), thinking: { type: "disabled" } });
    return { text: textOf(message), reasoning: reasoningOf(message) };
  },

  async tool() {
    const message = await client.messages.create(calling);
    return { calls: blocksOf(message, "tool_use").map((call) => call.input), reasoning: reasoningOf(message) };
  },

  async streamedTool() {
    const stream = client.messages.stream(calling);
    const pieces = [];
    stream.on("inputJson", (piece) => pieces.push(piece));
    return { calls: blocksOf(await stream.finalMessage(), "tool_use").map((call) => call.input), pieces };
  },

  async toolLoop() {
    const first = await client.messages.create(calling);
    const results = blocksOf(first, "tool_use").map(({ id }) => ({ type: "tool_result", tool_use_id: id, content: "sun" }));
    const messages = [...calling.messages, { role: "assistant", content: first.content }, { role: "user", content: results }];
    const second = await client.messages.create({ ...calling, messages, tool_choice: { type: "none" } });
    return { text: textOf(second), results: results.map((result) => result.content) };
  },

  async forged() {
    const forged = { type: "thinking", thinking: "hm", signature: "AAAA" };
    const messages = [...calling.messages, { role: "assistant", content: [forged, { type: "text", text: "Rain." }] }, ...calling.messages];
    return { bad: await failure(client.messages.create({ ...ask(question), messages }), "status") };
  },

  async structure() {
    const output_config = { effort, format: zodOutputFormat(forecast) };
    const message = await client.messages.parse({ ...ask(askTool), max_tokens: callTokens, output_config });
    return { object: message.parsed_output, reasoning: reasoningOf(message) };
  },

  async count() {
    const { model, messages } = ask(question);
    const { input_tokens } = await client.messages.countTokens({ model, messages, ...thinking });
    const message = await client.messages.create(ask(question));
    const { input_tokens: rest, cache_read_input_tokens, cache_creation_input_tokens } = message.usage;
    return { tokens: input_tokens, used: rest + cache_read_input_tokens + cache_creation_input_tokens };
  },

  async error() {
    const missing = await failure(client.messages.create({ ...ask(question), model: "other" }), "status", "type");
    const bad = await failure(client.messages.create({ ...ask(question), temperature: 9 }), "status", "type");
    return { missing, bad };
  },
});
