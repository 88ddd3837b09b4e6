import type { Timestamp } from '../entry.ts';
import { type AclEntry, AclTag, encodeAcl, NO_ID } from '../xattr/acl.ts';

/** One `key=value` of an extended header (IEEE 1003.1, pax, "pax Extended Header"). */
export interface PaxRecord {
  readonly key: string;
  readonly value: Buffer;
}

/** The records of an extended header; undefined when they are not well formed. */
export function decodePax(bytes: Buffer): readonly PaxRecord[] | undefined {
  const records: PaxRecord[] = [];
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    if (space < 0 || space - at > 10) return undefined;
    const digits = bytes.toString('latin1', at, space);
    if (!/^[1-9]\d*$/.test(digits)) return undefined;
    const end = at + Number(digits);
    const equals = bytes.indexOf(0x3d, space);
    if (end > bytes.length || equals < 0 || equals >= end || bytes[end - 1] !== 0x0a) return undefined;
    records.push({
      key: bytes.toString('utf8', space + 1, equals),
      value: Buffer.from(bytes.subarray(equals + 1, end - 1)),
    });
    at = end;
  }
  return records;
}

/** A whole number in decimal digits; undefined when it is none. */
export function decodeDecimal(value: Buffer): number | undefined {
  const digits = value.toString('latin1');
  if (!/^\d{1,19}$/.test(digits)) return undefined;
  const number = Number(digits);
  return Number.isSafeInteger(number) ? number : undefined;
}

/** Seconds with a fraction; undefined when it is none. */
export function decodeTime(value: Buffer): Timestamp | undefined {
  const [, sign = '', digits = '', fraction = ''] =
    /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(value.toString('latin1')) ?? [];
  if (digits === '') return undefined;
  const nanoseconds = Number(fraction.padEnd(9, '0').slice(0, 9));
  const seconds = Number(digits);
  if (sign === '') return { seconds, nanoseconds };
  return nanoseconds === 0
    ? { seconds: 0 - seconds, nanoseconds: 0 }
    : { seconds: -seconds - 1, nanoseconds: 1e9 - nanoseconds };
}

const ACL_KINDS: Readonly<Record<string, { readonly own: number; readonly named: number }>> = {
  user: { own: AclTag.userObject, named: AclTag.user },
  u: { own: AclTag.userObject, named: AclTag.user },
  group: { own: AclTag.groupObject, named: AclTag.group },
  g: { own: AclTag.groupObject, named: AclTag.group },
  mask: { own: AclTag.mask, named: AclTag.mask },
  m: { own: AclTag.mask, named: AclTag.mask },
  other: { own: AclTag.other, named: AclTag.other },
  o: { own: AclTag.other, named: AclTag.other },
};

/**
 * An access list as text (acl(5), "ACL TEXT FORMS"), as getxattr(2) gives it. Users and groups are numbers, or have their
 * numbers behind their permissions, as star and bsdtar write them. Undefined when it is not well formed, or has a name
 * without a number, which means something else on every machine.
 */
export function decodeAclText(text: string): Buffer | undefined {
  const entries: AclEntry[] = [];
  for (const line of text.split(/[,\n]/)) {
    const [entry = ''] = line.split('#');
    if (entry.trim() === '') continue;
    const [kind = '', name = '', permissions = '', number] = entry.trim().split(':');
    const tags = ACL_KINDS[kind];
    if (!tags || !/^[r-][w-][x-]$/.test(permissions)) return undefined;
    const bits = [...permissions].reduce((sum, letter) => sum * 2 + (letter === '-' ? 0 : 1), 0);
    const id = name === '' ? NO_ID : Number(/^\d+$/.test(number ?? name) ? (number ?? name) : Number.NaN);
    if (!(id >= 0 && id <= NO_ID)) return undefined;
    entries.push({ tag: name === '' ? tags.own : tags.named, permissions: bits, id });
  }
  // The kernel wants them in this order.
  entries.sort((a, b) => a.tag - b.tag || a.id - b.id);
  return entries.length > 0 ? encodeAcl(entries) : undefined;
}
