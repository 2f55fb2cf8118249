import { z } from 'zod';

const nothing = z.object({});

/** What the tests' server offers. */
export const testMethods = {
  Descriptors: {
    name: 'Descriptors',
    params: z.object({ count: z.int(), delay: z.int() }),
    result: z.object({ count: z.int() }),
  },
  Count: {
    name: 'Count',
    params: nothing,
    result: z.object({ received: z.int(), open: z.int(), notes: z.int(), pid: z.int() }),
  },
  Return: { name: 'Return', params: nothing, result: nothing },
  Fail: { name: 'Fail', params: z.object({ code: z.int().optional() }), result: nothing },
  Die: { name: 'Die', params: nothing, result: nothing },
};
