// The image proxy as its clients start it: a process with a socket as its standard input.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { Fd, fromFd, socketpair, type Connection } from '../../../src/fd/fd-passing.js';
import { sourceFromFd } from '../../../src/fd/byte-source.js';
import { cfsbridge } from '../cli/run-cli.js';

export interface ProxyAnswer {
  success: boolean;
  value: unknown;
  pipeid: number;
  error_code: string;
  error: string;
}

export interface PipeAnswer {
  reply: ProxyAnswer;
  bytes: Buffer;
  /** of FinishPipe */
  finished: ProxyAnswer;
}

/** A client that sends what it is told to, right or wrong. */
export class StartedProxy implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly connection: Connection;
  readonly ended: Promise<{ status: number | null; stderr: string }>;

  /** @param command program and arguments; default: ours, which takes any image */
  constructor(
    command: readonly string[] = [cfsbridge, 'experimental-image-proxy', '--insecure-policy'],
    env: NodeJS.ProcessEnv = process.env,
  ) {
    const [ours, theirs] = socketpair('seqpacket');
    const [program = '', ...args] = command;
    this.child = spawn(program, args, { stdio: [theirs.number, 'ignore', 'pipe'], env });
    theirs.close();
    this.connection = fromFd(ours);
    let stderr = '';
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    this.ended = once(this.child, 'close').then(([status]) => ({ status: status as number | null, stderr }));
  }

  static async initialized(args: readonly string[] = ['--insecure-policy'], env = process.env): Promise<StartedProxy> {
    const proxy = new StartedProxy([cfsbridge, 'experimental-image-proxy', ...args], env);
    await proxy.call('Initialize');
    return proxy;
  }

  async send(method: string, ...args: unknown[]): Promise<void> {
    await this.connection.send(Buffer.from(JSON.stringify({ method, args })));
  }

  async reply(): Promise<{ reply: ProxyAnswer; fds: Fd[] }> {
    const segment = await this.connection.receive();
    if (segment === undefined) throw new Error('the proxy has ended');
    return { reply: JSON.parse(segment.bytes.toString()) as ProxyAnswer, fds: segment.fds };
  }

  /** For requests that bring no descriptors. */
  async call(method: string, ...args: unknown[]): Promise<ProxyAnswer> {
    await this.send(method, ...args);
    const { reply, fds } = await this.reply();
    for (const fd of fds) fd.close();
    return reply;
  }

  /** With the descriptors, which are the caller's. */
  async open(method: string, ...args: unknown[]): Promise<{ reply: ProxyAnswer; fds: Fd[] }> {
    await this.send(method, ...args);
    return this.reply();
  }

  /** Reads a pipe to its end, and finishes it. */
  async pipe(method: string, ...args: unknown[]): Promise<PipeAnswer> {
    const { reply, fds } = await this.open(method, ...args);
    const [fd] = fds;
    if (fd === undefined) return { reply, bytes: Buffer.alloc(0), finished: reply };
    const [bytes, finished] = await Promise.all([readAll(fd), this.call('FinishPipe', reply.pipeid)]);
    return { reply, bytes, finished };
  }

  /** How many descriptors it has open. */
  get descriptors(): number {
    return readdirSync(`/proc/${this.child.pid}/fd`).length;
  }

  /** Its resident memory in bytes. */
  get memory(): number {
    const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.child.pid}/status`, 'utf8')) ?? [];
    return Number(kilobytes) * 1024;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.connection.close();
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 10_000);
    await this.ended;
    clearTimeout(timer);
  }
}

export async function readAll(fd: Fd): Promise<Buffer> {
  const pieces: Buffer[] = [];
  await using source = sourceFromFd(fd);
  for await (const piece of source) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}
