/**
 * The name of a parent that an image made on Windows gives, as it is looked for here: relative names beside the image,
 * of absolute ones the last part, since there are no drives.
 */
export function parentName(name: string, isRelative: boolean): string {
  const path = name.replace(/\0.*$/s, '').replaceAll('\\', '/');
  return isRelative ? path.replace(/^(?:\.\/)+/, '') : (path.split('/').at(-1) ?? path);
}
