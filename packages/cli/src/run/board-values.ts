import { boolean, number, oneOf, optional, record, string, tagged, vector } from '@tsvmm/keyvalue';
import type { BoardConfiguration, FwCfgConfiguration, PflashConfiguration } from '@tsvmm/vmm';
import { UsageError } from '../errors.ts';
import type { GivenOption } from '../parse.ts';
import { read } from './values.ts';

/** --smbios */
export function smbiosValue(given: GivenOption): NonNullable<BoardConfiguration['smbios']> {
  const value = read(
    given,
    record({
      'bios-vendor': optional(string()),
      'bios-version': optional(string()),
      manufacturer: optional(string()),
      'product-name': optional(string()),
      'serial-number': optional(string()),
      uuid: optional(string()),
      'oem-strings': optional(vector(string())),
    }),
  );
  return withoutUndefined({
    biosVendor: value['bios-vendor'],
    biosVersion: value['bios-version'],
    manufacturer: value.manufacturer,
    productName: value['product-name'],
    serialNumber: value['serial-number'],
    uuid: value.uuid,
    oemStrings: value['oem-strings'],
  });
}

/** --pflash */
export function pflashValue(given: GivenOption): PflashConfiguration {
  const blockSize = optional(number({ alias: 'block_size' }));
  const value = read(given, record({ path: string(), 'block-size': blockSize }));
  return { path: value.path, ...withoutUndefined({ blockSize: value['block-size'] }) };
}

/** --fw-cfg */
export function fwCfgValue(given: GivenOption): FwCfgConfiguration {
  const {
    name,
    path,
    string: text,
  } = read(given, record({ name: string(), path: optional(string()), string: optional(string()) }));
  if (path !== undefined && text === undefined) return { name, path };
  if (text !== undefined && path === undefined) return { name, string: text };
  throw new UsageError('INVALID_VALUE', `${given.spelling}: give the contents with either path= or string=`);
}

/** --pci */
export function pciValue(given: GivenOption): NonNullable<BoardConfiguration['pci']> {
  const range = optional(record({ start: number(), size: number() }));
  const { mem, ecam, cam } = read(given, record({ mem: range, ecam: range, cam: range }));
  if (ecam !== undefined && cam !== undefined) {
    throw new UsageError('INVALID_VALUE', `${given.spelling}: a machine has either ecam or cam`);
  }
  return withoutUndefined({ memory: mem, configuration: ecam ?? cam });
}

/** --irqchip */
export function irqchipValue(given: GivenOption): NonNullable<BoardConfiguration['irqchip']> {
  const kernel = record({ 'allow-vgic-its': optional(boolean()) });
  const { type, value } = read(given, tagged({ kernel, split: null, userspace: null }));
  if (type !== 'kernel') return { kind: type };
  return { kind: type, ...withoutUndefined({ allowVgicIts: value['allow-vgic-its'] }) };
}

/** --nested */
export function nestedValue(given: GivenOption): NonNullable<BoardConfiguration['nested']> {
  return read(given, record({ mode: oneOf('off', 'auto', 'on') })).mode;
}

type Defined<T> = { -readonly [K in keyof T]?: Exclude<T[K], undefined> };

function withoutUndefined<T extends object>(value: T): Defined<T> {
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  // Only fields that are undefined are gone.
  return Object.fromEntries(entries) as Defined<T>;
}
