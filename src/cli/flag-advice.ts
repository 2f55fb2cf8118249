import { shellWord } from '../bytes.js';
import type { ErrorCode } from '../error-codes.js';
import { NoRepositoryError, type BridgeError } from '../errors.js';
import { TRUST_VARIABLE } from '../repository/trust.js';

/** What the library says, and what the command line adds to it. */
const ADDITIONS: readonly { code: ErrorCode; says: RegExp; add: string | ((error: BridgeError) => string) }[] = [
  { code: 'NOT_FOUND', says: /must be initialized$/, add: (error) => ` with ${initCommand(error)}` },
  { code: 'NOT_FOUND', says: /^there is no repository at /, add: (error) => `; ${initCommand(error)} makes one` },
  {
    code: 'NOT_FOUND',
    says: /^there is no manifest \S+ in the repository$/,
    add: '; "oci images --json" lists those that have a tag',
  },
  { code: 'DUBIOUS_OWNERSHIP', says: new RegExp(`${TRUST_VARIABLE}$`), add: ' or give --trust-repository' },
  { code: 'VERITY_UNSUPPORTED', says: /insecure/, add: ' "init --insecure" makes one.' },
  { code: 'OBJECT_DAMAGED', says: /is damaged$/, add: '; run fsck --repair' },
  { code: 'OBJECTS_DAMAGED', says: /a repair mends/, add: ' (fsck --repair)' },
  { code: 'GC_UNREADABLE', says: /repair it/, add: '; fsck --repair does the first' },
  { code: 'COMMAND_LINE', says: /nothing can be added$/, add: ': leave out --cmdline' },
  { code: 'WHICH_REPOSITORY', says: /say which one$/, add: ' (--from)' },
  {
    code: 'WRONG_IMAGE',
    says: /a pull that expects/,
    add: (error) => `: oci pull --bootable --expected-digest ${/a pull that expects (\S+)/.exec(error.reason)?.[1]}`,
  },
  { code: 'PROXY_VERSION', says: /whoever signed them$/, add: ' (--insecure-policy)' },
  { code: 'ALGORITHM', says: /^sharing all files/, add: '; leave out --zerocopy' },
  { code: 'HTTP_TLS', says: /certs\.d/, add: '; --cert-dir and --tls-verify=false do the same for one command' },
  { code: 'REPOSITORY_EXISTS', says: /migrate the repository/, add: ' ("cfsbridge migrate")' },
];

/** What to say after the message of an error that the command line knows an option or a command for. */
export function inFlags(error: BridgeError): string {
  const found = ADDITIONS.find(({ code, says }) => code === error.code && says.test(error.reason));
  if (found === undefined) return '';
  return typeof found.add === 'string' ? found.add : found.add(error);
}

function initCommand(error: BridgeError): string {
  return `"cfsbridge --repo ${shellWord(error instanceof NoRepositoryError ? error.path : '')} init"`;
}
