import { encodeList, type ListTerm } from '../aml/term.ts';
import { type AcpiTable, createTable, type OemIdentity } from './header.ts';

/** From 2 on, the integers of the AML have 64 bits. */
const REVISION = 2;

/** The Differentiated System Description Table, ACPI 6.4 section 5.2.11.1: the machine in AML. */
export function createDsdt(oem: OemIdentity, body: readonly ListTerm[]): AcpiTable {
  return createTable('DSDT', REVISION, oem, [encodeList(body)]);
}

/**
 * A Secondary System Description Table, section 5.2.11.2: more AML. Systems tell several of them apart by the OEM
 * table id.
 */
export function createSsdt(oem: OemIdentity, body: readonly ListTerm[]): AcpiTable {
  return createTable('SSDT', REVISION, oem, [encodeList(body)]);
}
