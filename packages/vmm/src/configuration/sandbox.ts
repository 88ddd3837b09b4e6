import { stat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import type { Sandbox } from '@tsvmm/device-process';
import { checkPath } from './checks.ts';
import { ConfigurationError } from './error.ts';

/** How the processes of virtio devices are confined; what is left out is as it comes. */
export type SandboxConfiguration = Sandbox;

/**
 * Checks what a configuration says of sandboxes, without looking at any file.
 *
 * @throws ConfigurationError
 */
export function resolveSandbox(sandbox: SandboxConfiguration | false): SandboxConfiguration | false {
  for (const path of directories(sandbox)) {
    checkPath('sandbox', path, 'a sandbox needs the path of a directory');
  }
  if (sandbox !== false && sandbox.root !== undefined && !isAbsolute(sandbox.root)) {
    const message = `the root of sandboxes is named by its absolute path, not '${sandbox.root}'`;
    throw new ConfigurationError('INVALID_VALUE', 'sandbox', message);
  }
  return sandbox;
}

/** @throws ConfigurationError FILE_NOT_FOUND, FILE_UNUSABLE */
export async function checkSandbox(sandbox: SandboxConfiguration | false): Promise<void> {
  for (const path of directories(sandbox)) {
    let isDirectory: boolean;
    try {
      isDirectory = (await stat(path)).isDirectory();
    } catch (cause) {
      throw new ConfigurationError('FILE_NOT_FOUND', 'sandbox', `there is no directory '${path}'`, { cause });
    }
    if (!isDirectory) throw new ConfigurationError('FILE_UNUSABLE', 'sandbox', `'${path}' is no directory`);
  }
}

function directories(sandbox: SandboxConfiguration | false): readonly string[] {
  if (sandbox === false) return [];
  return [sandbox.root, sandbox.policyDirectory].filter((path) => path !== undefined);
}
