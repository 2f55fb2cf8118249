import type { Command } from 'commander';
import type { Algorithm } from '../fsverity/object-id.js';
import type { XattrMode } from '../tree/oci-transform.js';
import type { Output } from './output.js';

/** What every command gets beside its own arguments. */
export interface Session {
  /** Aborted on Ctrl-C, SIGTERM, and when whoever reads standard output went away. */
  signal: AbortSignal;
  /** Results; everything that is talk goes to standard error. */
  out: Output;
}

/** Options that stand before or after any command. */
export interface GlobalOptions {
  /** false: none, for commands that can do without */
  repo?: string | false;
  user?: true;
  system?: true;
  hash?: Algorithm;
  erofsVersion?: 0 | 1 | 2;
  requireVerity?: true;
  insecure?: true;
  trustRepository?: true;
  upgrade: boolean;
}

/** Options of the commands that make a file tree of an image's layers. */
export interface TreeOptions extends GlobalOptions {
  xattrs: XattrMode;
  bootable?: true;
}

/**
 * A command's module: `run` is called with the positional arguments (left out ones undefined) and the
 * options, global ones included, and its place in the grammar. It throws to end with exit status 1.
 */
export interface CommandModule<Arguments extends readonly unknown[], Options> {
  run(session: Session, args: Arguments, options: Options, command: Command): Promise<void> | void;
}

/** What is known of a command without loading it; stands beside the command's module. */
export interface CommandDefinition {
  name: string;
  /** Adds description, arguments, options and examples. @returns the same command */
  define(command: Command): Command;
}
