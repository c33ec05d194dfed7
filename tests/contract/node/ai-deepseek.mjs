import { createDeepSeek } from "@ai-sdk/deepseek";

import { runWith } from "./ai.mjs";
import { baseURL, effort, model } from "./cases.mjs";

await runWith(createDeepSeek({ baseURL, apiKey: "none" }), { deepseek: { reasoningEffort: effort } }, model);
