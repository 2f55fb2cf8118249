// A server as a process of its own, on its standard input.
import { openSync } from 'node:fs';
import { z } from 'zod';
import { Fd, fromFd } from '../../src/fd/fd-passing.js';
import { JsonRpcConnection } from '../../src/rpc/jsonrpc-fdpass.js';
import { MethodError } from '../../src/rpc/rpc-error.js';
import { handle } from '../../src/rpc/rpc-method.js';
import { methods } from '../../src/rpc/splitfdstream-methods.js';
import { openFds } from '../fd/open-fds.js';
import { testMethods } from './test-methods.js';

let notes = 0;

const handlers = new Map([
  handle(methods.GetInfo, async () => ({ result: { features: ['one', 'two'] } })),
  handle(testMethods.Descriptors, async ({ count, delay }) => {
    await new Promise((resolve) => setTimeout(resolve, delay));
    return { result: { count }, fds: Array.from({ length: count }, () => new Fd(openSync('/dev/null', 'r'))) };
  }),
  handle(testMethods.Count, async (_, { fds, peer }) => ({ result: { received: fds.length, open: openFds().size - fds.length, notes, pid: peer.pid } })),
  handle(testMethods.Return, async (_, { fds }) => ({ result: {}, fds: fds.map((fd) => fd.move()) })),
  handle(testMethods.Fail, async ({ code }) => {
    throw code === undefined ? new Error('plain failure') : new MethodError(code, 'chosen failure', { why: 'test' });
  }),
  handle(testMethods.Die, async () => process.kill(process.pid, 'SIGKILL') && { result: {} }),
  handle({ name: 'Note', params: z.object({}), result: z.object({}) }, async () => {
    notes++;
    return { result: {} };
  }),
]);

await new JsonRpcConnection(fromFd(new Fd(0))).serve(handlers);
