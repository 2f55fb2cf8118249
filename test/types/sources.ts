// Options of what opens and takes images, and sources that a program writes itself.
import {
  collectGarbage,
  copyImage,
  fsckImages,
  fsckRepository,
  initRepository,
  openRegistryImage,
  openSocketImage,
  openSource,
  openStorageImage,
  pullImage,
  pushImage,
  repairRepository,
  Repository,
  serveStore,
  writeErofs,
  type Abortable,
  type Directory,
  type ImageSource,
  type LayerSource,
  type Listener,
  type PullOptions,
  type SourceTraits,
  type Store,
} from '../../src/index.js';
import type { Equal, Expect } from './equal.js';

/** The options of a function, which are what it takes last. */
type OptionsOf<F extends (...args: never[]) => unknown> =
  Required<Parameters<F>> extends [...unknown[], infer Last] ? Last : never;
type TakesSignal<F extends (...args: never[]) => unknown> = Equal<OptionsOf<F> extends Abortable ? true : false, true>;

export type Claims = [
  Expect<TakesSignal<typeof pullImage>>,
  Expect<TakesSignal<typeof pushImage>>,
  Expect<TakesSignal<typeof copyImage>>,
  Expect<TakesSignal<typeof openSource>>,
  Expect<TakesSignal<typeof openStorageImage>>,
  Expect<TakesSignal<typeof openRegistryImage>>,
  Expect<TakesSignal<typeof openSocketImage>>,
  Expect<TakesSignal<typeof collectGarbage>>,
  Expect<TakesSignal<typeof fsckRepository>>,
  Expect<TakesSignal<typeof fsckImages>>,
  Expect<TakesSignal<typeof repairRepository>>,
  Expect<TakesSignal<typeof Repository.open>>,
  Expect<Equal<ImageSource extends AsyncDisposable ? true : false, true>>,
  Expect<Equal<ReturnType<ImageSource['close']>, Promise<void>>>,
];

declare const repository: Repository;
declare const source: ImageSource;
declare const layers: readonly LayerSource[];
declare const signal: AbortSignal;
declare const maybe: AbortSignal | undefined;
declare const store: Store;
declare const listener: Listener;
declare const root: Directory;

export async function options(): Promise<void> {
  await pullImage(repository, source);
  await pullImage(repository, source, { name: 'debian', signal });
  // What may be left out may be undefined, too.
  await pullImage(repository, source, { name: undefined, signal: maybe });
  // @ts-expect-error: it has one L
  await pullImage(repository, source, { allowUnverifyed: true });
  // @ts-expect-error: one of four words
  await pullImage(repository, source, { localFetch: 'hardlink' });
  // @ts-expect-error: a number
  await pullImage(repository, source, { erofsVersion: '1' });
  // @ts-expect-error: a signal is an option
  await pullImage(repository, source, signal);
  // @ts-expect-error: the repository comes first
  await pullImage(source, repository);
  // @ts-expect-error: sources are an option
  await repairRepository(repository, []);
  // @ts-expect-error: what is checked comes before the options
  await fsckImages(repository, { metadataOnly: true });
  // @ts-expect-error: a list
  await collectGarbage(repository, { roots: 'debian' });
  // @ts-expect-error: it is spelt graphroot
  await openStorageImage('debian', { graphRoot: '/var/lib/containers/storage' });
  // @ts-expect-error: both halves belong together
  await openStorageImage('debian', { platform: { os: 'linux' } });
  // @ts-expect-error: there is no such algorithm
  initRepository('/var/lib/images', { algorithm: 'fsverity-md5-12' });
  // @ts-expect-error: there is no such version
  writeErofs(root, { version: 3, writer: 'c', algorithm: 'sha256' });
  // @ts-expect-error: the listener comes before the options
  await serveStore(store, { signal }, listener);
}

const whole = {
  manifest: Buffer.alloc(0),
  config: Buffer.alloc(0),
  layers,
  close: async () => undefined,
  [Symbol.asyncDispose]: async () => undefined,
};
const traits: SourceTraits = { trusted: false, canShare: false, parallelLayers: 1 };
export const own: ImageSource = { ...whole, ...traits };
// @ts-expect-error: whether it is trusted nobody can guess
export const untold: ImageSource = { ...whole, canShare: false, parallelLayers: 1 };
// @ts-expect-error: nor whether its files may be shared
export const unshared: ImageSource = { ...whole, trusted: false, parallelLayers: 1 };
// @ts-expect-error: nor how many layers may be read at a time
export const unlimited: ImageSource = { ...whole, trusted: false, canShare: false };
// @ts-expect-error: a layer whose tar has a length that is not known says so
export const unmeasured: LayerSource = { diffId: 'sha256:…', open: () => Promise.reject(new Error('not here')) };

/** Options can be kept and added to. */
export const kept: PullOptions = { bootable: true, ...(maybe && { signal: maybe }) };
