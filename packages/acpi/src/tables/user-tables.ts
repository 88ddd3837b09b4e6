import { AcpiError } from '../errors.ts';
import type { AcpiTable, OemIdentity } from './header.ts';
import { mergeMadt } from './madt.ts';

/** Tables of which a machine has one, so that the user's takes the place of ours. */
const REPLACED = ['DSDT', 'FACP'];

/**
 * The machine's tables with those of its user: a DSDT and a FACP replace ours, the interrupt source overrides of an
 * APIC are added to ours, all others are appended. With a FACP, the machine's SCI should be `sciInterrupt` of it.
 *
 * @throws AcpiError WRONG_TABLES when the user gives two DSDTs or FACPs, BAD_TABLE for a MADT that cannot be read
 */
export function mergeUserTables(
  ours: readonly AcpiTable[],
  theirs: readonly AcpiTable[],
  oem: OemIdentity,
): readonly AcpiTable[] {
  for (const signature of REPLACED) {
    if (theirs.filter((table) => table.signature === signature).length > 1) {
      throw new AcpiError('WRONG_TABLES', `Several tables ${signature} were given: a machine has one.`);
    }
  }
  const kept = ours.map((own) => {
    const same = theirs.filter(({ signature }) => signature === own.signature);
    if (REPLACED.includes(own.signature)) return same[0] ?? own;
    if (own.signature === 'APIC') return same.reduce((merged, other) => mergeMadt(merged, other, oem), own);
    return own;
  });
  const taken = (signature: string) =>
    (signature === 'APIC' || REPLACED.includes(signature)) && ours.some((own) => own.signature === signature);
  return [...kept, ...theirs.filter(({ signature }) => !taken(signature))];
}
