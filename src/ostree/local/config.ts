import { FormatError } from '../../errors.js';

/** How a repository of ostree keeps files. */
const MODES = ['archive', 'bare', 'bare-user', 'bare-user-only', 'bare-split-xattrs'] as const;
export type RepositoryMode = (typeof MODES)[number];

/** Its older name. */
const ALIASES: Readonly<Record<string, RepositoryMode>> = { 'archive-z2': 'archive' };

/**
 * The mode that a repository's `config` says, which is an INI file: `mode` in the section `core`.
 * @throws FormatError `OSTREE_REPOSITORY` when there is none, or one that is not known
 */
export function modeOf(config: string): RepositoryMode {
  let section = '';
  let mode: string | undefined;
  for (const line of config.split(/\r?\n/)) {
    const [, header] = /^\s*\[([^\]]*)\]\s*$/.exec(line) ?? [];
    if (header !== undefined) section = header.trim().toLowerCase();
    const [, key, value] = /^\s*([^#;=\s][^=]*?)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (section === 'core' && key?.toLowerCase() === 'mode') mode = value;
  }
  if (mode === undefined) throw new FormatError('OSTREE_REPOSITORY', 'the config of the ostree repository has no mode');
  const known = ALIASES[mode] ?? MODES.find((candidate) => candidate === mode);
  if (known === undefined)
    throw new FormatError(
      'OSTREE_REPOSITORY',
      `the ostree repository has mode "${mode.slice(0, 40)}", known are ${MODES.join(', ')}`,
    );
  return known;
}
