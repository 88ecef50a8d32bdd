// What IIS refuses by default before BITS is asked (Microsoft Learn: IIS request filtering).
const HIDDEN_SEGMENTS = ['web.config', 'bin', 'app_code', 'app_globalresources'].concat([
  'app_localresources',
  'app_webreferences',
  'app_data',
  'app_browsers',
]);
const FILTERED_EXTENSIONS = new Set(
  (
    'asa asax ascx master skin browser sitemap config cs csproj vb vbproj webinfo licx resx ' +
    'resources mdb vjsproj java jsl ldb dsdgm ssdgm lsad ssmap cd dsprototype lsaprototype sdm ' +
    'sdmdocument mdf ldf ad dd ldd sd adprototype lddprototype exclude refresh compiled msgx vsdisco ' +
    'rules'
  ).split(' '),
);
const FORBIDDEN = /[:*?"<>|&%\\]/;

/** Why IIS refuses the names in a URL, and what to do about it; undefined when it does not. */
export function nameThatIisRefuses(url: URL): string | undefined {
  const segments = url.pathname.split('/').filter((segment) => segment !== '');
  for (const segment of segments) {
    const reason = reasonAgainst(segment);
    if (reason !== undefined) return `IIS refuses ${reason} in a URL: choose another name`;
  }
  const extension = extensionOf(segments.at(-1) ?? '');
  return extension === undefined
    ? undefined
    : `IIS refuses file names that end in .${extension} (404.7): choose another name, or allow the ` +
        'extension in request filtering';
}

function reasonAgainst(segment: string): string | undefined {
  const name = decoded(segment);
  const character = FORBIDDEN.exec(name)?.[0];
  if (character !== undefined) return `the character ${character}`;
  if (name.includes('+')) return 'the character + (404.11)';
  const hidden = HIDDEN_SEGMENTS.find((one) => one === name.toLowerCase());
  return hidden === undefined ? undefined : `the name ${hidden} (404.8)`;
}

function extensionOf(segment: string): string | undefined {
  const extension = /\.([a-z]+)$/i.exec(decoded(segment))?.[1]?.toLowerCase();
  return extension !== undefined && FILTERED_EXTENSIONS.has(extension) ? extension : undefined;
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return '';
  }
}

/**
 * Names, or paths of names with `/` between them, that are one file on a Windows server, because NTFS
 * ignores case, and dots and spaces at the end.
 * @returns each group of two or more names that meet, in the order in which they were given
 */
export function namesThatMeet(names: Iterable<string>): readonly (readonly string[])[] {
  const groups = new Map<string, string[]>();
  for (const name of names) {
    const key = name.includes('/') ? name.split('/').map(ntfsKey).join('/') : ntfsKey(name);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [name]);
    else group.push(name);
  }
  return [...groups.values()].filter((group) => group.length > 1);
}

function ntfsKey(name: string): string {
  let end = name.length;
  while (end > 0 && (name[end - 1] === '.' || name[end - 1] === ' ')) end--;
  // NTFS maps character by character: one whose upper case is longer, as of ß, stays as it is.
  return Array.from(name.slice(0, end), (character) => {
    const upper = character.toUpperCase();
    return upper.length === character.length ? upper : character;
  }).join('');
}
