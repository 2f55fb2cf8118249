import type { Command } from 'commander';
import { subpathsOf, type CommitForm } from '../../ostree/form.js';

export interface FormCommandOptions {
  fixXattrs?: true | undefined;
  subpath: readonly string[];
}

/** Adds what says how a commit is kept. */
export function formOptions(command: Command): Command {
  return fixXattrsOption(command).option(
    '--subpath <in-commit>',
    'Take only this file or folder; repeatable; the name gets : and the path',
    (value: string, before: readonly string[]) => [...before, value],
    [],
  );
}

/** Adds what says how the image of a whole commit is made. */
export function fixXattrsOption(command: Command): Command {
  return command.option(
    '--fix-xattrs',
    'Make an image whose xattrs work, which is not the one that cfsctl makes; the name gets :fixed-xattrs',
  );
}

/** What the options mean. @throws BridgeError `INVALID_NAME` */
export function commitForm({ fixXattrs, subpath }: FormCommandOptions): CommitForm {
  return { fixXattrs: fixXattrs === true, subpaths: subpathsOf(subpath) };
}
