// The provider `openai` with nothing kept at the server: traces go to and fro sealed.
import { createOpenAI } from "@ai-sdk/openai";

import { runWith } from "./ai.mjs";
import { baseURL, effort, greedy, model } from "./cases.mjs";

const openai = { forceReasoning: true, reasoningEffort: effort, reasoningSummary: "auto", store: false };

await runWith(createOpenAI({ baseURL, apiKey: "none", fetch: greedy }), { openai }, model);
