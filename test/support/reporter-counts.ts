import type { TestEvent } from 'node:test/reporters';
import { isSkipped } from './reporter.js';

/** Test reporter for programs: one JSON object `{"passed","failed","skipped"}` when the run is over. */
export default async function* count(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for await (const event of events) {
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue;
    // A suite counts only when it is skipped as a whole: its tests are then never heard of.
    if (event.type === 'test:pass' && isSkipped(event.data.skip)) counts.skipped++;
    else if (event.data.details.type === 'suite') continue;
    else if (event.type === 'test:fail') counts.failed++;
    else counts.passed++;
  }
  yield JSON.stringify(counts);
}
