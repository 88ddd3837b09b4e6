import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import type { GuestArchitecture } from './architecture.ts';
import { GuestImageError } from './errors.ts';

/** Where a guest and what fetches it are kept. */
export interface GuestPaths {
  /** The finished guest; there as a whole or not at all. */
  readonly guest: string;
  /** The guest while it is made, later renamed to `guest`. */
  readonly partial: string;
  /** A guest on its way out. */
  readonly discarded: string;
  /** apt's private state and downloads. */
  readonly apt: string;
  /** What is locked while any of these is written. */
  readonly lock: string;
}

/** `$XDG_CACHE_HOME/tsvmm`, or `~/.cache/tsvmm` where that is not set (XDG Base Directory Specification). */
export function defaultCacheDirectory(): string {
  const configured = process.env.XDG_CACHE_HOME;
  // The specification: a relative path is invalid and ignored.
  return join(configured && isAbsolute(configured) ? configured : join(homedir(), '.cache'), 'tsvmm');
}

export function guestsDirectory(cacheDirectory: string): string {
  return join(cacheDirectory, 'guests');
}

/** @throws {GuestImageError} INVALID_ARGUMENT for a suite or a directory that apt's files cannot express */
export function guestPaths(
  cacheDirectory: string,
  architecture: GuestArchitecture,
  suite: string,
): GuestPaths {
  if (!/^[a-z][a-z0-9-]*$/.test(suite)) {
    throw new GuestImageError(
      'INVALID_ARGUMENT',
      `'${suite}' is not the name of a Debian suite such as 'trixie'.`,
    );
  }
  if (/["\n]/.test(cacheDirectory)) {
    throw new GuestImageError(
      'INVALID_ARGUMENT',
      `The cache directory must not have a quote or a line break in its name: ${cacheDirectory}`,
    );
  }
  const guests = guestsDirectory(cacheDirectory);
  const name = `${suite}-${architecture}`;
  return {
    guest: join(guests, name),
    partial: join(guests, `.${name}.partial`),
    discarded: join(guests, `.${name}.discarded`),
    apt: join(cacheDirectory, 'apt', name),
    lock: join(guests, `.${name}.lock`),
  };
}
