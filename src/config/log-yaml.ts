/** The section `log`. */
import { z } from "zod";
import type { Config, LogLevel } from "./config.ts";
import { flag, section, text, word } from "./yaml-values.ts";

export const logLevel: z.ZodType<LogLevel> = word(["error", "warn", "info", "debug"]);

/** What the section says; the rest is as without it. */
export const logSection: z.ZodType<Partial<Config["log"]>> = section({
  level: logLevel.optional(),
  formatter: word(["text", "json", "logstash"]).optional(),
  accesslog: section({ disabled: flag.optional() }).optional(),
  fields: z.record(z.string(), text).nullish(),
}).transform(({ accesslog, fields, formatter, level }) => ({
  ...(level === undefined ? {} : { level }),
  // Distribution 3 writes the same for logstash as for json.
  ...(formatter === undefined ? {} : { format: formatter === "text" ? "text" : "json" }),
  accessLog: accesslog?.disabled !== true,
  fields: fields ?? {},
}));
