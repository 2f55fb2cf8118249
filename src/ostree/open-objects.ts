import { takePolicy, type LayerPolicy } from '../repository/local-fetch.js';
import type { Repository } from '../repository/repository.js';
import { readAllCommits, storedSource } from './copy/stored-source.js';
import type { RemoteOptions } from './http/remote.js';
import { OstreeFolder } from './local/repository.js';
import { folderSource } from './local/source.js';
import { placeOf } from './place.js';
import type { ObjectSource } from './pull/source.js';

/** The objects of a repository of ostree, whatever commits they belong to. */
export interface OpenObjects extends AsyncDisposable {
  /** its folder, or its URL without a password */
  readonly place: string;
  readonly source: ObjectSource;
}

/**
 * Opens a repository of ostree for its objects. Of one at a server nothing is asked yet.
 * @param place as for `openOstreeRepository`, but for composefs repositories
 * @param options who to be at a server, and whom to believe
 * @throws as `openOstreeRepository`
 */
export async function openObjects(place: string, options: RemoteOptions = {}): Promise<OpenObjects> {
  const at = placeOf(place);
  if ('folder' in at) return objectsIn(at.folder);
  // The HTTP client is larger than all else.
  const [{ OstreeRemote }, { remoteSource }] = await Promise.all([
    import('./http/remote.js'),
    import('./http/source.js'),
  ]);
  const remote = new OstreeRemote(at.url, options);
  return {
    place: remote.url.href,
    source: remoteSource(remote),
    [Symbol.asyncDispose]: () => remote[Symbol.asyncDispose](),
  };
}

/** The objects of all commits that another repository has, which are read when something of them is asked for. */
export function objectsOf(repository: Repository): ObjectSource {
  let commits: ReturnType<typeof readAllCommits> | undefined;
  return storedSource(
    repository,
    (signal) => (commits ??= readAllCommits(repository, signal)),
    apart(repository.believed),
  );
}

function objectsIn(path: string): OpenObjects {
  const folder = OstreeFolder.open(path);
  return {
    place: path,
    source: folderSource(folder, apart(folder.trusted)),
    [Symbol.asyncDispose]: async () => folder[Symbol.dispose](),
  };
}

/** Sharing an inode with the source may be how damage came about. */
function apart(trusted: boolean): LayerPolicy {
  return takePolicy('reflink', { trusted, verityRequired: false, sealSource: false });
}
