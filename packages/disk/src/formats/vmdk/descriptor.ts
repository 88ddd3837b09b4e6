// VMware's "Virtual Disk Format 5.0", "The Descriptor File".

export const DESCRIPTOR_START = '# Disk DescriptorFile';
/** parentCID of an image without a parent. */
const NO_PARENT = 'ffffffff';

/** A part of a disk. */
export interface ExtentLine {
  /** 512 bytes each. */
  readonly sectors: number;
  /** Such as `FLAT`, `SPARSE` or `ZERO`. */
  readonly type: string;
  /** Empty for `ZERO`. */
  readonly file: string;
  /** Sectors of the file in front of the data of a flat extent. */
  readonly offset: number;
}

export interface Descriptor {
  /** Changes with the contents, so that who is based on them notices: 32 bits in hexadecimal. */
  readonly contentId: string;
  readonly createType: string;
  readonly parent?: { readonly contentId: string; readonly file: string };
  readonly extents: readonly ExtentLine[];
}

/** The text of a descriptor; a string says what is wrong with it. */
export function parseDescriptor(text: string): Descriptor | string {
  const values = new Map<string, string>();
  const extents: ExtentLine[] = [];
  for (const line of text.replace(/\0.*$/s, '').split(/\r?\n/)) {
    const extent = /^(?:RW|RDONLY|NOACCESS) (\d{1,16}) ([A-Z0-9]+)(?: "([^"]*)"(?: (\d{1,16}))?)?\s*$/.exec(
      line,
    );
    if (extent) {
      const [, sectors, type = '', file = '', offset = '0'] = extent;
      extents.push({ sectors: Number(sectors), type, file, offset: Number(offset) });
      continue;
    }
    const [, key = '', value = ''] = /^\s*([\w.]+)\s*=\s*"?([^"]*)"?\s*$/.exec(line) ?? [];
    if (key !== '') values.set(key.toLowerCase(), value);
  }
  const version = values.get('version');
  if (version === undefined || !/^[123]$/.test(version)) return `version ${version} is not known`;
  const parentId = values.get('parentcid')?.toLowerCase() ?? NO_PARENT;
  const file = values.get('parentfilenamehint');
  if (parentId !== NO_PARENT && file === undefined) return 'it does not tell where its parent is';
  return {
    contentId: values.get('cid')?.toLowerCase() ?? '',
    createType: values.get('createtype') ?? '',
    ...(parentId !== NO_PARENT && file !== undefined && { parent: { contentId: parentId, file } }),
    extents,
  };
}
