import { FORMATS, type Format, type Qcow2Format } from '@tsvmm/disk';
import { named, number, oneOf, optional, record, size, string } from '@tsvmm/keyvalue';
import { UsageError } from '../errors.ts';
import type { CommandLine, GivenOption } from '../parse.ts';
import { readValue } from '../read-value.ts';

/** The formats that images can be made in. */
export const OUTPUT_FORMATS = ['raw', 'qcow2'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** The option with a name, as it was given. */
export function option(line: CommandLine, name: string): GivenOption | undefined {
  return line.options.find(({ definition }) => definition.name === name);
}

/** Whether a switch was given. */
export function isGiven(line: CommandLine, name: string): boolean {
  return option(line, name) !== undefined;
}

/** An operand that the parser saw to. */
export function operand({ operands }: CommandLine, index: number): string {
  return operands[index] ?? '';
}

/** What an image is said to be; nothing when its contents shall say it. */
export function formatOption(line: CommandLine, name = 'format'): { readonly format?: Format } {
  const format = choice(option(line, name), FORMATS);
  return format === undefined ? {} : { format };
}

/** What an image is to become. */
export function outputFormat(line: CommandLine, name: string): OutputFormat {
  return choice(option(line, name), OUTPUT_FORMATS) ?? 'raw';
}

function choice<const T extends string>(given: GivenOption | undefined, names: readonly T[]): T | undefined {
  return given && readValue(given.spelling, given.value ?? '', oneOf(...names));
}

/** Bytes: a number that K, M, G or T may follow. */
export function sizeOperand(text: string, name = 'SIZE'): number {
  return readValue(name, text, size());
}

const ON_OFF = named({ on: true, off: false });

const CREATION_FIELDS = {
  cluster_size: optional(size()),
  compat: optional(string()),
  compression_type: optional(oneOf('zlib', 'zstd')),
  data_file: optional(string()),
  data_file_raw: optional(ON_OFF),
  extended_l2: optional(ON_OFF),
  lazy_refcounts: optional(ON_OFF),
  refcount_bits: optional(number()),
};

/** What -o says about a new qcow2 image. */
export function creationOptions(line: CommandLine): Omit<Qcow2Format, 'size' | 'backing'> {
  const given = option(line, 'options');
  if (given === undefined) return {};
  const values = readValue(given.spelling, given.value ?? '', record(CREATION_FIELDS));
  const { cluster_size, compat, compression_type, data_file, data_file_raw, ...rest } = values;
  const { extended_l2, lazy_refcounts, refcount_bits } = rest;
  const version = compat === undefined ? undefined : VERSIONS[compat];
  if (compat !== undefined && version === undefined) {
    const known = Object.keys(VERSIONS).join(', ');
    throw new UsageError('INVALID_VALUE', `${given.spelling}: compat is one of ${known}, not ${compat}`);
  }
  if (data_file_raw !== undefined && data_file === undefined) {
    throw new UsageError('INVALID_VALUE', `${given.spelling}: data_file_raw needs a data_file`);
  }
  return {
    ...(cluster_size !== undefined && { clusterSize: cluster_size }),
    ...(version !== undefined && { version }),
    ...(compression_type !== undefined && { compressionType: compression_type }),
    ...(data_file !== undefined && { dataFile: { file: data_file, isRaw: data_file_raw ?? false } }),
    ...(extended_l2 !== undefined && { extendedL2: extended_l2 }),
    ...(lazy_refcounts !== undefined && { lazyRefcounts: lazy_refcounts }),
    ...(refcount_bits !== undefined && { refcountBits: refcount_bits }),
  };
}

const VERSIONS: Readonly<Record<string, 2 | 3>> = { '0.10': 2, v2: 2, '1.1': 3, v3: 3 };

/** @throws {UsageError} when -o is given for a format that has no options */
export function refuseCreationOptions(line: CommandLine, format: OutputFormat): void {
  const given = option(line, 'options');
  if (given === undefined || format === 'qcow2') return;
  throw new UsageError('INVALID_VALUE', `${given.spelling} is for qcow2 images, not for ${format} ones`);
}
