import { Command, type Option, type ParseOptionsResult } from 'commander';

/**
 * A command that takes options as strictly as cfsctl does. `gc -r $ROOT -n` with an empty variable must not become a
 * garbage collection that keeps "-n", so what looks like an option is not an option's value, unless `=` joins them; and
 * an option that is given twice is a mistake, unless it collects.
 */
export class StrictCommand extends Command {
  override createCommand(name?: string): Command {
    return new StrictCommand(name);
  }

  override parseOptions(args: string[]): ParseOptionsResult {
    this.#check(args);
    return super.parseOptions(args);
  }

  #check(args: readonly string[]): void {
    const seen = new Set<Option>();
    for (let i = 0; i < args.length && args[i] !== '--'; i++) {
      for (const { option, joined } of this.#optionsIn(args[i] as string)) {
        if (seen.has(option) && !Array.isArray(option.defaultValue))
          this.error(`error: the option '${option.flags}' cannot be used multiple times`);
        seen.add(option);
        if (!option.required || joined) continue;
        if (/^-./.test(args[++i] ?? '')) this.error(`error: option '${option.flags}' argument missing`);
      }
    }
  }

  /** The options of this command in one word, and whether their value is in it, too. */
  *#optionsIn(word: string): Generator<{ option: Option; joined: boolean }> {
    if (word.startsWith('--')) {
      const [name, value] = word.split('=', 2);
      const option = this.options.find(({ long }) => long === name);
      if (option !== undefined) yield { option, joined: value !== undefined };
      return;
    }
    for (let at = 1; word.startsWith('-') && at < word.length; at++) {
      const option = this.options.find(({ short }) => short === `-${word[at]}`);
      if (option === undefined) return;
      yield { option, joined: at + 1 < word.length };
      if (option.required) return;
    }
  }
}
