import { relative } from 'node:path';
import { inspect } from 'node:util';
import type { TestEvent } from 'node:test/reporters';

/**
 * Test reporter for people: says only what did not simply pass. A failure comes with its error, a skip with
 * its reason, and what a test printed is passed on.
 */
export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of events) {
    if (event.type === 'test:fail' && event.data.details.type !== 'suite')
      yield `FAILED ${title(event.data)}\n${indent(describe(event.data.details.error.cause ?? event.data.details.error))}\n`;
    else if (event.type === 'test:pass' && isSkipped(event.data.skip))
      yield `skipped ${title(event.data)}: ${event.data.skip === true ? 'no reason given' : event.data.skip}\n`;
    else if (event.type === 'test:stdout' || event.type === 'test:stderr') yield event.data.message;
  }
}

/** Assertion errors carry both values whole beside the message, which already shows where they differ. */
function describe(error: unknown): string {
  return error instanceof Error && 'code' in error && error.code === 'ERR_ASSERTION'
    ? (error.stack ?? error.message)
    : inspect(error);
}

/** Node marks a skipped test with `true` or the reason, and others with nothing. */
export function isSkipped(skip: string | boolean | undefined): skip is string | true {
  return skip !== undefined && skip !== false;
}

function title(test: { name: string; file?: string | undefined }): string {
  return test.file === undefined ? test.name : `${relative(process.cwd(), test.file)} "${test.name}"`;
}

function indent(text: string): string {
  return text.replace(/^/gm, '    ');
}
