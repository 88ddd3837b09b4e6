export { AcpiError, type AcpiErrorCode } from './errors.ts';
export { createDsdt, createSsdt } from './tables/definition-block.ts';
export { createFadt, type FadtOptions, sciInterrupt } from './tables/fadt.ts';
export { type AcpiTable, type OemIdentity, parseTable } from './tables/header.ts';
export {
  createMadt,
  type MadtInterruptOverride,
  type MadtIoApic,
  type MadtOptions,
  type MadtProcessor,
} from './tables/madt.ts';
export { createMcfg, type PciConfigurationRange } from './tables/mcfg.ts';
export { type AcpiImage, type PlaceTablesOptions, placeTables } from './tables/root.ts';
export { mergeUserTables } from './tables/user-tables.ts';
