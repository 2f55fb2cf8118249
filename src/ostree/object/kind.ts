/** What commits are made of. Repositories have more kinds, which are their own business. */
export type ObjectKind = 'commit' | 'dirtree' | 'dirmeta' | 'file';
