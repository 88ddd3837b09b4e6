/** What is wrong, for code that reacts to it. */
export type AcpiErrorCode =
  /** A name that ACPI does not allow. */
  | 'BAD_NAME'
  /** A value that does not fit its field. */
  | 'OUT_OF_RANGE'
  /** Something that AML, a descriptor or a table cannot say. */
  | 'BAD_VALUE'
  /** Bytes that are no ACPI table, or one that cannot be used here. */
  | 'BAD_TABLE'
  /** A table that must be there is missing, or is there twice. */
  | 'WRONG_TABLES'
  /** The tables do not fit into the memory that is there for them. */
  | 'TOO_LARGE';

/** Something that cannot be written down as ACPI, or bytes that are no ACPI. */
export class AcpiError extends Error {
  override readonly name = 'AcpiError';
  readonly code: AcpiErrorCode;

  constructor(code: AcpiErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
