import { once } from 'node:events';
import { openRepository } from '../open-repository.js';
import type { GlobalOptions, Session } from '../session.js';

/** A timer's longest delay: nothing happens then, it only keeps the program running. */
const LONG_MS = 2 ** 31 - 1;

/** `transaction`: keeps the repository open, so that no garbage collection runs, until the program is ended. */
export async function run(session: Session, _args: [], options: GlobalOptions): Promise<void> {
  using _repository = await openRepository(session, options, 'read');
  const running = setInterval(() => {}, LONG_MS);
  try {
    session.signal.throwIfAborted();
    await once(session.signal, 'abort');
  } finally {
    clearInterval(running);
  }
  session.signal.throwIfAborted();
}
