import type { TestContext } from 'node:test';
import { initRepository } from '../../../src/repository/init.js';
import { Repository } from '../../../src/repository/repository.js';
import { scratch } from '../scratch.js';

/** A new repository, open for writing until the test ends. @param path of a folder that is there */
export async function emptyRepository(t: TestContext, path = scratch(t)): Promise<Repository> {
  initRepository(path, { insecure: true });
  const repository = await Repository.open(path, { write: true });
  // Opened when it is first used, which would look like a leak.
  void repository.objects;
  t.after(() => repository.close());
  return repository;
}
