// node read-urls.program.js FILE   reads what the URLs in FILE lead to, one a line, over 32 connections that are kept,
// and does nothing with it: how long a client takes that is all but the network.
import { readFileSync } from 'node:fs';
import { Agent, get, type IncomingMessage } from 'node:http';

const CONNECTIONS = 32;

const urls = readFileSync(process.argv[2]!, 'latin1').split('\n');
const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });

async function read(url: string): Promise<void> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    get(url, { agent }, resolve).on('error', reject);
  });
  answer.resume();
  await new Promise((resolve, reject) => answer.on('end', resolve).on('error', reject));
}

let next = 0;
async function readOn(): Promise<void> {
  while (next < urls.length) await read(urls[next++]!);
}

await Promise.all(Array.from({ length: CONNECTIONS }, readOn));
agent.destroy();
