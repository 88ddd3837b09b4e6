import type { ConfigurationOption } from './configuration.ts';

/** What is wrong with a configuration. */
export type ConfigurationErrorCode =
  /** A value of the wrong type or form. */
  | 'INVALID_VALUE'
  /** A number beyond its limits. */
  | 'OUT_OF_RANGE'
  /** Two settings that exclude each other, or one that needs another. */
  | 'CONFLICT'
  /** Something that may be given once is given again. */
  | 'DUPLICATE'
  /** Known, but this version cannot do it. */
  | 'NOT_BUILT'
  /** A file that is not there. */
  | 'FILE_NOT_FOUND'
  /** A file that is there and cannot be used. */
  | 'FILE_UNUSABLE'
  /** Something that is larger than the guest's memory. */
  | 'DOES_NOT_FIT';

/** A configuration that cannot become a virtual machine; the message says what to change. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
  /** What kind of mistake it is. */
  readonly code: ConfigurationErrorCode;
  /** The field it is in. */
  readonly option: ConfigurationOption;
  /** The position in that field if it is a list. */
  readonly index: number | undefined;

  constructor(
    code: ConfigurationErrorCode,
    option: ConfigurationOption,
    message: string,
    details: { readonly index?: number; readonly cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.option = option;
    this.index = details.index;
  }
}
