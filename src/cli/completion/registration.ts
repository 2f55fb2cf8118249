/** The scripts that make a shell ask the program itself: for the command `name`, by calling `path`. */
export const REGISTRATIONS: Readonly<Record<'bash' | 'fish' | 'zsh', (name: string, path: string) => string>> = {
  bash: (name, path) => `_clap_complete_${identifier(name)}() {
  local -a words
${WORDS}
  mapfile -t COMPREPLY < <(COMPLETE=bash _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$((\${#words[@]} - 1)) ${quote(path)} -- "\${words[@]}" 2>/dev/null)
  [[ \${COMPREPLY[0]-} =~ [=/:]$ ]] && compopt -o nospace
${WITHOUT_BEGINNING}
}
complete -o bashdefault -o default -F _clap_complete_${identifier(name)} ${quote(name)}
`,
  zsh: (name, path) => `#compdef ${name}
_clap_complete_${identifier(name)}() {
    local -a offered
    offered=("\${(@f)$(COMPLETE=zsh _CLAP_IFS=$'\\n' _CLAP_COMPLETE_INDEX=$((CURRENT - 1)) ${quote(path)} -- "\${(@)words[1,CURRENT]}" 2>/dev/null)}")
    offered=("\${(@)offered:#}")
    if (( $#offered )); then _describe -V values offered; else _files; fi
}
compdef _clap_complete_${identifier(name)} ${quote(name)}
`,
  fish: (
    name,
    path,
  ) => `complete --keep-order --no-files --command ${quote(name)} --arguments ${quote(`(COMPLETE=fish ${quote(path)} -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token) 2>/dev/null)`)}
`,
};

/**
 * bash: the line as `words`. COMP_WORDS is cut at colons, @ and =, too, which stand in tags, digests and behind
 * options.
 */
export const WORDS = `  read -a words <<<"\${COMP_LINE:0:COMP_POINT}"
  [[ \${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=('')`;

/** bash: of each candidate it puts in what follows the last cut, which is behind what it calls the word. */
export const WITHOUT_BEGINNING = `  COMPREPLY=("\${COMPREPLY[@]#"\${words[-1]%"$2"}"}")`;

function identifier(name: string): string {
  return name.replace(/\W/g, '_');
}

function quote(text: string): string {
  return `'${text.replace(/'/g, "'\\''")}'`;
}
