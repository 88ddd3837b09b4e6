/** The headings under which options are listed, in the order of the help. */
export const GROUPS = [
  'Guest',
  'Machine',
  'Hypervisor',
  'Image',
  'File system',
  'Disks',
  'Consoles',
  'Connection',
  'Network',
  'Shared files',
  'Graphics, input and sound',
  'Devices of the host',
  'Isolation',
  'Control',
  'Messages',
] as const;

/** A heading of the help. */
export type Group = (typeof GROUPS)[number];

/** What an option, a key of a value or a command can do in this version. */
export type Availability =
  /** It works. */
  | { readonly kind: 'built' }
  /** It works and is an old spelling; `use` is the new one. */
  | { readonly kind: 'deprecated'; readonly use: string }
  /** It is known and refused; `instead` is a sentence that says what to do. */
  | { readonly kind: 'not-built'; readonly instead: string };

/** A key of a value in key=value form. */
export interface KeyDefinition {
  readonly name: string;
  /** What stands for the value in the help; undefined for true/false. */
  readonly value?: string;
  readonly help: string;
  readonly availability: Availability;
}

/** One option of a command. Parser, help, suggestions and the comparison with crosvm are all made from these. */
export interface OptionDefinition {
  /** Long name without the dashes. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  readonly group: Group;
  /** What stands for the value in the help; an option without it is a switch. */
  readonly value?: string;
  /** May be given several times. */
  readonly repeatable?: boolean;
  /** One sentence without a full stop. */
  readonly help: string;
  /** The keys of a value in key=value form, the one whose name may be left out first. */
  readonly keys?: readonly KeyDefinition[];
  /** Arguments as they would be typed, where an example teaches something. */
  readonly example?: string;
  readonly availability: Availability;
}

/** The option, command or key works. */
export const BUILT: Availability = { kind: 'built' };

/** The option works; `use` is today's spelling. */
export function deprecated(use: string): Availability {
  return { kind: 'deprecated', use };
}

/** The option is refused by name; `instead` is what to do, as a sentence. */
export function notBuilt(instead: string): Availability {
  return { kind: 'not-built', instead };
}

/** A key that works; without `value` it is true or false. */
export function key(name: string, value: string | undefined, help: string): KeyDefinition {
  return value === undefined
    ? { name, help, availability: BUILT }
    : { name, value, help, availability: BUILT };
}

/** Keys that are refused by name with the same advice. */
export function unbuiltKeys(instead: string, names: readonly string[]): readonly KeyDefinition[] {
  return names.map((name) => ({ name, help: '', availability: notBuilt(instead) }));
}

/** Options that are refused by name with the same advice; `s/socket` also has the short name s. */
export function unbuiltOptions(
  group: Group,
  instead: string,
  names: readonly string[],
): readonly OptionDefinition[] {
  return names.map((text) => {
    const [name = '', short] = text.split('/').reverse();
    return { name, ...(short !== undefined && { short }), group, help: '', availability: notBuilt(instead) };
  });
}

/** An option with its dashes and what stands for its value: `-m, --mem MIB`. */
export function usageOf({ name, short, value }: OptionDefinition): string {
  const names = short === undefined ? `    --${name}` : `-${short}, --${name}`;
  return value === undefined ? names : `${names} ${value}`;
}
