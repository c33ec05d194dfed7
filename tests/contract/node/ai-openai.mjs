// The provider `openai`, which speaks Responses. It keeps them at the server and refers to their items.
import { createOpenAI } from "@ai-sdk/openai";

import { runWith } from "./ai.mjs";
import { baseURL, effort, greedy, model } from "./cases.mjs";

const openai = { forceReasoning: true, reasoningEffort: effort, reasoningSummary: "auto" };

await runWith(createOpenAI({ baseURL, apiKey: "none", fetch: greedy }), { openai }, model);
