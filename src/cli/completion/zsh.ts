import { optionsWithChoices, optionsWithFreeValue, type CommandGrammar, type Word } from './grammar.js';

/** A zsh completion script, for a file `_cfsbridge` in `$fpath` or for `source`. */
export function zshCompletion(commands: readonly CommandGrammar[]): string {
  const known = commands.slice(1).map(({ path }) => `'${path}'`);
  const values = optionsWithChoices(commands).map(
    ({ name, choices }) => `    (${name}) compadd -- ${choices.join(' ')}; return ;;`,
  );
  const cases = commands.map(
    ({ path, subcommands, options, values, named }) => `    ('${path}')
      offered=(${describe([...subcommands, ...values.map((name) => ({ name, description: '' }))])})
      flags=(${describe(options)})${named ? '\n      named=1' : ''} ;;`,
  );
  return `#compdef cfsbridge
_cfsbridge() {
  local at=cfsbridge word named=
  local -a offered flags
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$at $word" in
      (${known.join('|')}) at="$at $word" ;;
    esac
  done
  case "\${words[CURRENT-1]}" in
${values.join('\n')}
    (${optionsWithFreeValue(commands).join('|')}) _files; return ;;
  esac
  case "$at" in
${cases.join('\n')}
  esac
  if [[ "\${words[CURRENT]}" == -* ]]; then
    _describe -o option flags
  elif [[ -n $named ]]; then
    # Names in the repository; the program knows them.
    offered=("\${(@f)$(COMPLETE=zsh _CLAP_IFS=$'\\n' _CLAP_COMPLETE_INDEX=$((CURRENT - 1)) \${~words[1]} -- "\${(@)words[1,CURRENT]}" 2>/dev/null)}")
    offered=("\${(@)offered:#(|-*)}")
    if (( $#offered )); then _describe -V names offered; else _files; fi
  elif (( $#offered )); then
    _describe command offered
  else
    _files
  fi
}
if [ "$funcstack[1]" = _cfsbridge ]; then _cfsbridge "$@"; else compdef _cfsbridge cfsbridge; fi
`;
}

function describe(words: readonly Word[]): string {
  return words.map(({ name, description }) => `'${name}:${description.replaceAll("'", "'\\''")}'`).join(' ');
}
