import type { Command } from 'commander';
import { subpathsOf, type CommitForm } from '../../ostree/form.js';

export interface FormCommandOptions {
  fixXattrs?: true;
  subpath: readonly string[];
}

/** Adds what says how a commit is kept. */
export function formOptions(command: Command): Command {
  return command
    .option(
      '--fix-xattrs',
      'Make an image whose xattrs work, which is not the one that cfsctl makes; the name gets :fixed-xattrs',
    )
    .option(
      '--subpath <in-commit>',
      'Take only this file or folder; repeatable; the name gets : and the path',
      (value: string, before: readonly string[]) => [...before, value],
      [],
    );
}

/** What the options mean. @throws BridgeError `INVALID_NAME` */
export function commitForm({ fixXattrs, subpath }: FormCommandOptions): CommitForm {
  return { fixXattrs: fixXattrs === true, subpaths: subpathsOf(subpath) };
}
