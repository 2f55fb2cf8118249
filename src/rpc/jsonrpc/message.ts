// The four JSON-RPC 2.0 messages as they arrive. Outgoing ones are made by jsonrpc-lite.
import * as z from 'zod';

const idSchema = z.union([z.string(), z.int(), z.null()]);
export type RpcId = z.infer<typeof idSchema>;

const envelopeSchema = z.object({
  jsonrpc: z.literal('2.0'),
  id: idSchema.optional(),
  method: z.string().optional(),
  params: z.unknown().optional(),
  result: z.unknown().optional(),
  error: z.object({ code: z.int(), message: z.string(), data: z.unknown().optional() }).optional(),
});

export type RpcMessage =
  | { kind: 'request'; id: RpcId; method: string; params: unknown }
  | { kind: 'notification'; method: string; params: unknown }
  | { kind: 'success'; id: RpcId; result: unknown }
  | { kind: 'error'; id: RpcId; error: { code: number; message: string; data?: unknown } };

/**
 * What kind of message a JSON object is, or undefined when it is none. An answer with neither result nor error stands
 * for the result null: Go's library drops null members.
 */
export function classify(value: Record<string, unknown>): RpcMessage | undefined {
  const { success, data } = envelopeSchema.safeParse(value);
  if (!success) return undefined;
  const { id, method, params, result, error } = data;
  if (method !== undefined)
    return id === undefined ? { kind: 'notification', method, params } : { kind: 'request', id, method, params };
  if (error) return { kind: 'error', id: id ?? null, error };
  return id === undefined || id === null ? undefined : { kind: 'success', id, result: result ?? null };
}
