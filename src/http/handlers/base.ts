/** `GET /v2/`: whether this is a registry. And which extensions it has. spec: end-1, extensions. */
import { jsonAnswer } from "../answers.ts";
import type { MethodTable } from "./handler.ts";

const here = async (): Promise<ReturnType<typeof jsonAnswer>> => jsonAnswer(200, "{}");

/** Any method is taken, as Distribution takes it. */
export const base: MethodTable = {
  GET: here,
  HEAD: here,
  POST: here,
  PUT: here,
  PATCH: here,
  DELETE: here,
};

export const discover: MethodTable = {
  GET: async (ctx) => {
    if (ctx.route.name !== "") ctx.repository();
    return jsonAnswer(200, JSON.stringify({ extensions: [] }));
  },
};
