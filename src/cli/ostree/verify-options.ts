import type { Command } from 'commander';
import { bytesOf } from '../../bytes.js';
import { readWhole } from '../../fd/read-whole.js';
import { CONTAINERS_CONFIG_LIMIT } from '../../limits.js';
import { parseEd25519Keys } from '../../ostree/verify/signature-check.js';
import { NOT_LOOKED_AT, type CommitCheckOptions } from '../../ostree/verify/commit-check.js';
import { publicKeysIn } from '../../registry/policy/openpgp-keys.js';
import { talk } from '../talk.js';

export interface VerifyCommandOptions {
  verifyEd25519?: string;
  verifyGpg?: string;
  collectionId?: string;
  allowDowngrade?: true;
}

/** Adds what says who must have signed commits. */
export function verifyOptions(command: Command): Command {
  return command
    .option(
      '--verify-ed25519 <key>',
      'Refuse what is not signed with one of these keys: base64, or a file with one a line',
    )
    .option('--verify-gpg <keyring>', 'Refuse what is not signed with one of the OpenPGP keys in this file')
    .option('--collection-id <id>', 'With keys: the collection that commits must be bound to')
    .option('--allow-downgrade', 'With keys: take a commit that is older than the one that has the name');
}

/**
 * What the options mean. Says that signatures are not looked at when no key is given.
 * @throws FormatError `BAD_CONFIG` for what is no key; an error with `code` of Node's fs
 */
export function commitChecks(options: VerifyCommandOptions): CommitCheckOptions {
  const { verifyEd25519, verifyGpg, collectionId: collection, allowDowngrade } = options;
  if (verifyEd25519 === undefined && verifyGpg === undefined) {
    talk(`${NOT_LOOKED_AT}\n`);
    return {};
  }
  const ed25519 = verifyEd25519 === undefined ? undefined : ed25519Keys(verifyEd25519);
  const gpg = verifyGpg === undefined ? undefined : publicKeysIn(read(verifyGpg), verifyGpg);
  return { keys: { ed25519, gpg }, collection, allowDowngrade };
}

function ed25519Keys(keyOrFile: string): Buffer[] {
  if (/^[A-Za-z0-9+/]{43}=$/.test(keyOrFile)) return parseEd25519Keys(keyOrFile, keyOrFile);
  return parseEd25519Keys(read(keyOrFile).toString('latin1'), keyOrFile);
}

function read(path: string): Buffer {
  return readWhole(bytesOf(path), CONTAINERS_CONFIG_LIMIT);
}
