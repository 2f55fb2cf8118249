// The requests of skopeo's image proxy, one after the other.
import type { Fd } from '../../fd/fd.js';
import { NoImageError } from '../../errors.js';
import { PROXY_IDLE_LIMIT, PROXY_IMAGES_LIMIT, PROXY_PACKET_LIMIT } from '../../limits.js';
import { goJson } from '../../spec/go-json.js';
import { argumentCount, digestArgument, noArguments, numberArgument, textArgument } from './arguments.js';
import { Pipes } from './pipes.js';
import { ProxyFault } from './proxy-fault.js';
import type { ProxyImage } from './proxy-image.js';
import type { ImageProxyOptions } from './proxy-options.js';

/** What a request comes to, if to nothing bad. */
export interface Outcome {
  value?: unknown;
  pipeid?: number;
  /** move to whoever sends them */
  fds?: Fd[];
  /** the reply has to wait for this, which no other request does */
  after?: Promise<void>;
}

type Method = (args: readonly unknown[]) => Promise<Outcome> | Outcome;

/** As skopeo's next version will be called, whose sockets there are. */
const VERSION = '0.2.9';

/** The images and pipes of one client. */
export class ImageProxy implements AsyncDisposable {
  readonly #options: ImageProxyOptions;
  readonly #idleLimit: number;
  readonly #stop = new AbortController();
  readonly #pipes: Pipes;
  readonly #images = new Map<number, ProxyImage>();
  readonly #sockets = new Set<Promise<void>>();
  #serial = 0;
  #initialized = false;

