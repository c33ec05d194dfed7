import { createAnthropic } from "@ai-sdk/anthropic";

import { runWith } from "./ai.mjs";
import { baseURL, effort, greedy, model } from "./cases.mjs";

const anthropic = { thinking: { type: "adaptive" }, effort, disableParallelToolUse: true };

await runWith(createAnthropic({ baseURL, apiKey: "none", fetch: greedy }), { anthropic }, model);
