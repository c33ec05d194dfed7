import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { askTool, baseURL, callTokens, effort, failure, forecast, model, question, run, tokens } from "./cases.mjs";

const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const short = { model, max_completion_tokens: tokens, reasoning_effort: effort, temperature: 0 };
const ask = (content) => ({ messages: [{ role: "user", content }], ...short });
const parameters = z.toJSONSchema(forecast);
const tools = [{ type: "function", function: { name: "forecast", parameters, strict: true } }];
const calling = { ...ask(askTool), max_completion_tokens: callTokens, tools, tool_choice: "required", parallel_tool_calls: false };

await run({
  async chat() {
    const completion = await client.chat.completions.create(ask(question));
    const { content, reasoning_content } = completion.choices[0].message;
    return { text: content, reasoning: reasoning_content, requestId: completion._request_id };
  },

  async stream() {
    const result = { text: "", reasoning: "" };
    for await (const chunk of await client.chat.completions.create({ ...ask(question), stream: true })) {
      result.text += chunk.choices[0].delta.content ?? "";
      result.reasoning += chunk.choices[0].delta.reasoning_content ?? "";
    }
    return result;
  },

  async tool() {
    const completion = await client.chat.completions.create(calling);
    const { reasoning_content, tool_calls } = completion.choices[0].message;
    return { calls: tool_calls.map((call) => JSON.parse(call.function.arguments)), reasoning: reasoning_content };
  },

  async streamedTool() {
    const stream = client.chat.completions.stream(calling);
    const pieces = [];
    stream.on("tool_calls.function.arguments.delta", (event) => pieces.push(event.arguments_delta));
    const { tool_calls } = await stream.finalMessage();
    return { calls: tool_calls.map((call) => JSON.parse(call.function.arguments)), pieces };
  },

  async structure() {
    const format = { response_format: zodResponseFormat(forecast, "forecast"), max_completion_tokens: callTokens };
    const completion = await client.chat.completions.parse({ ...ask(askTool), ...format });
    const { parsed, reasoning_content } = completion.choices[0].message;
    return { object: parsed, reasoning: reasoning_content };
  },

  async completion() {
    const completion = await client.completions.create({ model, prompt: "The sky is", max_tokens: 8, echo: true });
    return { text: completion.choices[0].text };
  },

  async error() {
    const other = client.chat.completions.create({ ...ask(question), model: "other" });
    const missing = await failure(other, "status", "code"); // before the next: a rejection must not wait unheard
    const hot = client.chat.completions.create({ ...ask(question), temperature: 9 });
    return { missing, bad: await failure(hot, "status", "param") };
  },
});
