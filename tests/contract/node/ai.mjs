// The scenarios of Vercel's AI SDK, the same for every provider.
import { generateObject, generateText, streamText, tool } from "ai";

import { askTool, callTokens, failure, forecast, question, run, tokens } from "./cases.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

const tools = { forecast: tool({ description: "The weather of the next days.", inputSchema: forecast }) };

export async function runWith(provider, providerOptions, model) {
  const common = {
    model: provider(model),
    maxOutputTokens: tokens,
    maxRetries: 0,
    temperature: 0,
    providerOptions,
  };
  const named = { type: "tool", toolName: "forecast" };
  const calling = { ...common, maxOutputTokens: callTokens, prompt: askTool, tools, toolChoice: named };

  await run({
    async chat() {
      const { text, reasoningText, usage } = await generateText({ ...common, prompt: question });
      return { text, reasoning: reasoningText, reasoningTokens: usage.outputTokenDetails.reasoningTokens };
    },

    async stream() {
      const result = { text: "", reasoning: "", kinds: [] };
      for await (const part of streamText({ ...common, prompt: question }).fullStream) {
        if (part.type === "text-delta") result.text += part.text;
        if (part.type === "reasoning-delta") result.reasoning += part.text;
        if (part.type === "error") throw part.error;
        if (result.kinds.at(-1) !== part.type) result.kinds.push(part.type);
      }
      return result;
    },

    async tool() {
      const { toolCalls, reasoningText } = await generateText(calling);
      return { calls: toolCalls.map((call) => call.input), reasoning: reasoningText };
    },

    async streamedTool() {
      const { toolCalls, fullStream } = streamText(calling);
      const pieces = [];
      for await (const part of fullStream) if (part.type === "tool-input-delta") pieces.push(part.delta);
      return { calls: (await toolCalls).map((call) => call.input), pieces };
    },

    async toolLoop() {
      const acting = { forecast: tool({ ...tools.forecast, execute: async () => "sun" }) };
      const prepareStep = ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? named : "none" });
      const stopWhen = ({ steps }) => steps.length === 2;
      const { text, steps } = await generateText({ ...calling, tools: acting, prepareStep, stopWhen });
      return { text, results: steps[0].toolResults.map((result) => result.output) };
    },

    async structure() {
      const { object, reasoning } = await generateObject({ ...common, maxOutputTokens: callTokens, prompt: askTool, schema: forecast });
      return { object, reasoning };
    },

    async error() {
      const missing = generateText({ ...common, model: provider("other"), prompt: question });
      return { missing: await failure(missing, "statusCode", "message") };
    },
  });
}
