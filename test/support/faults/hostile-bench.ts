import assert from 'node:assert/strict';
import { constants, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { BridgeError } from '../../../src/errors.js';
import { sourceFromFd } from '../../../src/fd/byte-source.js';
import type { Fd } from '../../../src/fd/fd-passing.js';
import { initRepository } from '../../../src/repository/init.js';
import { Repository } from '../../../src/repository/repository.js';
import { fastFolder } from '../fast-folder.js';
import { opened, pipeWith, writeTree } from '../images/tiny-image.js';
import { withoutLeak } from '../open-fds.js';
import { namesIn, problemsOf } from './check-repository.js';

const PATIENCE = 5000;

/**
 * A folder with the tree of the tiny image and an empty repository, for peers that lie. It is there before the tests.
 */
export class HostileBench {
  folder = '';
  /** Ends of pipes that a silent server keeps open, to be closed after a pull. */
  readonly kept: Fd[] = [];

  get tree(): string {
    return join(this.folder, 'tree');
  }

  get repository(): string {
    return join(this.folder, 'repository');
  }

  /** The folder that the image's only layer is unpacked in, as it is passed. */
  readonly root = (): Fd => opened(this.tree, constants.O_RDONLY | constants.O_DIRECTORY);

  /** @param more what else is to be there */
  constructor(name: string, more?: (bench: HostileBench) => void | Promise<void>) {
    before(async () => {
      // The first pipe a process reads makes the event loop open a descriptor it keeps.
      await using _ = sourceFromFd(pipeWith(Buffer.alloc(0)));
      this.folder = mkdtempSync(join(fastFolder, `${name}-`));
      writeTree(this.tree);
      initRepository(this.repository, { insecure: true });
      await more?.(this);
    });
    after(async () => {
      assert.deepEqual(await problemsOf(this.repository), []);
      rmSync(this.folder, { recursive: true });
    });
  }

  /** Expects the pull to fail in time with this code and place, leaving nothing. */
  async fails(
    pull: (repository: Repository) => Promise<unknown>,
    code: string | RegExp,
    place: Record<string, unknown> = {},
  ): Promise<void> {
    await withoutLeak(async () => {
      using repository = await Repository.open(this.repository, { write: true });
      let timer: NodeJS.Timeout | undefined;
      const patience = new Promise<never>(
        (_, reject) => (timer = setTimeout(() => reject(new Error('it hangs')), PATIENCE)),
      );
      await assert
        .rejects(Promise.race([pull(repository), patience]), (error) => {
          assert.ok(error instanceof BridgeError, `${String(error)} is no typed error`);
          assert.match(error.code, typeof code === 'string' ? new RegExp(`^${code}$`) : code, error.message);
          for (const [key, value] of Object.entries(place))
            assert.equal(error.place[key as 'layer'], value, error.message);
          return true;
        })
        .finally(() => clearTimeout(timer));
      for (const fd of this.kept.splice(0)) fd.close();
    });
    assert.deepEqual(namesIn(this.repository), []);
  }
}
