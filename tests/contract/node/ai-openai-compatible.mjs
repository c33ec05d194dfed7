import { createOpenAICompatible } from "@ai-sdk/openai-compatible";

import { runWith } from "./ai.mjs";
import { baseURL, effort, model } from "./cases.mjs";

const options = { name: "fathom", baseURL, apiKey: "none", includeUsage: true, supportsStructuredOutputs: true };

await runWith(createOpenAICompatible(options), { fathom: { reasoningEffort: effort } }, model);
