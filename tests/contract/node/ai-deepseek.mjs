import { createDeepSeek } from "@ai-sdk/deepseek";

import { runWith } from "./ai.mjs";
import { baseURL, model } from "./cases.mjs";

await runWith(createDeepSeek({ baseURL, apiKey: "none" }), "deepseek", model);
