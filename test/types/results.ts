// Events and results, as a program reads them.
import {
  inspectImage,
  type AffectedImage,
  type CopyToResult,
  type FsckReport,
  type GcReport,
  type ImageDetails,
  type ImageFsckReport,
  type ImageSummary,
  type PulledLayer,
  type PullEvent,
  type PullResult,
  type PushedBlob,
  type PushEvent,
  type PushResult,
  type Quarantined,
  type Repaired,
  type RepairReport,
  type Repository,
  type RepositoryImage,
  type SourceProblem,
  type StoredLayer,
  type Tag,
} from '../../src/index.js';
import type { Equal, Expect, SnakeCase, Writable } from './equal.js';

type Results =
  | AffectedImage
  | CopyToResult
  | FsckReport
  | GcReport
  | ImageDetails
  | ImageFsckReport
  | ImageSummary
  | PulledLayer
  | PullResult
  | PushedBlob
  | PushResult
  | Quarantined
  | Repaired
  | RepairReport
  | RepositoryImage
  | SourceProblem
  | StoredLayer
  | Tag;
/** Of each alone: `keyof` of a union has only what all of them have. */
type Each<T> = T extends unknown ? { snake: SnakeCase<T>; writable: Writable<T> } : never;

export type Claims = [
  Expect<Equal<Each<Results>['snake'], never>>,
  Expect<Equal<Each<Results>['writable'], never>>,
  Expect<Equal<ReturnType<typeof inspectImage>, ImageDetails>>,
];

/** Every kind is handled, and each has what belongs to it. */
export function describePull(event: PullEvent): string {
  switch (event.kind) {
    case 'layers':
      return `${event.layers.length} layers`;
    case 'progress':
      return `${event.diffId} ${event.done.toFixed()}`;
    case 'present':
      // @ts-expect-error: nothing was imported
      return `${event.stats}`;
    case 'imported':
      return `${event.diffId} ${Object.keys(event.stats).length}`;
    case 'unverified':
      return `${event.diffId} is ${event.actual}`;
    case 'late-mark':
      return `${event.layer} ${event.entry}`;
    case 'image':
      return `${event.version} ${event.id}`;
    case 'platform':
      return `${event.image.os} ${event.wanted.os}`;
    // @ts-expect-error: there is no such kind
    case 'done':
      return 'done';
    default:
      return nothingElse(event);
  }
}

export function forgetful(event: PullEvent): string {
  if (event.kind === 'progress' || event.kind === 'present' || event.kind === 'imported') return event.diffId;
  // @ts-expect-error: others are left
  return nothingElse(event);
}

function nothingElse(event: never): string {
  return String(event);
}

export type PushKinds = Expect<Equal<string extends PushEvent['kind'] ? true : false, false>>;

export function results(pulled: PullResult, gc: GcReport, repository: Repository, image: RepositoryImage): void {
  const erofs: string | undefined = pulled.images.get(1);
  // @ts-expect-error: results are read
  pulled.tag = erofs;
  // @ts-expect-error: so are their lists
  pulled.layers.push(pulled.layers[0]!);
  // @ts-expect-error: and their maps
  pulled.images.set(1, '00');
  // @ts-expect-error: names are in camelCase
  void pulled.manifest_digest;
  // @ts-expect-error: counts are read
  gc.objects += 1;
  // @ts-expect-error: it is a value, not a text
  JSON.parse(inspectImage(repository, image));
}
