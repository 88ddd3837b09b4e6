import { concat } from '../../bytes.ts';
import { ByteBuffer } from '../data.ts';
import type { Term } from '../term.ts';

/** A resource descriptor, ACPI 6.4 section 6.4: something that a device uses or could use. */
export interface Resource {
  readonly resource: Uint8Array;
}

/** Small descriptor 15 with the checksum 0, which means that there is none. */
const END_TAG = Uint8Array.of(0x79, 0x00);

/** What `_CRS`, `_PRS` and `_SRS` are made of: descriptors in a buffer. */
export function ResourceTemplate(resources: readonly Resource[]): Term<'data'> {
  return ByteBuffer(concat([...resources.map(({ resource }) => resource), END_TAG]));
}
