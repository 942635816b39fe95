/** What a handler is: it parses, calls one use case, renders. */
import type { Answer } from "../exchange.ts";
import type { RequestContext } from "../request-context.ts";

export type Handler = (ctx: RequestContext) => Promise<Answer>;

/**
 * A route's handlers by method. HEAD is a method of its own: it never reads what it would not send.
 */
export type MethodTable = Readonly<Partial<Record<string, Handler>>>;
