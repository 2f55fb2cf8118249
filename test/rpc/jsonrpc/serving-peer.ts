// A server as a process of its own, on its standard input.
import { openSync } from 'node:fs';
import { z } from 'zod';
import { Fd, fromFd } from '../../../src/fd/fd-passing.js';
import { JsonRpcConnection } from '../../../src/rpc/jsonrpc/connection.js';
import { MethodError } from '../../../src/rpc/rpc-error.js';
import { implement } from '../../../src/rpc/jsonrpc/method.js';
import { methods } from '../../../src/rpc/contracts/splitfdstream.js';
import { openFds } from '../../support/open-fds.js';
import { testMethods } from './test-methods.js';

let notes = 0;

const handlers = new Map([
  implement(methods.GetInfo, async () => ({ result: { features: ['one', 'two'] } })),
  implement(testMethods.Descriptors, async ({ count, delay }) => {
    await new Promise((resolve) => setTimeout(resolve, delay));
    return { result: { count }, fds: Array.from({ length: count }, () => new Fd(openSync('/dev/null', 'r'))) };
  }),
  implement(testMethods.Count, async (_, { fds, peer }) => ({
    result: { received: fds.length, open: openFds().size - fds.length, notes, pid: peer.pid },
  })),
  implement(testMethods.Return, async (_, { fds }) => ({ result: {}, fds: fds.map((fd) => fd.move()) })),
  implement(testMethods.Fail, async ({ code }) => {
    throw code === undefined ? new Error('plain failure') : new MethodError(code, 'chosen failure', { why: 'test' });
  }),
  implement(testMethods.Die, async () => process.kill(process.pid, 'SIGKILL') && { result: {} }),
  implement({ name: 'Note', params: z.object({}), result: z.object({}) }, async () => {
    notes++;
    return { result: {} };
  }),
]);

await new JsonRpcConnection(fromFd(new Fd(0))).serve(handlers);
