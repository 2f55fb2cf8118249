import { WORDS, WITHOUT_BEGINNING } from './registration.js';
import { optionsWithChoices, optionsWithFreeValue, type CommandGrammar } from './grammar.js';

/**
 * A bash completion script. It finds the command by walking the words before the cursor, then offers that
 * command's subcommands, options and values; where it has none to offer, bash completes file names.
 */
export function bashCompletion(commands: readonly CommandGrammar[]): string {
  const known = commands.slice(1).map(({ path }) => `"${path}"`);
  const values = optionsWithChoices(commands).map(
    ({ name, choices }) => `    ${name}) COMPREPLY=($(compgen -W '${choices.join(' ')}' -- "$cur")); return ;;`,
  );
  const words = commands.map(({ path, subcommands, options, values, named }) => {
    const plain = [...subcommands.map(({ name }) => name), ...values].join(' ');
    return `    "${path}") offered='${plain}' options='${options.map(({ name }) => name).join(' ')}'${named ? ' named=1' : ''} ;;`;
  });
  return `# bash completion for cfsbridge
_cfsbridge() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} path=cfsbridge offered= options= named= i
  local -a words
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path \${COMP_WORDS[i]}" in
      ${known.join('|')}) path="$path \${COMP_WORDS[i]}" ;;
    esac
  done
  case "$prev" in
${values.join('\n')}
    ${optionsWithFreeValue(commands).join('|')}) COMPREPLY=(); return ;;
  esac
  case "$path" in
${words.join('\n')}
  esac
  [[ $cur == -* ]] && offered=$options named=
  COMPREPLY=($(compgen -W "$offered" -- "$cur"))
  [[ $named ]] || return 0
  # Names in the repository; the program knows them.
${WORDS}
  mapfile -t COMPREPLY < <(COMPLETE=bash _CLAP_IFS=$'\\n' _CLAP_COMPLETE_INDEX=$((\${#words[@]} - 1)) "\${COMP_WORDS[0]/#\\~/$HOME}" -- "\${words[@]}" 2>/dev/null | grep -v '^-')
${WITHOUT_BEGINNING}
}
complete -o default -F _cfsbridge cfsbridge
`;
}
