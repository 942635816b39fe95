/**
 * An error as it may stand in a log. Vendors' errors carry their request as properties, with
 * signatures and tokens, and URLs in their texts hold credentials: of the first nothing is taken,
 * of the second what is secret is left out.
 */

/** Characters: a vendor's error may quote a whole answer. */
const textMax = 8 * 1024;

const credentials = /\b([a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/@"'<>]+@/gi;
const query = /\b([a-z][a-z0-9+.-]{1,20}:\/\/[^\s?"'<>]*)\?[^\s"'<>]*/gi;

export interface ErrorText {
  readonly type: string;
  /** With the messages of its causes. */
  readonly message: string;
  readonly code?: string;
  readonly stack: string;
}

export function describeError(error: unknown): ErrorText {
  if (!(error instanceof Error)) return { type: typeof error, message: plain(error), stack: "" };
  const code = codeOf(error);
  return {
    type: error.name,
    message: messageOf(error),
    ...(code === undefined ? {} : { code }),
    stack: withoutSecrets(error.stack ?? ""),
  };
}

/** Causes in a chain, at most: errors may refer to each other in a circle. */
const causesMax = 5;

/** One line: the error's message, and those of its causes that it does not quote. */
export function messageOf(error: unknown): string {
  let text = "";
  let next = error;
  for (let depth = 0; depth <= causesMax && next !== undefined; depth += 1) {
    const message = plain(next);
    if (!text.includes(message)) text += text === "" ? message : ` (${message})`;
    next = next instanceof Error ? next.cause : undefined;
  }
  return text;
}

function plain(error: unknown): string {
  if (!(error instanceof Error)) return withoutSecrets(String(error));
  // Node's own say nothing but a code when several addresses were tried in vain.
  return withoutSecrets(error.message === "" ? (codeOf(error) ?? error.name) : error.message);
}

function codeOf(error: Error): string | undefined {
  return "code" in error && typeof error.code === "string" ? error.code : undefined;
}

function withoutSecrets(text: string): string {
  const cut = text.length > textMax ? `${text.slice(0, textMax)}...` : text;
  return cut.replaceAll(credentials, "$1").replaceAll(query, "$1?...");
}
