import type { Command } from 'commander';
import type { CommitForm } from '../../ostree/form.js';

export interface FormCommandOptions {
  fixXattrs?: true;
}

/** Adds what says how a commit is kept. */
export function formOptions(command: Command): Command {
  return command.option(
    '--fix-xattrs',
    'Make an image whose xattrs work, which is not the one that cfsctl makes; the name gets :fixed-xattrs',
  );
}

/** What the options mean. */
export function commitForm({ fixXattrs }: FormCommandOptions): CommitForm {
  return { fixXattrs: fixXattrs === true };
}
