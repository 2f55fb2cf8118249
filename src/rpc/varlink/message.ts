// The two messages of varlink, https://varlink.org/Method-Call. JSON objects that end with a NUL byte.
import * as z from 'zod';
import type { Parameters } from './varlink-error.js';

const object = z.record(z.string(), z.unknown());
/** Some implementations write null for what others leave out. */
const flag = z
  .boolean()
  .nullish()
  .transform((value) => value === true);
const parameters = object.nullish().transform((value) => value ?? undefined);

const callSchema = z.object({ method: z.string().min(1), parameters, more: flag, oneway: flag, upgrade: flag });
const replySchema = z.object({ error: z.string().min(1).nullish(), parameters, continues: flag });

/** A call as it arrived. */
export interface CallMessage {
  /** qualified, `org.example.Interface.Method` */
  method: string;
  parameters: Parameters | undefined;
  more: boolean;
  oneway: boolean;
  upgrade: boolean;
}

/** A reply as it arrived. */
export type ReplyMessage =
  | { error: string; parameters: Parameters }
  | { error?: undefined; parameters: Parameters; continues: boolean };

/** @returns undefined for an object that is not a call */
export function asCall(value: Parameters): CallMessage | undefined {
  return callSchema.safeParse(value).data;
}

/** @returns undefined for an object that is not a reply */
export function asReply(value: Parameters): ReplyMessage | undefined {
  const { data } = replySchema.safeParse(value);
  if (data === undefined) return undefined;
  const members = data.parameters ?? {};
  return typeof data.error === 'string'
    ? { error: data.error, parameters: members }
    : { parameters: members, continues: data.continues };
}

/** A call, with `method`, or a reply. */
export interface OutgoingMessage {
  method?: string;
  parameters?: object;
  more?: true;
  oneway?: true;
  continues?: true;
  error?: string;
}

/** A message as bytes. */
export function encode(message: OutgoingMessage): Buffer {
  return Buffer.from(`${JSON.stringify(message)}\0`);
}