  readonly #methods: Readonly<Record<string, Method>> = {
    Initialize: (args) => this.#initialize(args),
    OpenImage: (args) => this.#open(args, false),
    OpenImageOptional: (args) => this.#open(args, true),
    CloseImage: async (args) => {
      const { id, image } = this.#only(args);
      this.#images.delete(id);
      await image.release();
      return {};
    },
    GetManifest: async (args) => {
      const { image } = this.#only(args);
      return { value: image.digest, ...(await this.#pipes.document(image.manifest())) };
    },
    GetFullConfig: async (args) => this.#pipes.document(this.#only(args, '[imgid]').image.config().full),
    GetConfig: async (args) => this.#pipes.document(this.#only(args, '[imgid]').image.config().runtime),
    GetBlob: (args) => this.#blob(args),
    GetRawBlob: (args) => this.#rawBlob(args),
    GetLayerInfo: (args) => ({ value: this.#only(args, 'imgid').image.layers() }),
    GetLayerInfoPiped: async (args) =>
      this.#pipes.document(
        goJson(
          this.#only(args, 'imgid')
            .image.layers()
            .map((layer) => ({ ...layer })),
        ),
      ),
    FinishPipe: (args) => {
      // Of several, skopeo looks at the first.
      argumentCount(args.slice(0, 1), 1);
      return { after: this.#pipes.finish(numberArgument(args[0])).finished };
    },
    OpenVarlinkSocket: (args) => this.#varlink(args),
    OpenJSONRPCFdPass: (args) => this.#jsonRpc(args),
  };

  constructor(options: ImageProxyOptions) {
    this.#options = options;
    this.#idleLimit = options.idleLimit ?? PROXY_IDLE_LIMIT;
    this.#pipes = new Pipes(this.#idleLimit, this.#stop.signal);
  }

  /** @throws whatever is to be told to the client */
  async request(method: string, args: readonly unknown[]): Promise<Outcome> {
    const called = Object.hasOwn(this.#methods, method) ? this.#methods[method] : undefined;
    if (called === undefined) throw new ProxyFault(`unknown method: ${method}`);
    if (!this.#initialized && method !== 'Initialize' && method !== 'FinishPipe')
      throw new ProxyFault('client error: must invoke Initialize');
    return called(args);
  }

  /** Ends what is under way. */
  async end(): Promise<void> {
    this.#stop.abort(new Error('the connection has ended'));
    await this.#pipes[Symbol.asyncDispose]();
    await Promise.all(this.#sockets);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    const images = [...this.#images.values()];
    this.#images.clear();
    for (const image of images) await image.release();
  }

  #initialize(args: readonly unknown[]): Outcome {
    noArguments(args);
    if (this.#initialized) throw new ProxyFault('already initialized');
    this.#options.check?.();
    this.#initialized = true;
    return { value: VERSION };
  }

  async #open(args: readonly unknown[], optional: boolean): Promise<Outcome> {
    argumentCount(args, 1);
    const reference = textArgument(args[0]);
    if (this.#images.size >= PROXY_IMAGES_LIMIT)
      throw new ProxyFault(`${PROXY_IMAGES_LIMIT} images are open already; close some of them`);
    const [{ openProxiedImage }, { ProxyImage }] = await Promise.all([
      import('./open-image.js'),
      import('./proxy-image.js'),
    ]);
    try {
      const source = await this.#whileAnswering(reference, (signal) =>
        openProxiedImage(reference, this.#options, signal),
      );
      if (this.#stop.signal.aborted) {
        await source.close();
        throw this.#stop.signal.reason;
      }
      this.#images.set(++this.#serial, new ProxyImage(reference, source, this.#options.platform));
      return { value: this.#serial };
    } catch (error) {
      if (optional && error instanceof NoImageError) return { value: 0 };
      throw error;
    }
  }

  /** A registry that does not answer is not waited for longer than for a blob. */
  async #whileAnswering<T>(reference: string, open: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal } = this.#stop;
    if (this.#idleLimit === 0 || !/^(?:docker|registry):/.test(reference)) return open(signal);
    const silent = new AbortController();
    const timer = setTimeout(
      () => silent.abort(new ProxyFault(`no image after ${this.#idleLimit / 1000} s`, 'retryable')),
      this.#idleLimit,
    );
    try {
      return await open(AbortSignal.any([silent.signal, signal]));
    } catch (error) {
      throw silent.signal.aborted ? silent.signal.reason : error;
    } finally {
      clearTimeout(timer);
    }
  }

  async #blob(args: readonly unknown[]): Promise<Outcome> {
    argumentCount(args, 3, 'imgid, digest, size');
    const { image } = this.#image(args[0]);
    if (typeof args[1] !== 'string') throw new ProxyFault('expecting string blobid');
    const size = numberArgument(args[2]);
    const digest = digestArgument(args[1]);
    const blob = await this.#pipes.blob(image, (signal) => image.blob(digest, signal), { digest, size });
    return { value: blob.size ?? -1, pipeid: blob.pipeid, fds: blob.fds };
  }

  async #rawBlob(args: readonly unknown[]): Promise<Outcome> {
    argumentCount(args, 2, 'imgid, digest');
    const { image } = this.#image(args[0]);
    const digest = digestArgument(args[1]);
    const blob = await this.#pipes.rawBlob(image, (signal) => image.blob(digest, signal));
    return { value: blob.size ?? -1, fds: blob.fds };
  }

  async #varlink(args: readonly unknown[]): Promise<Outcome> {
    argumentCount(args, 1);
    const [wanted] = args;
    const { varlinkSocket } = await import('./layer-sockets.js');
    const images = (): ProxyImage[] => [...this.#images.values()];
    const { fd, served } = await varlinkSocket(
      typeof wanted === 'string' ? wanted : this.#image(wanted).image,
      images,
      this.#stop.signal,
    );
    return this.#socket(fd, served);
  }

  async #jsonRpc(args: readonly unknown[]): Promise<Outcome> {
    noArguments(args);
    const { jsonRpcSocket } = await import('./layer-sockets.js');
    const { fd, served } = await jsonRpcSocket(() => [...this.#images.values()], this.#stop.signal);
    return this.#socket(fd, served);
  }

  #socket(fd: Fd, served: Promise<void>): Outcome {
    // Whatever breaks a connection is its client's to see.
    const ended = served.catch(() => undefined).finally(() => this.#sockets.delete(ended));
    this.#sockets.add(ended);
    return { fds: [fd] };
  }

  #only(args: readonly unknown[], expected?: string): { id: number; image: ProxyImage } {
    if (expected === '[imgid]' && args.length !== 1) throw new ProxyFault('invalid request, expecting: [imgid]');
    argumentCount(args, 1, expected);
    return this.#image(args[0]);
  }

  #image(value: unknown): { id: number; image: ProxyImage } {
    const id = numberArgument(value);
    if (id === 0) throw new ProxyFault('Invalid imageid value of zero');
    const image = this.#images.get(id);
    if (image === undefined) throw new ProxyFault(`no image ${id}`);
    return { id, image };
  }
}

/** What is said of a packet that is longer than skopeo's buffer, which cuts it. */
export const TOO_LONG = `invalid request: a packet has at most ${PROXY_PACKET_LIMIT} bytes`;
